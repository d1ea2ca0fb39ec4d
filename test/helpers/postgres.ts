import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** The URL of PostgreSQL. */
export const postgresUrl =
  process.env['DATABASE_URL'] ?? process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/test'

/** Timeout for a connection. It is long because the machine may be busy. */
const LONG_MS = 30_000

/** Returns options that skip a test with a reason if no server replies, unless REQUIRE_SERVICES=1. */
export async function needsPostgres (): Promise<{ skip: string | false }> {
  const client = new pg.Client({ connectionString: postgresUrl, connectionTimeoutMillis: LONG_MS })
  try {
    await client.connect()
    await client.end()
    return { skip: false }
  } catch (error) {
    if (process.env['REQUIRE_SERVICES'] === '1') throw error
    return { skip: `no PostgreSQL answers: ${String(error)}` }
  }
}

/** Returns the configuration of a pool for one schema. */
export function configOf (schema: string, config: pg.PoolConfig = {}): pg.PoolConfig {
  return {
    connectionString: postgresUrl,
    options: `-c search_path=${schema}`,
    max: 4,
    connectionTimeoutMillis: LONG_MS,
    ...config
  }
}

/** Runs one statement on a new connection. */
async function run (sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  await client.query(sql)
  await client.end()
}

/** Creates a schema. `drop` deletes it with its tables. */
export async function makeSchema (): Promise<{ schema: string; drop: () => Promise<void> }> {
  const schema = `users_test_${randomBytes(6).toString('hex')}`
  await run(`CREATE SCHEMA ${schema}`)
  return { schema, drop: () => run(`DROP SCHEMA ${schema} CASCADE`) }
}

/** Creates a database, for tests that lock what all schemas of a database share. `drop` deletes it. */
export async function makeDatabase (): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `users_test_${randomBytes(6).toString('hex')}`
  await run(`CREATE DATABASE ${name}`)
  return { url: String(new URL(`/${name}`, postgresUrl)), drop: () => run(`DROP DATABASE ${name} WITH (FORCE)`) }
}

/** Creates an empty schema and a pool. Both are removed when the test ends. */
export async function makePool (
  t: { teardown: (undo: () => Promise<void>) => void },
  config?: pg.PoolConfig
): Promise<{ schema: string; pool: pg.Pool }> {
  const { schema, drop } = await makeSchema()
  const pool = new pg.Pool(configOf(schema, config))
  t.teardown(async () => {
    await pool.end()
    await drop()
  })
  return { schema, pool }
}
