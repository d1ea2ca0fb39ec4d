import { DrizzleQueryError, sql, type SQL } from 'drizzle-orm'
import { withTimeout } from '../shared/time-limit.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { withNames } from '../sql/dialects/named-columns.js'
import { mapStatementErrors } from '../sql/drivers/driver-errors.js'
import type { SqlDriver, SqlWritten } from '../sql/drivers/driver.js'
import { transactionDriver } from '../sql/drivers/write-all.js'
import { matchedRows } from '../sql/drivers/mysql2.js'
import type { TransactionSettings } from '../sql/sql-options.js'
import type { TransactionEngine } from './engines.js'
import type { DrizzleMethods } from './instance.js'

/** The rows of a result as objects, and the result of a write. */
export interface SqlWrittenRows extends SqlWritten {
  readonly rows: readonly object[]
}

/** Stands for a parameter in statements, because Drizzle numbers the parameters. No SQL contains it. */
const PARAMETER = '\0'

/** Returns the dialect of statements that Drizzle runs. */
export function transactionDialect (dialect: Dialect, { form }: TransactionEngine): Dialect {
  return { ...withNames(dialect, form), placeholder: () => PARAMETER }
}

/** Creates a driver that runs statements in a transaction of Drizzle. */
export function useDrizzleTransaction (
  transaction: DrizzleMethods,
  { isRefusal, inUtc, readResult }: TransactionEngine,
  { timeoutMs, isUtc }: TransactionSettings
): SqlDriver {
  const wrapSql = isUtc && inUtc !== undefined ? inUtc : (text: string) => text
  const run = (parts: readonly string[], parameters: readonly unknown[]): Promise<SqlWrittenRows> =>
    mapStatementErrors(isRefusal, async () =>
      readResult(await withTimeout(() => execute(transaction, drizzleQueryOf(parts, parameters)), timeoutMs))
    )
  return transactionDriver((text) => {
    const parts = wrapSql(text).split(PARAMETER)
    const all = async (parameters: readonly unknown[]): Promise<readonly unknown[][]> =>
      (await run(parts, parameters)).rows.map((row) => Object.values(row))
    return {
      all,
      get: async (parameters) => (await all(parameters))[0],
      run: (parameters) => run(parts, parameters)
    }
  })
}

/** Reads the result of pg. */
export function readPostgresResult (result: unknown): SqlWrittenRows {
  const { rows, rowCount } = result as { rows: object[]; rowCount: number | null } // the client is a pool of pg
  return { rows, changes: Number(rowCount), insertId: Object.values(rows[0] ?? {})[0] }
}

/** Reads the result of mysql2. */
export function readMysqlResult (result: unknown): SqlWrittenRows {
  const [first] = result as [object[] | { affectedRows: number; insertId: unknown; info: string }] // a pool of mysql2
  if (Array.isArray(first)) return { rows: first, changes: 0, insertId: undefined }
  return { rows: [], changes: matchedRows(first), insertId: first.insertId }
}

function drizzleQueryOf ([first = '', ...parts]: readonly string[], parameters: readonly unknown[]): SQL {
  return sql.join([
    sql.raw(first),
    ...parts.flatMap((part, position) => [sql.param(parameters[position]), sql.raw(part)])
  ])
}

/** Runs a query. Throws the error of the client, because the message of Drizzle's own error contains the parameters. */
async function execute (transaction: DrizzleMethods, query: SQL): Promise<unknown> {
  try {
    return await transaction.execute(query)
  } catch (error) {
    throw error instanceof DrizzleQueryError ? (error.cause ?? error) : error
  }
}
