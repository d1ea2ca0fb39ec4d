import { storeUnavailable } from '../../errors.js'
import { withTimeout } from '../shared/time-limit.js'
import { retry } from '../sql/drivers/retry.js'
import type { SqlDriver, SqlStatement, SqlWritten } from '../sql/drivers/driver.js'
import { checkUtc } from '../sql/drivers/mysql2.js'
import { mapOpeningErrors, mapStatementErrors } from '../sql/drivers/driver-errors.js'
import type { MigrationSession } from '../sql/migration/migration-source.js'
import { writeAll } from '../sql/drivers/write-all.js'
import type { Engine } from './engines.js'
import type { KyselyInstance, KyselyQuery, KyselyResult } from './instance.js'

type Rows = readonly (readonly unknown[])[]
/** Runs one query. */
type Execute = (query: KyselyQuery) => Promise<KyselyResult>

/**
 * A driver that runs our statements through an instance without plugins, in its pool; which stays open. A statement may
 * take
 * that many milliseconds, waiting for a connection included.
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
    prepare: (sql) => prepare(execute, wrapSql(sql)),
    ...(inUtc === undefined
      ? {}
      : { inUtc: () => mapOpeningErrors(isRefusal, () => checkUtc(useKysely(db, engine, timeoutMs, inUtc))) }),
    async transaction (writes) {
      let late = false
      const inTime = (): void => {
        if (late) throw storeUnavailable('the transaction came too late')
      } // nobody waits for it any more
      return await mapStatementErrors(isRefusal, () =>
        withTimeout(
          () =>
            retry(
              () =>
                db.transaction().execute(async (transaction) => {
                  const result = await writeAll(writes, async ({ sql, parameters }) => {
                    inTime()
                    return written(await transaction.executeQuery({ ...queryOf(wrapSql(sql)), parameters }))
                  })
                  inTime()
                  return result
                }),
              hadNoEffect
            ),
          timeoutMs
        ).finally(() => {
          late = true
        })
      )
    },
    async change (catalog, plan) {
      let late = false
      const read = async (run: Execute): Promise<readonly string[]> => {
        const rows = await prepare(run, catalog).all([])
        if (late) throw storeUnavailable('the change came too late') // nobody waits for it any more
        return plan(rows)
      }
      const change = (): Promise<void> =>
        db
          .connection()
          .execute((connection) => changeUnderLock((query) => connection.executeQuery(query), engine, read))
      await mapOpeningErrors(isRefusal, async () => {
        if ((await read(execute)).length > 0) {
          await withTimeout(change, timeoutMs).finally(() => {
            late = true
          })
        }
      })
    },
    close () {}
  }
}

/** One connection, as migrations use it. */
export function sessionOf (connection: KyselyInstance): MigrationSession {
  const execute: Execute = (query) => connection.executeQuery(query)
  return {
    all: (sql, parameters = []) => prepare(execute, sql).all(parameters),
    run: async (sql, parameters = []) => (await prepare(execute, sql).run(parameters)).changes
  }
}

/** Reads the catalog again and runs the plan, one process at a time. */
async function changeUnderLock (
  execute: Execute,
  { begin, commit, rollback }: Engine,
  read: (execute: Execute) => Promise<readonly string[]>
): Promise<void> {
  const run = async (sql: string): Promise<Rows> => await prepare(execute, sql).all([])
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
    await run(rollback).catch(() => {}) // with the connection gone, so is what was begun
    throw error
  }
}

function prepare (execute: Execute, sql: string): SqlStatement {
  const query = queryOf(sql)
  const run = (parameters: readonly unknown[]): Promise<KyselyResult> => execute({ ...query, parameters })
  const all = async (parameters: readonly unknown[]): Promise<Rows> => (await run(parameters)).rows.map(valuesOf)
  return {
    all,
    get: async (parameters) => (await all(parameters))[0],
    run: async (parameters) => written(await run(parameters))
  }
}

function written ({ rows, numAffectedRows, insertId }: KyselyResult): SqlWritten {
  return { changes: Number(numAffectedRows), insertId: insertId ?? rows.map(valuesOf)[0]?.[0] }
}

/** A client of SQLite may be set to read integers as `bigint`. */
function valuesOf (row: unknown): unknown[] {
  // rows are objects
  return Object.values(row as object).map((value: unknown) => (typeof value === 'bigint' ? Number(value) : value))
}

/** What `CompiledQuery.raw` of Kysely makes, without loading it. */
function queryOf (sql: string): KyselyQuery {
  return {
    sql,
    parameters: [],
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'fastify-users' }
  }
}
