import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../../errors.js'
import { retry } from './retry.js'
import { withPoolConnection, type PoolAccess } from './pool-connection.js'
import type { SqlDriver, SqlWritten } from './driver.js'
import type { MysqlConnection, MysqlPool, MysqlQuery } from './mysql2-pool.js'
import { mapOpeningErrors, mapStatementErrors } from './driver-errors.js'
import { writeAll } from './write-all.js'

type Rows = readonly (readonly unknown[])[]
interface Result {
  affectedRows: number
  insertId: unknown
  info: string
}

/** How long `open` waits for another process that makes the tables. Seconds. */
const LOCK_TIMEOUT = 60
/** Of how many statements a connection keeps the plan: a server keeps 16382 for all connections together. */
const MAX_PREPARED = 100
const LOCK = "left(concat('fastify-users:', database()), 64)"
/** Takes the lock under which tables are made, for its connection: gives 1, or 0 after the time. */
export const LOCK_TABLES = `SELECT get_lock(${LOCK}, ${LOCK_TIMEOUT})`
/** Gives it back. */
export const UNLOCK_TABLES = `SELECT release_lock(${LOCK})`
/**
 * The statement had no effect, nor has the transaction that it is of: it was the victim of a deadlock, or not known to
 * the server any more.
 */
const REFUSED: ReadonlySet<unknown> = new Set([1213, 1243, 1615])
/** A connection to a server that only reads, as after a failover, or one that lost its statements. */
const SPENT: ReadonlySet<unknown> = new Set([1290, 1792, 1836, 1243])

/**
 * Errors of a server that cannot serve now: no connection is free, it shuts down, a limit of the account, the
 * connection was
 * ended; a lock is held too long, a deadlock, a row that changed meanwhile, a statement that took too long or was
 * ended; the
 * server only reads.
 */
const NOT_NOW: ReadonlySet<unknown> = new Set([
  1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 4031, 1205, 1213, 1020, 1317, 1969, 3024, 3572, 1021,
  1037, 1041, 1290, 1792, 1836
])

/**
 * A driver for a pool of `mysql2`, which stays open. A statement may take that many milliseconds, waiting for a
 * connection included.
 */
export function useMysql2 (pool: MysqlPool, timeoutMs: number): SqlDriver {
  const kept = new Set<string>()
  const send = async (connection: MysqlConnection, text: string, values: readonly unknown[]): Promise<unknown> => {
    if (kept.size < MAX_PREPARED) kept.add(text)
    const query = queryOf(text, values)
    const [result] = await connection.execute(query)
    if (!kept.has(text)) connection.unprepare(query)
    return result
  }
  const run = (text: string, values: readonly unknown[] = []): Promise<unknown> =>
    onAny(pool, timeoutMs, (connection) => send(connection, text, values))
  const driver = (wrapSql: (text: string) => string): SqlDriver => ({
    prepare (plain) {
      const text = wrapSql(plain)
      return {
        get: async (parameters) => ((await run(text, parameters)) as Rows)[0],
        all: async (parameters) => (await run(text, parameters)) as Rows,
        run: async (parameters) => written((await run(text, parameters)) as Result)
      }
    },
    transaction: (writes) =>
      onAny(pool, timeoutMs, (connection) =>
        allOrNone(connection, () => {
          return writeAll(writes, async ({ sql, parameters }) =>
            written((await send(connection, wrapSql(sql), parameters)) as Result)
          )
        })
      ),
    async change (catalog, plan) {
      await mapOpeningErrors(isRefusal, async () => {
        if (plan((await run(catalog)) as Rows).length > 0) await changeUnderLock(pool, catalog, plan, timeoutMs)
      })
    },
    inUtc: () => mapOpeningErrors(isRefusal, () => checkUtc(driver(inUtc))),
    close () {}
  })
  return driver((text) => text)
}

/** Gives a driver whose statements run in UTC. Throws `FST_USERS_INVALID_OPTION` when they do not. */
export async function checkUtc (driver: SqlDriver): Promise<SqlDriver> {
  const row = await driver.prepare('SELECT @@time_zone').get([])
  if (row?.[0] !== '+00:00') {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'this server does not read columns of type TIMESTAMP in UTC; make them DATETIME'
    ])
  }
  return driver
}

/** Works on a connection of the pool; again when it was refused and had no effect. */
async function onAny<T> (
  pool: MysqlPool,
  timeoutMs: number,
  work: (connection: MysqlConnection) => Promise<T>
): Promise<T> {
  const end = performance.now() + timeoutMs
  const attempt = (): Promise<T> => {
    const remainingMs = Math.max(1, Math.round(end - performance.now()))
    return withPoolConnection(poolAccess(pool), remainingMs, work)
  }
  return await mapStatementErrors(isRefusal, () => retry(attempt, hadNoEffect))
}

