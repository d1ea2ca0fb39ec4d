import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** Where the tests find PostgreSQL. */
export const postgresUrl =
  process.env['DATABASE_URL'] ?? process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/test'

/** Waiting for a connection ends some time; a busy machine is no fault. */
const LONG_MS = 30_000

/** Options of a test: skipped with a reason when no server answers, unless services are required. */
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

/** Configuration of a pool whose tables are in one schema. */
export function configOf (schema: string, config: pg.PoolConfig = {}): pg.PoolConfig {
  return {
    connectionString: postgresUrl,
    options: `-c search_path=${schema}`,
    max: 4,
    connectionTimeoutMillis: LONG_MS,
    ...config
  }
}

/** Runs one statement on a connection of its own. */
async function run (sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  await client.query(sql)
  await client.end()
}

/** A schema of its own. `drop` removes it with all that is in it. */
export async function makeSchema (): Promise<{ schema: string; drop: () => Promise<void> }> {
  const schema = `users_test_${randomBytes(6).toString('hex')}`
  await run(`CREATE SCHEMA ${schema}`)
  return { schema, drop: () => run(`DROP SCHEMA ${schema} CASCADE`) }
}

/** A database of its own, for a test that holds what all schemas of a database share. `drop` removes it. */
export async function makeDatabase (): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `users_test_${randomBytes(6).toString('hex')}`
  await run(`CREATE DATABASE ${name}`)
  return { url: String(new URL(`/${name}`, postgresUrl)), drop: () => run(`DROP DATABASE ${name} WITH (FORCE)`) }
}

/** An empty schema and a pool on it, which a test's end removes. */
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
