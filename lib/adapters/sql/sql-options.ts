import type { MaybePromise } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { Dialect } from './dialects/dialect.js'
import type { SqlDriver } from './drivers/driver.js'
import type { TableMappings } from './schema.js'

/** Options of every SQL adapter. */
export interface SqlAdapterOptions {
  /** Names of existing tables and their columns, by model name. */
  tables?: TableMappings
}

/** Options of the SQL adapters of database servers. */
export interface SqlServerOptions extends SqlAdapterOptions {
  /**
   * If true, `open()` creates missing tables. Meant for development and tests. Default: false, and `open()` throws
   * `FST_USERS_TABLE_MISMATCH` if tables are missing.
   */
  createTables?: boolean
  /**
   * Time limit of one statement in milliseconds, including the wait for a connection of the pool. Default: 5000. After
   * that the connection is closed and the request gets a 503. A write that timed out may or may not have happened.
   */
  timeoutMs?: number
}

/** A database and how to connect to it. */
export interface SqlConnection {
  readonly dialect: Dialect
  /** The application's pool or database; undefined if the adapter opens the database. */
  readonly client?: object | undefined
  /** Names of the options that only this adapter has. */
  readonly options?: readonly string[]
  /** Connects to the database. `open()` calls it with the time limit of a statement in milliseconds. */
  readonly connect: (timeoutMs: number) => MaybePromise<SqlDriver>
  /** Returns the names of the tables and columns. Default: those of the option `tables`. */
  readonly mappingsOf?: (models: readonly Model[]) => TableMappings
  /** Runs statements in transactions of the application. Default: the adapter does not support them. */
  readonly transactions?: TransactionAccess
}

/** Runs statements in transactions of the application. */
export interface TransactionAccess {
  /** The dialect of these statements. It may differ in the form in which values are read. */
  readonly dialect: Dialect
  /** Returns a driver for a transaction. Throws `FST_USERS_INVALID_OPTION` for any other value. */
  use(transaction: unknown, settings: TransactionSettings): SqlDriver
}

export interface TransactionSettings {
  readonly timeoutMs: number
  /** True if the statements must run in UTC. */
  readonly isUtc: boolean
}

/** Settings that depend on the kind of adapter. */
export interface SqlSettings {
  /** Names of all options of the adapter. */
  readonly known: readonly string[]
  /** True if `open()` creates missing tables. */
  readonly creates: boolean
  readonly timeoutMs: number
}
