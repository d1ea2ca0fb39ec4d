import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, PostgresDialect, SqliteDialect } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { DatabaseAdapter } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres, type PostgresOptions } from '../lib/entries/postgres.js'
import { ARTHUR, buildApp, PASSWORD, SECRET } from './helpers/build-app.js'
import { buildProgram, endPools, createCommandFolder } from './helpers/command-line.js'
import { configOf, makePool, needsPostgres } from './helpers/postgres.js'

const service = await needsPostgres()
const createTables = true
const TABLE_MISMATCH = { code: 'FST_USERS_TABLE_MISMATCH' }
const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
process.env['USERS_SECRET'] = SECRET
t.teardown(endPools)

/** The adapters that support PostgreSQL. */
const adapters: Record<string, (pool: pg.Pool, options: PostgresOptions) => DatabaseAdapter> = {
  postgres,
  kysely: (pool, options) => kysely(new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) }), options)
}

/** Returns a schema name that needs quoting, and drops the schema after the test. */
function schemaName (t: Test, pool: pg.Pool): string {
  const name = `Users "${randomBytes(5).toString('hex')}' test`
  t.teardown(async () => {
    await pool.query(`DROP SCHEMA IF EXISTS "${name.replaceAll('"', '""')}" CASCADE`)
  })
  return name
}

async function tablesIn (pool: pg.Pool, schema: string): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    'SELECT tablename AS name FROM pg_tables WHERE schemaname = $1 ORDER BY 1',
    [schema]
  )
  return rows.map(({ name }) => name)
}

const ALL = ['accesstoken', 'fastify_users_schema', 'user']

for (const [name, make] of Object.entries(adapters)) {
  t.test(
    `${name}(): tables are created and used in the schema of the option, with any search_path`,
    service,
    async (t) => {
      const { pool, schema: first } = await makePool(t)
      const schema = schemaName(t, pool)
      await pool.query('CREATE TABLE "user" (x INTEGER NOT NULL); CREATE TABLE accesstoken (y INTEGER NOT NULL)')
      await t.rejects(
        buildApp(t, { adapter: make(pool, { schema }) }),
        { ...TABLE_MISMATCH, message: /CREATE SCHEMA/ },
        'without createTables nothing is created'
      )
      t.strictSame(await tablesIn(pool, schema), [])

      const built = await buildApp(t, { adapter: make(pool, { schema, createTables }) })
      t.strictSame(await tablesIn(pool, schema), ALL)
      t.strictSame(await tablesIn(pool, first), ['accesstoken', 'user'], 'the tables of the search_path are unchanged')
      const { id } = await built.register()
      t.equal(
        (await built.send('POST', '/auth/register', { email: ARTHUR.toUpperCase(), password: PASSWORD })).statusCode,
        400
      )
      const headers = await built.cookie(ARTHUR)
      t.equal((await built.send('GET', '/users/me', undefined, headers)).statusCode, 200)
      await built.app.users.delete(id)
      t.equal(
        (await built.send('GET', '/users/me', undefined, headers)).statusCode,
        401,
        'the session is deleted with its user'
      )
      await t.resolves(
        buildApp(t, { adapter: make(pool, { schema }) }),
        'without createTables the existing tables pass the check at start'
      )
    }
  )

  t.test(`${name}(): existing tables of other programs in the schema are checked at start`, service, async (t) => {
    const { pool } = await makePool(t)
    const { schema } = await makePool(t)
    await pool.query(
      `CREATE TABLE "${schema}"."user" (id UUID PRIMARY KEY, email VARCHAR(320), hashed_password VARCHAR(1024), is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN, tenant_id INTEGER NOT NULL)`
    )
    await t.rejects(buildApp(t, { adapter: make(pool, { schema }) }), {
      ...TABLE_MISMATCH,
      message: /"tenant_id" must have a value/
    })
    await pool.query(`ALTER TABLE "${schema}"."user" ALTER tenant_id DROP NOT NULL, ADD CHECK (is_superuser)`)
    await t.rejects(buildApp(t, { adapter: make(pool, { schema, createTables }) }), {
      ...TABLE_MISMATCH,
      message: /CHECK \(is_superuser\) refuses every new row/
    })
  })

  t.test(
    `${name}(): two tenants may have tables with the same names in two schemas of one pool`,
    service,
    async (t) => {
      const { pool } = await makePool(t)
      const tables = { user: { table: 'people' }, accesstoken: { table: 'sessions' } }
      const [one, other] = [schemaName(t, pool), schemaName(t, pool)]
      const first = await buildApp(t, { adapter: make(pool, { schema: one, createTables, tables }) })
      const second = await buildApp(t, { name: 'staff', adapter: make(pool, { schema: other, createTables, tables }) })
      await first.register()
      await second.register()
      t.strictSame(
        [await tablesIn(pool, one), await tablesIn(pool, other)],
        [
          ['fastify_users_schema', 'people', 'sessions'],
          ['fastify_users_schema', 'people', 'sessions']
        ]
      )
    }
  )

  t.test(`${name}(): the commands of the command line work in the schema`, service, async (t) => {
    const { pool, schema: first } = await makePool(t)
    const schema = schemaName(t, pool)
    const { connectionString, options } = configOf(first)
    const connection = `keep(new pg.Pool(${JSON.stringify({ connectionString, options })}))`
    const client =
      name === 'postgres' ? connection : `new Kysely({ dialect: new PostgresDialect({ pool: ${connection} }) })`
    const adapter = `${name}(${client}, ${JSON.stringify({ schema })})`
    const rest = name === 'postgres' ? '' : "import { Kysely, PostgresDialect } from 'kysely'"
    const { run } = createCommandFolder(testFolder, program)
    const quoted = `"${schema.replaceAll('"', '""')}"`

    for (const args of [['schema'], ['schema', '--dialect', 'postgres']]) {
      const { out, code } = await run(args, { adapter, rest })
      t.equal(code, 0)
      t.ok(
        out.startsWith('DO ') &&
          out.includes(`CREATE TABLE ${quoted}."user"`) &&
          out.includes(`REFERENCES ${quoted}."user"`),
        args.join(' ')
      )
    }
    t.match((await run(['doctor'], { adapter, rest })).out, /fail {2}schema: pending: create the table "user"/)
    t.strictSame(await tablesIn(pool, schema), [])
    t.match(await run(['migrate'], { adapter, rest }), { code: 0, out: /create the table "user"/ })
    t.strictSame(await tablesIn(pool, schema), ALL)
    t.match(await run(['migrate', '--check'], { adapter, rest }), { code: 0 })
    t.match((await run(['doctor'], { adapter, rest })).out, /ok {4}schema:/)
    t.match(await run(['create-superuser', '--email', ARTHUR], { adapter, rest }, { lines: [PASSWORD] }), { code: 0 })
    t.strictSame((await pool.query(`SELECT email FROM ${quoted}."user"`)).rows, [{ email: ARTHUR }])
    t.match(await run(['prune'], { adapter, rest }), { code: 0 })
    await pool.query(
      `DROP INDEX ${quoted}.ix_user_email_lower; ALTER TABLE ${quoted}."user" ALTER email TYPE VARCHAR(90)`
    )
    t.match(
      await run(['migrate'], { adapter, rest }),
      { code: 0, out: /widen "email"[^]*unique index "ix_user_email_lower"/ },
      'missing parts are added in the schema'
    )
    t.match(await run(['migrate', '--from', 'fastapi-users'], { adapter, rest }), { code: 0, out: /Nothing to do/ })
    t.strictSame(await tablesIn(pool, first), [])
  })
}

