import { createHash } from 'node:crypto'
import { ignore } from '../../../shared/values.js'
import { withPoolConnection, type PoolAccess } from './pool-connection.js'
import type { SqlDriver, SqlStatement, SqlWritten } from './driver.js'
import type { PgClient, PgPool, PgQuery, PgResult } from './pg-pool.js'
import { pipelineReads, type WithClient } from './pg-reads.js'
import { mapOpeningErrors, mapStatementErrors } from './driver-errors.js'
import { isPgRefusal, isStale } from './pg-errors.js'
import { writeAll } from './write-all.js'

/** Maximum number of prepared statements per connection. Further statements are parsed on every use. */
const MAX_NAMED = 500
/** Acquires the advisory lock for schema changes. Its key is derived from a digest of the package's name. */
export const LOCK_TABLES = `SELECT pg_advisory_xact_lock(${createHash('sha256').update('fastify-users').digest().readInt32BE()})`
/** Returns values as the text of the server, so that type parsers of the application have no effect. */
const types = { getTypeParser: () => (value: string) => value }

/** Runs one statement with a time limit. */
type Run = (query: PgQuery) => Promise<PgResult>

/**
 * Creates a driver for a pool of `pg`, which the application closes. A statement may take `timeoutMs` milliseconds,
 * including the wait for a connection.
 */
export function usePg (pool: PgPool, timeoutMs: number): SqlDriver {
  const names = new Map<string, string>()
  const addsListener = pool.listenerCount('error') === 0
  if (addsListener) pool.on('error', ignore)
  const pooled = pgPoolAccess(pool)
  const withClient: WithClient = (work) =>
    mapStatementErrors(isPgRefusal, () => withPoolConnection(pooled, timeoutMs, work))
  const run: Run = (query) => withClient((client) => client.query(query))
  return {
    prepare (text) {
      const name = names.get(text) ?? (names.size < MAX_NAMED ? statementNameOf(text) : undefined)
      if (name !== undefined) names.set(text, name)
      const statement = preparePg(run, text, name)
      return { ...statement, get: pipelineReads(withClient, { text, name }, statement.get) }
    },
    transaction: (writes) =>
      withClient(async (client) => {
        // after an error the connection is closed, which rolls back
        await client.query(plainQuery('BEGIN'))
        const result = await writeAll(writes, async ({ sql, parameters }) =>
          convertPgResult(await client.query({ ...plainQuery(sql), values: [...parameters] }))
        )
        await client.query(plainQuery('COMMIT'))
        return result
      }),
    async change (catalog, plan) {
      await mapOpeningErrors(isPgRefusal, async () => {
        const { rows } = await run(plainQuery(catalog))
        if (plan(rows).length === 0) return
        await withPoolConnection(pooled, timeoutMs, (client) => changePgTables(client, catalog, plan))
      })
    },
    close () {
      if (addsListener) pool.removeListener('error', ignore)
    }
  }
}

function pgPoolAccess (pool: PgPool): PoolAccess<PgClient> {
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

function preparePg (send: Run, text: string, name: string | undefined): SqlStatement {
  async function run (parameters: readonly unknown[]): Promise<PgResult> {
    const query = { ...plainQuery(text), values: [...parameters] }
    if (name === undefined) return await send(query)
    try {
      return await send({ ...query, name })
    } catch (error) {
      if (!isStale(error)) throw error
      return await send(query) // it was refused before it ran, so a retry is safe
    }
  }
  return {
    get: async (parameters) => (await run(parameters)).rows[0],
    all: async (parameters) => (await run(parameters)).rows,
    run: async (parameters) => convertPgResult(await run(parameters))
  }
}

function convertPgResult ({ rows, rowCount }: PgResult): SqlWritten {
  return { changes: Number(rowCount), insertId: rows[0]?.[0] }
}

/**
 * Reads the catalog again and runs the statements of the plan in a transaction under the lock. After an error the
 * connection is closed, which rolls back.
 */
async function changePgTables (
  client: PgClient,
  catalog: string,
  plan: Parameters<SqlDriver['change']>[1]
): Promise<void> {
  const run: Run = (query) => client.query(query)
  await run(plainQuery('BEGIN'))
  await run(plainQuery(LOCK_TABLES))
  for (const text of plan((await run(plainQuery(catalog))).rows)) await run(plainQuery(text))
  plan((await run(plainQuery(catalog))).rows) // throws if the new tables do not fit
  await run(plainQuery('COMMIT'))
}

/** Runs one statement of a transaction. */
export type RunInTransaction = (text: string, values?: readonly unknown[]) => Promise<PgResult>

/** Runs the statements that begin a transaction, then work on the same connection, and commits. */
export async function inPgTransaction<T> (
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
    client.release(!done) // closing the connection rolls back
  }
}

function plainQuery (text: string): PgQuery {
  return { text, rowMode: 'array', types }
}

/** Returns a short name for a statement, the same in every process. The server keeps 63 bytes. */
function statementNameOf (text: string): string {
  return `users_${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
}
