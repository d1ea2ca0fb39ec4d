import { createHash } from 'node:crypto'
import { withPoolConnection, type PoolAccess } from './pool-connection.js'
import type { SqlDriver, SqlStatement, SqlWritten } from './driver.js'
import type { PgClient, PgPool, PgQuery, PgResult } from './pg-pool.js'
import { mapOpeningErrors, mapStatementErrors } from './driver-errors.js'
import { writeAll } from './write-all.js'

/** Of how many statements each connection keeps a plan; further ones are parsed each time. */
const MAX_NAMED = 500
/**
 * Takes the advisory lock under which tables are made and changed; its key is the first bytes of a digest of the
 * package's name.
 */
export const LOCK_TABLES = `SELECT pg_advisory_xact_lock(${createHash('sha256').update('fastify-users').digest().readInt32BE()})`
/**
 * A plan that a changed table or a pooler between made useless: feature not supported, no or another statement of that
 * name.
 */
const STALE = new Set(['0A000', '26000', '42P05'])
/**
 * Classes of errors of a server that cannot serve now: connection exception, insufficient resources, operator
 * intervention, system error.
 */
const NOT_NOW_CLASSES = new Set(['08', '53', '57', '58'])
/**
 * The same for single errors: serialization failure, deadlock, lock not available, only reads (as after a failover),
 * time-outs of transactions.
 */
const NOT_NOW = new Set(['40001', '40P01', '55P03', '25006', '25P03', '25P04'])
/** Values as the server writes them: parsers that the application sets for its own queries do not count. */
const types = { getTypeParser: () => (value: string) => value }

/** Runs one statement, bounded in time. */
type Run = (query: PgQuery) => Promise<PgResult>

/**
 * Hears of a connection that breaks: unheard, the event ends the process. The query that it breaks rejects all the
 * same.
 */
const ignore = (): void => {}

/**
 * A driver for a pool of `pg`, which stays open. A statement may take that many milliseconds, waiting for a connection
 * included.
 */
export function usePg (pool: PgPool, timeoutMs: number): SqlDriver {
  const names = new Map<string, string>()
  const alone = pool.listenerCount('error') === 0
  if (alone) pool.on('error', ignore)
  const pooled = poolAccess(pool)
  const run: Run = (query) =>
    mapStatementErrors(isRefusal, () => withPoolConnection(pooled, timeoutMs, (client) => client.query(query)))
  return {
    prepare (text) {
      const name = names.get(text) ?? (names.size < MAX_NAMED ? nameOf(text) : undefined)
      if (name !== undefined) names.set(text, name)
      return prepare(run, text, name)
    },
    transaction: (writes) =>
      mapStatementErrors(isRefusal, () =>
        withPoolConnection(pooled, timeoutMs, async (client) => {
          // what fails ends with the connection
          await client.query(plainQuery('BEGIN'))
          const result = await writeAll(writes, async ({ sql, parameters }) =>
            written(await client.query({ ...plainQuery(sql), values: [...parameters] }))
          )
          await client.query(plainQuery('COMMIT'))
          return result
        })
      ),
    async change (catalog, plan) {
      await mapOpeningErrors(isRefusal, async () => {
        const { rows } = await run(plainQuery(catalog))
        if (plan(rows).length === 0) return
        await withPoolConnection(pooled, timeoutMs, (client) => changeUnderLock(client, catalog, plan))
      })
    },
    close () {
      if (alone) pool.removeListener('error', ignore)
    }
  }
}

function poolAccess (pool: PgPool): PoolAccess<PgClient> {
  return {
    async acquire () {
      const client = await pool.connect()
      client.on('error', ignore)
      return client
    },
    release (client, broken) {
      client.removeListener('error', ignore)
      client.release(broken)
    }
  }
}

function prepare (send: Run, text: string, name: string | undefined): SqlStatement {
  async function run (parameters: readonly unknown[]): Promise<PgResult> {
    const query = { ...plainQuery(text), values: [...parameters] }
    if (name === undefined) return await send(query)
    try {
      return await send({ ...query, name })
    } catch (error) {
      if (!STALE.has(stateOf(error))) throw error
      return await send(query) // refused before it ran: once more is safe
    }
  }
  return {
    get: async (parameters) => (await run(parameters)).rows[0],
    all: async (parameters) => (await run(parameters)).rows,
    run: async (parameters) => written(await run(parameters))
  }
}

function written ({ rows, rowCount }: PgResult): SqlWritten {
  return { changes: Number(rowCount), insertId: rows[0]?.[0] }
}

/**
 * Reads the catalog again and runs the plan in a transaction, one process at a time. What fails ends with the
 * connection.
 */
async function changeUnderLock (
  client: PgClient,
  catalog: string,
  plan: Parameters<SqlDriver['change']>[1]
): Promise<void> {
  const run: Run = (query) => client.query(query)
  await run(plainQuery('BEGIN'))
  await run(plainQuery(LOCK_TABLES))
  for (const text of plan((await run(plainQuery(catalog))).rows)) await run(plainQuery(text))
  plan((await run(plainQuery(catalog))).rows) // what was made must fit
  await run(plainQuery('COMMIT'))
}

/** Runs one statement of a transaction. */
export type RunInTransaction = (text: string, values?: readonly unknown[]) => Promise<PgResult>

/** Runs work on one connection, after statements that begin a transaction, and commits. */
export async function inTransaction<T> (
  pool: PgPool,
  begin: readonly string[],
  work: (run: RunInTransaction) => Promise<T>
): Promise<T> {
  const client = await pool.connect()
  client.on('error', ignore)
  const run: RunInTransaction = (text, values = []) => client.query({ ...plainQuery(text), values: [...values] })
  let done = false
  try {
    for (const text of begin) await run(text)
    const result = await work(run)
    await run('COMMIT')
    done = true
    return result
  } finally {
    client.removeListener('error', ignore)
    client.release(!done) // what was begun ends with the connection
  }
}

function plainQuery (text: string): PgQuery {
  return { text, rowMode: 'array', types }
}

/** A name that is the same for a text in every process, and short: the server keeps 63 bytes. */
function nameOf (text: string): string {
  return `users_${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
}

/**
 * Returns whether a server that can serve refused. An error without a severity is of the client, that is of the
 * connection.
 */
export function isRefusal (error: unknown): boolean {
  const state = stateOf(error)
  return error instanceof Error && 'severity' in error && !NOT_NOW.has(state) && !NOT_NOW_CLASSES.has(state.slice(0, 2))
}

/** The SQLSTATE that the server sent, or the client's own code. */
function stateOf (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
