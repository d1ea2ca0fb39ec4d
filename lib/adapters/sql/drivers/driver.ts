import type { MaybePromise } from '../../../contracts/database-adapter.js'

/** One prepared statement. Rows are lists of values in column order. */
export interface SqlStatement {
  get(parameters: readonly unknown[]): MaybePromise<readonly unknown[] | undefined>
  all(parameters: readonly unknown[]): MaybePromise<readonly (readonly unknown[])[]>
  run(parameters: readonly unknown[]): MaybePromise<SqlWritten>
}

/** One write of a transaction. */
export interface SqlWrite {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** What a write did. */
export interface SqlWritten {
  readonly changes: number
  readonly insertId: unknown
}

/** Makes the writes of one transaction, and is told of each what it did before it makes the next. */
export type SqlWrites<T> = () => Generator<SqlWrite, T, SqlWritten>

/** What the SQL adapter asks of a database client. Methods of a synchronous client return plain values. */
export interface SqlDriver {
  prepare(sql: string): SqlStatement
  /** Does all writes or, when one fails, none: of one that is refused for the sake of others all are made again. */
  transaction<T>(writes: SqlWrites<T>): MaybePromise<T>
  /**
   * Reads `catalog` and runs the statements that `plan` makes of its rows, all in one transaction that excludes other
   * writers, as far as the database has such for tables. Where statements ran, `plan` gets the catalog that they left.
   */
  change(catalog: string, plan: (rows: readonly (readonly unknown[])[]) => readonly string[]): MaybePromise<void>
  /**
   * This driver with statements that run in UTC, for types that depend on the session's time zone. Throws
   * `FST_USERS_INVALID_OPTION` where that cannot be.
   */
  inUtc?(): MaybePromise<SqlDriver>
  /** Closes what the driver opened itself. */
  close(): MaybePromise<void>
}
