import { storeUnavailable } from '../../errors.js'
import { withTimeout } from '../shared/time-limit.js'
import { mapOpeningErrors, mapStatementErrors } from '../sql/drivers/driver-errors.js'
import type { SqlDriver, SqlStatement, SqlWritten } from '../sql/drivers/driver.js'
import { checkUtc } from '../sql/drivers/mysql2.js'
import { retry } from '../sql/drivers/retry.js'
import { transactionDriver, writeAll } from '../sql/drivers/write-all.js'
import type { PrismaQueries, PrismaTransactions } from './client.js'
import type { PrismaEngine } from './engines.js'
import { databaseErrorOf } from './errors.js'

type Rows = readonly (readonly unknown[])[]

/** Separates an INSERT from the column of the generated id that it returns. */
const RETURNING = ' RETURNING '
const LAST_ID = 'SELECT last_insert_id() AS id'

/**
 * Creates a driver that runs SQL through a Prisma client, which the application disconnects. A statement may take
 * `timeoutMs` milliseconds, including the wait for a connection.
 */
export function usePrisma (
  client: PrismaTransactions,
  engine: PrismaEngine,
  timeoutMs: number,
  inUtc = false
): SqlDriver {
  const { isRefusal, hadNoEffect = () => false } = engine
  const limited = <T>(work: () => Promise<T>): Promise<T> =>
    mapStatementErrors(isRefusal, () =>
      withTimeout(() => retry(() => translateErrors(engine, work), hadNoEffect), timeoutMs)
    )
  const wrapSql = wrapperOf(engine, inUtc)
  const inTransaction = <T>(work: (transaction: PrismaQueries) => Promise<T>): Promise<T> =>
    client.$transaction(work, { maxWait: timeoutMs, timeout: timeoutMs })
  return {
    prepare: (sql) => preparePrisma(client, engine, wrapSql(sql), limited, inTransaction),
    ...(engine.inUtc === undefined
      ? {}
      : { inUtc: () => mapOpeningErrors(isRefusal, () => checkUtc(usePrisma(client, engine, timeoutMs, true))) }),
    transaction: (writes) =>
      limited(() => {
        const end = performance.now() + timeoutMs
        return inTransaction((transaction) =>
          writeAll(writes, async ({ sql, parameters }) => {
            if (performance.now() > end) throw storeUnavailable('the time limit is over')
            return await writePrisma(transaction, engine, wrapSql(sql), parameters)
          })
        )
      }),
    change: (catalog, plan) =>
      mapOpeningErrors(isRefusal, async () => {
        plan(await preparePrisma(client, engine, catalog, limited, inTransaction).all([]))
      }),
    close () {}
  }
}

/** Creates a driver that runs SQL in an interactive transaction of Prisma. */
export function usePrismaTransaction (
  transaction: PrismaQueries,
  engine: PrismaEngine,
  timeoutMs: number,
  inUtc: boolean
): SqlDriver {
  const limited = <T>(work: () => Promise<T>): Promise<T> =>
    mapStatementErrors(engine.isRefusal, () => withTimeout(() => translateErrors(engine, work), timeoutMs))
  const wrapSql = wrapperOf(engine, inUtc)
  return transactionDriver((sql) =>
    preparePrisma(transaction, engine, wrapSql(sql), limited, (work) => work(transaction))
  )
}

type Limited = <T>(work: () => Promise<T>) => Promise<T>
type InTransaction = <T>(work: (transaction: PrismaQueries) => Promise<T>) => Promise<T>

function preparePrisma (
  queries: PrismaQueries,
  engine: PrismaEngine,
  sql: string,
  limited: Limited,
  inTransaction: InTransaction
): SqlStatement {
  const all = (parameters: readonly unknown[]): Promise<Rows> => limited(() => readPrisma(queries, sql, parameters))
  const needsLastId = engine.database === 'mysql' && sql.includes(RETURNING)
  return {
    all,
    get: async (parameters) => (await all(parameters))[0],
    run: (parameters) =>
      limited(() =>
        needsLastId
          ? inTransaction((transaction) => writePrisma(transaction, engine, sql, parameters))
          : writePrisma(queries, engine, sql, parameters)
      )
  }
}

/**
 * Runs a write. In MySQL, a generated id is read with a second statement on the same connection, so such an INSERT
 * needs a transaction.
 */
async function writePrisma (
  queries: PrismaQueries,
  { database }: PrismaEngine,
  sql: string,
  parameters: readonly unknown[]
): Promise<SqlWritten> {
  if (!sql.includes(RETURNING)) {
    return { changes: await queries.$executeRawUnsafe(sql, ...parameters), insertId: undefined }
  }
  if (database === 'mysql') {
    const changes = await queries.$executeRawUnsafe(sql.slice(0, sql.lastIndexOf(RETURNING)), ...parameters)
    return { changes, insertId: (await readPrisma(queries, LAST_ID, []))[0]?.[0] }
  }
  const rows = await readPrisma(queries, sql, parameters)
  return { changes: rows.length, insertId: rows[0]?.[0] }
}

async function readPrisma (queries: PrismaQueries, sql: string, parameters: readonly unknown[]): Promise<Rows> {
  const rows = (await queries.$queryRawUnsafe(sql, ...parameters)) as readonly object[] // raw queries return objects
  return rows.map((row) => Object.values(row).map((value: unknown) => (typeof value === 'bigint' ? Number(value) : value)))
}

/** Runs work. Throws the error of the database instead of that of Prisma. */
async function translateErrors<T> ({ database }: PrismaEngine, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw databaseErrorOf(error, database)
  }
}

function wrapperOf ({ inUtc }: PrismaEngine, isUtc: boolean): (sql: string) => string {
  return isUtc && inUtc !== undefined ? inUtc : (sql) => sql
}