t.test('a role without the right to create schemas uses an existing one', service, async (t) => {
  const { pool } = await makePool(t)
  const { schema } = await makePool(t)
  const role = `users_test_${randomBytes(6).toString('hex')}`
  await pool.query(`CREATE ROLE ${role} LOGIN; GRANT USAGE, CREATE ON SCHEMA "${schema}" TO ${role}`)
  t.teardown(async () => {
    await pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })
  const { connectionString = '' } = configOf(schema)
  const own = new pg.Pool({ connectionString: String(Object.assign(new URL(connectionString), { username: role })) })
  t.teardown(() => own.end())
  const { register } = await buildApp(t, { adapter: postgres(own, { schema, createTables }) })
  await t.resolves(register())
})

t.test('an invalid schema name and a schema for another database are refused', async (t) => {
  const pool = new pg.Pool()
  t.teardown(() => pool.end())
  for (const schema of ['', 'a'.repeat(64), 'a\0b', '\ud800', 5, null]) {
    t.throws(
      () => postgres(pool, { schema: schema as string }),
      { code: 'FST_USERS_INVALID_OPTION', message: /schema/ },
      JSON.stringify(schema)
    )
  }
  const database = new Database(':memory:')
  t.teardown(() => database.close())
  t.throws(() => kysely(new Kysely<unknown>({ dialect: new SqliteDialect({ database }) }), { schema: 'a' }), {
    code: 'FST_USERS_INVALID_OPTION',
    message: /schema: is available for PostgreSQL only/
  })
  const adapter = mysql({ getConnection: async () => {}, execute: async () => {} } as never, { schema: 'a' } as never)
  await t.rejects(buildApp(t, { adapter }), { code: 'FST_USERS_UNKNOWN_OPTION' })
})
