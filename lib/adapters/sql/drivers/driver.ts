import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { WaitingRead } from '../../shared/collected-reads.js'

/** A prepared statement. Rows are arrays of values in column order. */
export interface SqlStatement {
  get(parameters: readonly unknown[]): MaybePromise<readonly unknown[] | undefined>
  all(parameters: readonly unknown[]): MaybePromise<readonly (readonly unknown[])[]>
  run(parameters: readonly unknown[]): MaybePromise<SqlWritten>
}

/** A read that waits for its row. Its key is the list of the statement's parameters. */
export type WaitingRow = WaitingRead<readonly unknown[], readonly unknown[] | undefined>

/** One write of a transaction. */
export interface SqlWrite {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** The result of a write. */
export interface SqlWritten {
  readonly changes: number
  readonly insertId: unknown
}

/** A generator of the writes of one transaction. It receives the result of each write before it yields the next one. */
export type SqlWrites<T> = () => Generator<SqlWrite, T, SqlWritten>

/** A database client as the SQL adapter uses it. Methods of a synchronous client return plain values. */
export interface SqlDriver {
  prepare(sql: string): SqlStatement
  /**
   * Runs all writes in one transaction. If the database aborts it because of a concurrent transaction (a deadlock), all
   * writes are generated and run again.
   */
  transaction<T>(writes: SqlWrites<T>): MaybePromise<T>
  /**
   * Reads `catalog`, and runs the statements that `plan` returns for its rows. This happens in one transaction that
   * excludes other writers, if the database has transactions for schema changes. After the statements `plan` is called
   * again with the new catalog, to check the result.
   */
  change(catalog: string, plan: (rows: readonly (readonly unknown[])[]) => readonly string[]): MaybePromise<void>
  /**
   * Returns a driver whose statements run in UTC, for types that depend on the session's time zone. Throws
   * `FST_USERS_INVALID_OPTION` if the server cannot do that.
   */
  inUtc?(): MaybePromise<SqlDriver>
  /** Closes only what the driver opened. */
  close(): MaybePromise<void>
}
