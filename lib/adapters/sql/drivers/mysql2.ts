import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../../errors.js'
import { retry } from './retry.js'
import { withPoolConnection, type PoolAccess } from './pool-connection.js'
import type { SqlDriver, SqlWritten } from './driver.js'
import type { MysqlConnection, MysqlPool, MysqlQuery } from './mysql2-pool.js'
import { mapOpeningErrors, mapStatementErrors } from './driver-errors.js'
import { hadNoEffect, isMysqlRefusal, isUsable } from './mysql2-errors.js'
import { readInUnion } from './union-reads.js'
import { writeAll } from './write-all.js'

type Rows = readonly (readonly unknown[])[]
interface Result {
  affectedRows: number
  insertId: unknown
  info: string
}

/** Seconds that `open()` waits while another process creates tables. */
const LOCK_TIMEOUT = 60
/** Maximum number of prepared statements per connection. A server keeps 16382 for all connections together. */
const MAX_PREPARED = 100
const LOCK = "left(concat('fastify-users:', database()), 64)"
/** Acquires the lock for schema changes, which belongs to the connection. Returns 1, or 0 after the time-out. */
export const LOCK_TABLES = `SELECT get_lock(${LOCK}, ${LOCK_TIMEOUT})`
/** Releases the lock for schema changes. */
export const UNLOCK_TABLES = `SELECT release_lock(${LOCK})`
/**
 * Creates a driver for a pool of `mysql2`, which the application closes. A statement may take `timeoutMs` milliseconds,
 * including the wait for a connection.
 */
export function useMysql2 (pool: MysqlPool, timeoutMs: number): SqlDriver {
  const kept = new Set<string>()
  const send = async (connection: MysqlConnection, text: string, values: readonly unknown[]): Promise<unknown> => {
    if (kept.size < MAX_PREPARED) kept.add(text)
    const query = mysqlQueryOf(connection, text, values)
    const [result] = await connection.execute(query)
    if (!kept.has(text)) connection.unprepare(query)
    return result
  }
  const run = (text: string, values: readonly unknown[] = []): Promise<unknown> =>
    onAny(pool, timeoutMs, (connection) => send(connection, text, values))
  const driver = (wrapSql: (text: string) => string): SqlDriver => ({
    prepare (plain) {
      const text = wrapSql(plain)
      const readAll = async (sql: string, parameters: readonly unknown[]): Promise<Rows> =>
        (await run(sql, parameters)) as Rows // a SELECT returns rows
      return {
        get: readInUnion(text, readAll, async (parameters) => (await readAll(text, parameters))[0], isMysqlRefusal),
        all: (parameters) => readAll(text, parameters),
        run: async (parameters) => convertMysql2Result((await run(text, parameters)) as Result)
      }
    },
    transaction: (writes) =>
      onAny(pool, timeoutMs, (connection) =>
        allOrNone(connection, () => {
          return writeAll(writes, async ({ sql, parameters }) =>
            convertMysql2Result((await send(connection, wrapSql(sql), parameters)) as Result)
          )
        })
      ),
    async change (catalog, plan) {
      await mapOpeningErrors(isMysqlRefusal, async () => {
        if (plan((await run(catalog)) as Rows).length > 0) await changeMysqlTables(pool, catalog, plan, timeoutMs)
      })
    },
    inUtc: () => mapOpeningErrors(isMysqlRefusal, () => checkUtc(driver(inUtc))),
    close () {}
  })
  return driver((text) => text)
}

/** Returns the driver if its statements run in UTC. Throws `FST_USERS_INVALID_OPTION` otherwise. */
export async function checkUtc (driver: SqlDriver): Promise<SqlDriver> {
  const row = await driver.prepare('SELECT @@time_zone').get([])
  if (row?.[0] !== '+00:00') {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'this server cannot read TIMESTAMP columns in UTC; change them to DATETIME'
    ])
  }
  return driver
}

/** Runs work on a connection of the pool, and retries if it was refused without an effect. */
async function onAny<T> (
  pool: MysqlPool,
  timeoutMs: number,
  work: (connection: MysqlConnection) => Promise<T>
): Promise<T> {
  const end = performance.now() + timeoutMs
  const attempt = (): Promise<T> => {
    const remainingMs = Math.max(1, Math.round(end - performance.now()))
    return withPoolConnection(mysqlPoolAccess(pool), remainingMs, work)
  }
  return await mapStatementErrors(isMysqlRefusal, () => retry(attempt, hadNoEffect))
}

