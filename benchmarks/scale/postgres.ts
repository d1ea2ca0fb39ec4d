import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { postgres } from 'fastify-users/postgres'
import { recordQueries } from '../helpers/recorded-pool.js'
import { HASH, makeTables, type Site } from './site.js'

const url = process.env['DATABASE_URL'] ?? process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/test'

const FILL = `INSERT INTO "user" (id, email, hashed_password, is_active, is_superuser, is_verified, session_stamp)
SELECT gen_random_uuid(), 'User.' || n || '@camelot.bt', '${HASH}', true, false, n % 2 = 0, substr(md5(n::text), 1, 22) FROM generate_series(1, $ROWS) n;
INSERT INTO accesstoken (token, user_id, created_at, session_stamp)
SELECT translate(rtrim(encode(sha256(n::text::bytea), 'base64'), '='), '+/', '-_'), u.id, now() - n::bigint * 7919 % 80000 * interval '1 second', u.session_stamp
FROM (SELECT id, session_stamp, substr(email, 6, length(email) - 16)::int AS n FROM "user") u;
VACUUM ANALYZE "user"; VACUUM ANALYZE accesstoken`

/** Creates a separate database on the server and fills it. `close` drops it. */
export async function postgresSite (rows: number): Promise<Site> {
  const name = `users_scale_${randomBytes(6).toString('hex')}`
  await administer(`CREATE DATABASE ${name}`)
  const pool = new pg.Pool({ connectionString: String(new URL(`/${name}`, url)), max: 1 })
  const close = async (): Promise<void> => {
    await pool.end()
    await administer(`DROP DATABASE ${name}`)
  }
  try {
    const { pool: recorded, queries } = recordQueries(pool)
    const adapter = postgres(recorded, { createTables: true })
    const models = await makeTables(adapter)
    await pool.query('SET synchronous_commit = off')
    for (const statement of FILL.replace('$ROWS', String(rows)).split(';')) await pool.query(statement)
    return {
      rows,
      adapter,
      ...models,
      close,
      async explain (read) {
        const before = queries.length
        await read()
        const [query, ...others] = queries.slice(before)
        if (query === undefined || others.length > 0) throw new Error('one statement was expected')
        const values = (query.values ?? []).map((value) => pg.escapeLiteral(String(value)))
        await pool.query(`PREPARE explained AS ${query.text}`)
        const lines: string[] = []
        for (const mode of ['force_custom_plan', 'force_generic_plan']) {
          // the plan of a new statement, and the plan after several executions
          await pool.query(`SET plan_cache_mode = ${mode}`)
          const { rows: plan } = await pool.query<{ 'QUERY PLAN': string }>(
            `EXPLAIN EXECUTE explained (${values.join(', ')})`
          )
          lines.push(`(${mode})`, ...plan.map((line) => line['QUERY PLAN']))
        }
        await pool.query('RESET plan_cache_mode; DEALLOCATE explained')
        return lines
      }
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function administer (sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql)
  await client.end()
}
