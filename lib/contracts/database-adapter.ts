import type { Model, Value } from './models.js'

/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>

/** The values of a stored record by field name. */
export type Row = Record<string, unknown>

/** A comparison with `<`, `<=`, `>` or `>=`, or membership in a list. */
export interface Comparison {
  lt?: Value
  lte?: Value
  gt?: Value
  gte?: Value
  in?: readonly Value[]
}

/**
 * Conditions that must all hold. A plain value means equality, byte for byte; null means "is null". Fields with
 * `ignoreCase` ignore the case of ASCII letters.
 */
export type Where = Record<string, Value | Comparison>

/** New values by field, or `{ increment: n }` for a number. */
export type Changes = Record<string, Value | { increment: number }>

/** Page and order of the rows that `findMany` returns. */
export interface FindManyOptions {
  limit: number
  /** Field to sort by, ascending, then by primary key. Default: the primary key. */
  order?: string
  /** Continues after this row: its values of the `order` field and of the primary key. */
  after?: Row
}

/** A row to store, with its model. In a list of rows, the value `idOf(n)` stands for the primary key of row `n`. */
export type NewRow = readonly [model: Model, row: Row]

/**
 * The store of users, tokens and accounts. When a retry can help, an adapter throws `FST_USERS_STORE_UNAVAILABLE` or a
 * network error such as `ECONNREFUSED`; the reply is then 503. Any other error without an `FST_USERS_` code counts as a
 * bug in the adapter or its tables; the reply is then 500, and the error is logged.
 */
export interface DatabaseAdapter {
  /** Path of the database file. A warning is logged at the start if all users of the machine can read it. */
  readonly file?: string
  /** True if the rows exist only in the memory of this process. */
  readonly inProcess?: boolean
  /** Adds a model. The plugin and its features call it before `open`. */
  define(model: Model): void
  /**
   * Creates or checks the tables of all models. After `FST_USERS_STORE_UNAVAILABLE` or a network error, the application
   * starts anyway, and `open` is called again when a request needs the store. Any other error stops the start.
   */
  open(): Promise<void>
  /** Stores a row and returns it. Throws `FST_USERS_UNIQUE_VIOLATION` with `fields` for a duplicate. */
  create(model: Model, row: Row): Promise<Row>
  /**
   * Stores all rows or none, also if the process crashes, and returns them in order. A value `idOf(n)` stands for the
   * primary key of the earlier row `n` of the list; `resolveRow` replaces it. Throws like `create`, with the fields of
   * the duplicate row. Without this method, the rows are stored one after the other and deleted again if one fails; a
   * crash in between leaves some of them.
   */
  createAll?(rows: readonly NewRow[]): Promise<Row[]>
  /** Returns a row, or null. If rows differ only in the case of an `ignoreCase` field, exact matches come first. */
  findOne(model: Model, where: Where): MaybePromise<Row | null>
  findMany(model: Model, where: Where, options: FindManyOptions): Promise<Row[]>
  /**
   * Changes all matching rows atomically and returns their number. Throws `FST_USERS_UNIQUE_VIOLATION` like `create`.
   */
  update(model: Model, where: Where, changes: Changes): Promise<number>
  /** Deletes all matching rows atomically and returns their number. */
  delete(model: Model, where: Where): Promise<number>
  /** Returns a row and the user that its `user_id` refers to, in one round trip. */
  findWithUser?(model: Model, where: Where): MaybePromise<{ row: Row; user: Row } | null>
  /**
   * Returns an adapter on the same tables whose statements run in a transaction of the application. Its `open` and
   * `close` are never called. If one of its methods throws, the application must roll the transaction back. Throws
   * `FST_USERS_INVALID_OPTION` for a value that is not a transaction of the adapter's client.
   */
  within?(transaction: unknown): DatabaseAdapter
  /** Closes the connections that the adapter opened. A pool that the application passed in stays open. */
  close?(): Promise<void>
}
