import { storeUnavailable } from '../../errors.js'
import { withTimeout } from '../shared/time-limit.js'
import { mapOpeningErrors, mapStatementErrors } from '../sql/drivers/driver-errors.js'
import type { SqlDriver, SqlStatement, SqlWrites, SqlWritten } from '../sql/drivers/driver.js'
import { checkUtc } from '../sql/drivers/mysql2.js'
import { retry } from '../sql/drivers/retry.js'
import { readInUnion } from '../sql/drivers/union-reads.js'
import { writeAll } from '../sql/drivers/write-all.js'
import type { MigrationSession } from '../sql/migration/migration-source.js'
import type { Engine } from './engines.js'
import type { KyselyInstance, KyselyQuery, KyselyResult } from './instance.js'

type Rows = readonly (readonly unknown[])[]
/** Runs one query. */
type Execute = (query: KyselyQuery) => Promise<KyselyResult>
/** Throws if the time limit is over, since the caller no longer waits for the work. */
type CheckTime = () => void

/**
 * Creates a driver that runs SQL through a Kysely instance without plugins. The application closes the instance. A
 * statement may take `timeoutMs` milliseconds, including the wait for a connection. `wrapSql` changes each statement
 * before it runs.
 */
export function useKysely (
  db: KyselyInstance,
  engine: Engine,
  timeoutMs: number,
  wrapSql: (sql: string) => string = (sql) => sql
): SqlDriver {
  const { inUtc, isRefusal, hadNoEffect = () => false } = engine
  const execute: Execute = (query) =>
    mapStatementErrors(isRefusal, () => withTimeout(() => retry(() => db.executeQuery(query), hadNoEffect), timeoutMs))
  return {
    prepare (plain) {
      const sql = wrapSql(plain)
      const statement = prepareKysely(execute, sql)
      if (!engine.isServer) return statement
      const readAll = async (union: string, parameters: readonly unknown[]): Promise<Rows> =>
        await prepareKysely(execute, union).all(parameters)
      return { ...statement, get: readInUnion(sql, readAll, statement.get, isRefusal) }
    },
    ...(inUtc === undefined
      ? {}
      : { inUtc: () => mapOpeningErrors(isRefusal, () => checkUtc(useKysely(db, engine, timeoutMs, inUtc))) }),
    transaction: (writes) =>
      mapStatementErrors(isRefusal, () =>
        untilTimeout(timeoutMs, (checkTime) =>
          retry(() => runTransaction(db, writes, wrapSql, checkTime), hadNoEffect)
        )
      ),
    change: (catalog, plan) =>
      mapOpeningErrors(isRefusal, async () => {
        const read = async (run: Execute): Promise<readonly string[]> => plan(await prepareKysely(run, catalog).all([]))
        if ((await read(execute)).length === 0) return
        await untilTimeout(timeoutMs, (checkTime) =>
          db.connection().execute((connection) =>
            changeKyselyTables((query) => connection.executeQuery(query), engine, async (run) => {
              const rows = await prepareKysely(run, catalog).all([])
              checkTime()
              return plan(rows)
            })
          )
        )
      }),
    close () {}
  }
}

/** Runs the writes of one transaction. */
async function runTransaction<T> (
  db: KyselyInstance,
  writes: SqlWrites<T>,
  wrapSql: (sql: string) => string,
  checkTime: CheckTime
): Promise<T> {
  return await db.transaction().execute(async (transaction) => {
    const result = await writeAll(writes, async ({ sql, parameters }) => {
      checkTime()
      return convertKyselyResult(await transaction.executeQuery({ ...kyselyQueryOf(wrapSql(sql)), parameters }))
    })
    checkTime() // after this, the transaction is committed
    return result
  })
}

/** Runs work with a time limit. The work calls `checkTime` before each step that must not happen after the limit. */
async function untilTimeout<T> (timeoutMs: number, work: (checkTime: CheckTime) => Promise<T>): Promise<T> {
  let isOver = false
  const checkTime = (): void => {
    if (isOver) throw storeUnavailable('the time limit is over')
  }
  return await withTimeout(() => work(checkTime), timeoutMs).finally(() => {
    isOver = true
  })
}

/** Returns one connection as a session for migrations. */
export function kyselySession (connection: KyselyInstance): MigrationSession {
  const execute: Execute = (query) => connection.executeQuery(query)
  return {
    all: (sql, parameters = []) => prepareKysely(execute, sql).all(parameters),
    run: async (sql, parameters = []) => (await prepareKysely(execute, sql).run(parameters)).changes
  }
}

/** Reads the catalog again under the lock and runs the statements of the plan, one process at a time. */
async function changeKyselyTables (
  execute: Execute,
  { begin, commit, rollback }: Engine,
  read: (execute: Execute) => Promise<readonly string[]>
): Promise<void> {
  const run = async (sql: string): Promise<Rows> => await prepareKysely(execute, sql).all([])
  try {
    for (const sql of begin) {
      if (String((await run(sql))[0]?.[0]) === '0') {
        throw storeUnavailable('another process holds the lock of the tables')
      }
    }
    for (const sql of await read(execute)) await run(sql)
    await read(execute)
    await run(commit)
  } catch (error) {
    await run(rollback).catch(() => {}) // a lost connection ends the transaction too
    throw error
  }
}

function prepareKysely (execute: Execute, sql: string): SqlStatement {
  const query = kyselyQueryOf(sql)
  const run = (parameters: readonly unknown[]): Promise<KyselyResult> => execute({ ...query, parameters })
  const all = async (parameters: readonly unknown[]): Promise<Rows> => (await run(parameters)).rows.map(rowValuesOf)
  return {
    all,
    get: async (parameters) => (await all(parameters))[0],
    run: async (parameters) => convertKyselyResult(await run(parameters))
  }
}

function convertKyselyResult ({ rows, numAffectedRows, insertId }: KyselyResult): SqlWritten {
  return { changes: Number(numAffectedRows), insertId: insertId ?? rows.map(rowValuesOf)[0]?.[0] }
}

/** Returns the values of a row. A client of SQLite may be configured to read integers as `bigint`. */
function rowValuesOf (row: unknown): unknown[] {
  // rows are objects
  return Object.values(row as object).map((value: unknown) => (typeof value === 'bigint' ? Number(value) : value))
}

/** Returns the same query as `CompiledQuery.raw` of Kysely, without loading Kysely. */
function kyselyQueryOf (sql: string): KyselyQuery {
  return {
    sql,
    parameters: [],
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'fastify-users' }
  }
}
