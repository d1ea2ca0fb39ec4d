import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { FILLER_HASH } from './password.js'
import type { Settings } from './serve.js'
import { spreadEmails } from './sqlite-file.js'

const URL_OF_SERVER =
  process.env['DATABASE_URL'] ?? process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/test'

const USERS = `INSERT INTO "user" (id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp)
SELECT gen_random_uuid(), 'User.' || n || '@camelot.bt', '${FILLER_HASH}', true, false, n % 2 = 0, substr(md5(n::text), 1, 22)
FROM generate_series(1, $1::int) n`

const TOKENS = `INSERT INTO accesstoken (token, user_id, created_at, session_stamp)
SELECT substr(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 1, 43), id, now(), session_stamp FROM "user"`

/** A database of its own on the server. */
export interface OwnDatabase {
  pool: pg.Pool
  fill(settings: Settings): Promise<readonly string[]>
  /** Ends the pool and drops the database. */
  end(): Promise<void>
}

/** Creates a database. */
export async function newDatabase (): Promise<OwnDatabase> {
  const name = `users_bench_${randomBytes(6).toString('hex')}`
  await administer(`CREATE DATABASE ${name}`)
  const connectionString = String(new URL(`/${name}`, URL_OF_SERVER))
  const pool = new pg.Pool({ connectionString, max: 10, idleTimeoutMillis: 0, connectionTimeoutMillis: 3000 })
  return {
    pool,
    async fill ({ users, tokens }) {
      const count = users - 1
      if (count > 0) await pool.query(USERS, [count])
      const { rows } = await pool.query("SELECT 1 FROM pg_tables WHERE tablename = 'accesstoken'")
      if (rows.length > 0) await pool.query(TOKENS)
      await pool.query('VACUUM ANALYZE')
      return spreadEmails(count, tokens)
    },
    async end () {
      await pool.end()
      await administer(`DROP DATABASE ${name} WITH (FORCE)`)
    }
  }
}

async function administer (sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: URL_OF_SERVER, connectionTimeoutMillis: 3000 })
  await client.connect()
  await client.query(sql)
  await client.end()
}
