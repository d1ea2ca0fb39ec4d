import { createHash } from 'node:crypto'
import type { SqlDriver, SqlStatement } from './driver.js'
import type { PgPool, PgQuery, PgResult } from './pg-pool.js'

/** Of how many statements each connection keeps a plan; further ones are parsed each time. */
const MAX_NAMED = 500
/** The key of the advisory lock under which tables are made: the first bytes of a digest of the package's name. */
const LOCK = createHash('sha256').update('fastify-users').digest().readInt32BE()
/** A plan that a changed table or a pooler between made useless: feature not supported, no or another statement of that name. */
const STALE = new Set(['0A000', '26000', '42P05'])
/** Values as the server writes them: parsers that the application sets for its own queries do not count. */
const types = { getTypeParser: () => (value: string) => value }

/** Hears of a connection that breaks: unheard, the event ends the process. The query that it breaks rejects all the same. */
const ignore = (): void => {}

/** A driver for a pool of `pg`, which stays open. */
export function usePg (pool: PgPool): SqlDriver {
  const names = new Map<string, string>()
  const alone = pool.listenerCount('error') === 0
  if (alone) pool.on('error', ignore)
  return {
    prepare (text) {
      const name = names.get(text) ?? (names.size < MAX_NAMED ? nameOf(text) : undefined)
      if (name !== undefined) names.set(text, name)
      return prepare(pool, text, name)
    },
    async change (catalog, plan) {
      const { rows } = await pool.query(plainQuery(catalog))
      if (plan(rows).length > 0) await changeAlone(pool, catalog, plan)
    },
    close () { if (alone) pool.removeListener('error', ignore) }
  }
}

function prepare (pool: PgPool, text: string, name: string | undefined): SqlStatement {
  async function run (parameters: readonly unknown[]): Promise<PgResult> {
    const query = { ...plainQuery(text), values: [...parameters] }
    if (name === undefined) return await pool.query(query)
    try {
      return await pool.query({ ...query, name })
    } catch (error) {
      if (!isStale(error)) throw error
      return await pool.query(query)     // refused before it ran: once more is safe
    }
  }
  return {
    get: async (parameters) => (await run(parameters)).rows[0],
    all: async (parameters) => (await run(parameters)).rows,
    async run (parameters) {
      const { rows, rowCount } = await run(parameters)
      return { changes: Number(rowCount), insertId: rows[0]?.[0] }
    }
  }
}

/** Reads the catalog again and runs the plan in a transaction, one process at a time. */
async function changeAlone (pool: PgPool, catalog: string, plan: Parameters<SqlDriver['change']>[1]): Promise<void> {
  const client = await pool.connect()
  client.on('error', ignore)
  const run = (text: string): Promise<PgResult> => client.query(plainQuery(text))
  let done = false
  try {
    await run('BEGIN')
    await run(`SELECT pg_advisory_xact_lock(${LOCK})`)
    for (const text of plan((await run(catalog)).rows)) await run(text)
    await run('COMMIT')
    done = true
  } finally {
    client.removeListener('error', ignore)
    client.release(!done)     // what was begun ends with the connection
  }
}

function plainQuery (text: string): PgQuery {
  return { text, rowMode: 'array', types }
}

/** A name that is the same for a text in every process, and short: the server keeps 63 bytes. */
function nameOf (text: string): string {
  return `users_${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
}

function isStale (error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && STALE.has(error.code)
}