/** Runs work in a transaction. If the rollback fails, its error makes the pool discard the connection. */
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

function mysqlPoolAccess (pool: MysqlPool): PoolAccess<MysqlConnection> {
  return {
    acquire: () => pool.getConnection(),
    release (connection, broken) {
      if (broken) connection.destroy()
      else connection.release()
    },
    isBroken: (error) => !isUsable(error)
  }
}

/** Returns a connection of the pool. Throws `FST_USERS_STORE_UNAVAILABLE` if none is free in time. */
function acquireConnection (pool: MysqlPool, timeoutMs: number): Promise<MysqlConnection> {
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
 * Reads the catalog again and runs the statements of the plan under the lock, on a connection that is closed
 * afterwards. MySQL commits each table separately.
 */
function changeMysqlTables (
  pool: MysqlPool,
  catalog: string,
  plan: Parameters<SqlDriver['change']>[1],
  timeoutMs: number
): Promise<void> {
  const pooled: PoolAccess<MysqlConnection> = {
    ...mysqlPoolAccess(pool),
    release: (connection) => {
      connection.destroy()
    }
  }
  return withPoolConnection(pooled, timeoutMs, (connection) =>
    underLock(runOn(connection), async (run) => {
      for (const text of plan((await run(catalog)) as Rows)) await run(text) // a SELECT returns rows
      plan((await run(catalog)) as Rows)
    })
  )
}

/** Runs one statement of a session. */
export type RunInSession = (text: string, values?: readonly unknown[]) => Promise<unknown>

/**
 * Runs work on a connection that is closed afterwards, so that its session state does not leak into the pool. The
 * connection must be free in time; the work itself has no time limit.
 */
export async function inSession<T> (
  pool: MysqlPool,
  timeoutMs: number,
  work: (run: RunInSession) => Promise<T>
): Promise<T> {
  const connection = await acquireConnection(pool, timeoutMs)
  try {
    return await work(runOn(connection))
  } finally {
    connection.destroy()
  }
}

/**
 * Runs work under the lock for schema changes. The server releases the lock when the connection closes. Throws
 * `FST_USERS_STORE_UNAVAILABLE` if the lock is not free in time.
 */
async function underLock<T> (run: RunInSession, work: (run: RunInSession) => Promise<T>): Promise<T> {
  const [locked] = (await run(LOCK_TABLES)) as Rows // a SELECT returns rows
  if (Number(locked?.[0]) !== 1) throw storeUnavailable('another process holds the lock of the tables')
  return await work(run)
}

function runOn (connection: MysqlConnection): RunInSession {
  return async (text, values = []) => (await connection.execute(mysqlQueryOf(connection, text, values)))[0]
}

/**
 * Returns a query that overrides the pool's options for the application's queries. Numbers are sent as text, because
 * MySQL 8 refuses a floating-point number for LIMIT, and mysql2 sends numbers as such.
 */
function mysqlQueryOf ({ connection }: MysqlConnection, sql: string, values: readonly unknown[]): MysqlQuery {
  return {
    sql,
    values: values.map((value) => (typeof value === 'number' ? String(value) : value)),
    rowsAsArray: true,
    nestTables: false,
    namedPlaceholders: false,
    // a function of the pool is overridden by a function only; otherwise `true` is faster, because mysql2 creates an
    // object for each call of a function
    typeCast: connection === undefined || typeof connection.config.typeCast === 'function' ? useDefaultCast : true
  }
}

function useDefaultCast (_field: unknown, next: () => unknown): unknown {
  return next()
}

/**
 * Returns the statement with UTC as its time zone. MariaDB reads the comment before it, MySQL the hint after its first
 * word.
 */
export function inUtc (text: string): string {
  return text.replace(/^\w+/, "/*M! SET STATEMENT time_zone = '+00:00' FOR */ $& /*+ SET_VAR(time_zone = '+00:00') */")
}

function convertMysql2Result (result: Result): SqlWritten {
  return { changes: matchedRows(result), insertId: result.insertId }
}

/**
 * Returns the number of rows that an update matched, also if the pool's flag FOUND_ROWS is not set. The first number in
 * the server's message is this number in every language.
 */
export function matchedRows ({ affectedRows, info }: Result): number {
  return Number(/\d+/.exec(info)?.[0] ?? affectedRows)
}
