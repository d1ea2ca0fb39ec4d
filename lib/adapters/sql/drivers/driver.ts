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
  /** Reads `catalog` and runs the statements that `plan` makes of its rows, all in one transaction that excludes other writers. */
  change(catalog: string, plan: (rows: readonly (readonly unknown[])[]) => readonly string[]): MaybePromise<void>
  /** Closes what the driver opened itself. */
  close(): MaybePromise<void>
}
