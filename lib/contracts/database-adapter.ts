import type { Model, Value } from './models.js'

/** A value, or the promise of one where the store cannot answer at once. */
export type MaybePromise<T> = T | Promise<T>

/** A record by field name. */
export type Row = Record<string, unknown>

/** A condition on the order of values, or on membership. */
export interface Comparison {
  lt?: Value
  lte?: Value
  gt?: Value
  gte?: Value
  in?: readonly Value[]
}

/**
 * Conditions that must all hold. A plain value compares byte for byte; null means "is null"; an `ignoreCase`
 * field compares ASCII letters without case. Property order does not matter.
 */
export type Where = Record<string, Value | Comparison>

/** New values by field, or `{ increment: n }` for a number. */
export type Changes = Record<string, Value | { increment: number }>

/** Which part of the matching rows `findMany` gives. */
export interface FindManyOptions {
  limit: number
  /** Field to sort by, ascending, then by primary key (default: primary key). */
  order?: string
  /** Continue after this row of the same order: the values of `order` and of the primary key. */
  after?: Row
}

/** A row to store, and its model. */
export type NewRow = readonly [model: Model, row: Row]

/** Makes rows of the one that they go with, as it was stored. It may be called again, and does nothing else. */
export type Dependents = (stored: Row) => readonly NewRow[]

/** A stored row, then those made of it, in their order. */
export type StoredRows = [stored: Row, ...dependents: Row[]]

/**
 * What features and rules ask of a store. An adapter throws `FST_USERS_STORE_UNAVAILABLE` or an error of the network,
 * such as `ECONNREFUSED`, when trying again can help: that becomes a 503. Any other error without a code of ours is a
 * fault of the
 * adapter or its tables, and becomes a 500 whose cause is logged.
 */
export interface DatabaseAdapter {
  /** Path of the file that holds the data. The start warns when every account of the machine can read it. */
  readonly file?: string
  /** Announces a model. Called by the core and by features before `open`. */
  define(model: Model): void
  /**
   * Creates or checks the tables of all models. `FST_USERS_STORE_UNAVAILABLE` and errors of the network mean that the
   * store
   * is absent: the application starts, and `open` is called again when a request needs the store. Others refuse to
   * start.
   */
  open(): Promise<void>
  /** Stores a row and returns it whole. Throws `FST_USERS_UNIQUE_VIOLATION` with `fields` when it clashes. */
  create(model: Model, row: Row): Promise<Row>
  /**
   * Stores a row and those made of it in one step, all or none, also when the process ends meanwhile. Throws like
   * `create`,
   * with the fields of the row that clashes. Without this method they are stored one after the other, and taken back
   * when
   * one fails: a process that ends in between leaves a part of them.
   */
  createWith?(model: Model, row: Row, dependents: Dependents): Promise<StoredRows>
  /** One row, or null. Of several that differ only in the case of an `ignoreCase` field, the exact one comes first. */
  findOne(model: Model, where: Where): MaybePromise<Row | null>
  findMany(model: Model, where: Where, options: FindManyOptions): Promise<Row[]>
  /**
   * Changes all matching rows in one step and returns their number. Throws `FST_USERS_UNIQUE_VIOLATION` like `create`.
   */
  update(model: Model, where: Where, changes: Changes): Promise<number>
  /** Removes all matching rows in one step and returns their number. */
  delete(model: Model, where: Where): Promise<number>
  /** The row and the user that its `user_id` names, in one round trip. */
  findWithUser?(model: Model, where: Where): MaybePromise<{ row: Row; user: Row } | null>
  /** Releases what the adapter opened itself; a pool that was handed in stays open. */
  close?(): Promise<void>
}
