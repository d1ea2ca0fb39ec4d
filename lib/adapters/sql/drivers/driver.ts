import type { MaybePromise } from '../../../contracts/database-adapter.js'

/** One prepared statement. Rows are lists of values in column order. */
export interface SqlStatement {
  get(parameters: readonly unknown[]): MaybePromise<readonly unknown[] | undefined>
  all(parameters: readonly unknown[]): MaybePromise<readonly (readonly unknown[])[]>
  run(parameters: readonly unknown[]): MaybePromise<{ changes: number, insertId: unknown }>
}

/** What the SQL adapter asks of a database client. Methods of a synchronous client return plain values. */
export interface SqlDriver {
  prepare(sql: string): SqlStatement
  /**
   * Reads `catalog` and runs the statements that `plan` makes of its rows, all in one transaction that excludes other
   * writers, as far as the database has such for tables. Where statements ran, `plan` gets the catalog that they left.
   */
  change(catalog: string, plan: (rows: readonly (readonly unknown[])[]) => readonly string[]): MaybePromise<void>
  /** This driver with statements that run in UTC, for types that depend on the session's time zone. Throws `FST_USERS_INVALID_OPTION` where that cannot be. */
  inUtc?(): MaybePromise<SqlDriver>
  /** Closes what the driver opened itself. */
  close(): MaybePromise<void>
}