/** Works in a transaction. A connection that cannot take it back is broken by that error. */
async function allOrNone<T> (connection: MysqlConnection, work: () => Promise<T>): Promise<T> {
  await connection.beginTransaction()
  try {
    const result = await work()
    await connection.commit()
    return result
  } catch (error) {
    await connection.rollback()
    throw error
  }
}

function poolAccess (pool: MysqlPool): PoolAccess<MysqlConnection> {
  return {
    acquire: () => pool.getConnection(),
    release (connection, broken) {
      if (broken) connection.destroy()
      else connection.release()
    },
    isBroken: (error) => !isUsable(error)
  }
}

/** A connection of the pool. Throws `FST_USERS_STORE_UNAVAILABLE` when none is free in time. */
function lend (pool: MysqlPool, timeoutMs: number): Promise<MysqlConnection> {
  return new Promise((resolve, reject) => {
    let late = false
    const timer = setTimeout(() => {
      late = true
      reject(storeUnavailable('no connection was free in time'))
    }, timeoutMs)
    pool
      .getConnection()
      .finally(() => {
        clearTimeout(timer)
      })
      .then((connection) => {
        if (late) connection.release()
        else resolve(connection)
      }, reject)
  })
}

/**
 * Reads the catalog again and runs the plan, one process at a time, on a connection that ends with it. Each table comes
 * whole or not at all.
 */
function changeUnderLock (
  pool: MysqlPool,
  catalog: string,
  plan: Parameters<SqlDriver['change']>[1],
  timeoutMs: number
): Promise<void> {
  const pooled: PoolAccess<MysqlConnection> = {
    ...poolAccess(pool),
    release: (connection) => {
      connection.destroy()
    }
  }
  return withPoolConnection(pooled, timeoutMs, (connection) =>
    underLock(runOn(connection), async (run) => {
      for (const text of plan((await run(catalog)) as Rows)) await run(text) // of a SELECT
      plan((await run(catalog)) as Rows)
    })
  )
}

/** Runs one statement of a session. */
export type RunInSession = (text: string, values?: readonly unknown[]) => Promise<unknown>

/**
 * Runs work on a connection that ends with it, so that nothing of its session stays. The connection must come in time;
 * a
 * change of a large table may take long.
 */
export async function inSession<T> (
  pool: MysqlPool,
  timeoutMs: number,
  work: (run: RunInSession) => Promise<T>
): Promise<T> {
  const connection = await lend(pool, timeoutMs)
  try {
    return await work(runOn(connection))
  } finally {
    connection.destroy()
  }
}

/**
 * One process at a time: the lock ends with the connection. Throws `FST_USERS_STORE_UNAVAILABLE` when it does not come.
 */
async function underLock<T> (run: RunInSession, work: (run: RunInSession) => Promise<T>): Promise<T> {
  const [locked] = (await run(LOCK_TABLES)) as Rows // of a SELECT
  if (Number(locked?.[0]) !== 1) throw storeUnavailable('another process holds the lock of the tables')
  return await work(run)
}

function runOn (connection: MysqlConnection): RunInSession {
  return async (text, values = []) => (await connection.execute(queryOf(text, values)))[0]
}

/**
 * What the application chose for its own queries does not count. Numbers go as text: MySQL 8 takes no floating point
 * number for a LIMIT.
 */
function queryOf (sql: string, values: readonly unknown[]): MysqlQuery {
  return {
    sql,
    values: values.map((value) => (typeof value === 'number' ? String(value) : value)),
    rowsAsArray: true,
    nestTables: false,
    namedPlaceholders: false,
    typeCast: (_field, next) => next()
  }
}

/**
 * The statement in a session whose zone is UTC, while it runs: MariaDB reads the comment that begins it, MySQL the one
 * that follows its first word.
 */
export function inUtc (text: string): string {
  return text.replace(/^\w+/, "/*M! SET STATEMENT time_zone = '+00:00' FOR */ $& /*+ SET_VAR(time_zone = '+00:00') */")
}

function written (result: Result): SqlWritten {
  return { changes: matchedRows(result), insertId: result.insertId }
}

/**
 * Of an update the rows that matched, whether or not the pool asked for these: the first number of its message, in any
 * language.
 */
function matchedRows ({ affectedRows, info }: Result): number {
  return Number(/\d+/.exec(info)?.[0] ?? affectedRows)
}

/** Whether the server itself refused, and is not to blame for it. */
function isUsable (error: unknown): boolean {
  return error instanceof Error && 'sqlState' in error && !SPENT.has(numberOf(error))
}

/** Whether a statement failed without an effect, and may run again. */
export function hadNoEffect (error: unknown): boolean {
  return REFUSED.has(numberOf(error))
}

/** Returns whether a server that can serve refused. */
export function isRefusal (error: unknown): boolean {
  return error instanceof Error && 'sqlState' in error && !NOT_NOW.has(numberOf(error))
}

function numberOf (error: unknown): unknown {
  return (error as { errno?: unknown }).errno // the driver rejects with errors alone
}
