import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import t from 'tap'
import { idOf } from '../lib/adapters/shared/row-references.js'
import { postgresDialect } from '../lib/adapters/sql/dialects/postgres.js'
import type { SqlServerOptions } from '../lib/entries/postgres.js'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { integerId, Type, userSchemas, uuidId } from '../lib/index.js'
import { postgres, type PgPool, type PgQuery } from '../lib/entries/postgres.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance, withSlowReads } from '../lib/testing/index.js'
import { startTcpProxy } from './fixtures/tcp-proxy.js'
import { recordQueries } from '../benchmarks/helpers/recorded-pool.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { configOf, makePool, makeSchema, needsPostgres, postgresUrl } from './helpers/postgres.js'
import { Person } from './helpers/adopted-user.js'
import { flow } from './helpers/flow.js'
import { pythonRows, pythonTables, servePythonRows } from './helpers/python-tables.js'

const service = await needsPostgres()
const mismatch = { code: 'FST_USERS_TABLE_MISMATCH' }
const createTables = true

async function opened (
  pool: PgPool,
  defined: readonly Model[] = models,
  options: SqlServerOptions = { createTables }
): Promise<DatabaseAdapter> {
  const adapter = postgres(pool, options)
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

/** Returns the first value of each row. */
async function column (pool: pg.Pool, sql: string, values: unknown[] = []): Promise<unknown[]> {
  return (await pool.query<unknown[]>({ text: sql, values, rowMode: 'array' })).rows.map(([value]) => value)
}

function conform (
  name: string,
  config: pg.PoolConfig = {},
  wrap: (adapter: DatabaseAdapter) => DatabaseAdapter = (adapter) => adapter
): void {
  t.test(`row 85: ${name} passes the conformance suite`, service, async (t) => {
    const schemas = new WeakMap<DatabaseAdapter, string>()
    const make = (schema: string, drop?: () => Promise<void>): DatabaseAdapter => {
      const pool = new pg.Pool(configOf(schema, config))
      const adapter = wrap(postgres(pool, { createTables }))
      const close = adapter.close?.bind(adapter)
      adapter.close = async () => {
        await close?.()
        await pool.end()
        await drop?.()
      }
      schemas.set(adapter, schema)
      return adapter
    }
    adapterConformance({
      test: (name, run) => {
        t.test(name, async (t) => {
          await run()
          t.pass(name)
        })
      },
      storesNul: false,
      async makeAdapter () {
        const { schema, drop } = await makeSchema()
        return make(schema, drop)
      },
      makeSibling: (adapter) => make(schemas.get(adapter) ?? '')
    })
  })
}

conform('postgres(pool)')
conform('postgres() on a pool of one connection', { max: 1 })
conform('postgres() with slow reads', {}, (adapter) => withSlowReads(adapter, 5))

t.test(
  'PostgreSQL: tables, native types and index names are those of FastAPI Users, with additional constraints',
  service,
  async (t) => {
    const { pool, schema } = await makePool(t)
    await opened(pool)
    const types = (table: string): Promise<unknown[]> =>
      column(
        pool,
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '' ELSE ' null' END FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
        [table]
      )
    t.strictSame(await types('"user"'), [
      'id uuid',
      'email character varying(320)',
      'hashed_password character varying(1024)',
      'is_active boolean',
      'session_stamp character varying(43) null',
      'nickname character varying(80) null',
      'credits bigint null',
      'ratio double precision null',
      'settings json null',
      'seen_at timestamp with time zone null',
      'order text null'
    ])
    t.strictSame(await types('person_integer'), ['id integer', 'email character varying(320)'])
    t.strictSame(await types('person_objectid'), ['id character(24)', 'email character varying(320)'])
    t.strictSame(await types('person_custom_token'), ['token character varying(43)', 'user_id character varying(30)'])
    const indexes = await column(
      pool,
      "SELECT replace(indexdef, $1, '') FROM pg_indexes WHERE schemaname = $2 AND tablename IN ('user', 'membership') ORDER BY indexname",
      [`${schema}.`, schema]
    )
    t.strictSame(indexes, [
      'CREATE UNIQUE INDEX ix_membership_team_member_number ON membership USING btree (team, member_number)',
      'CREATE INDEX ix_membership_user_id ON membership USING btree (user_id)',
      'CREATE UNIQUE INDEX ix_user_email ON "user" USING btree (email)',
      'CREATE UNIQUE INDEX ix_user_email_lower ON "user" USING btree (lower(((email)::text COLLATE "C")))',
      'CREATE INDEX ix_user_nickname_lower ON "user" USING btree (lower(((nickname)::text COLLATE "C")))',
      'CREATE UNIQUE INDEX membership_pkey ON membership USING btree (id)',
      'CREATE UNIQUE INDEX user_pkey ON "user" USING btree (id)'
    ])
    const Wide: Model = {
      name: 'wide',
      table: 'wide',
      fields: { id: { type: 'id', id: integerId({ maximum: 2 ** 40 }) }, note: { type: 'text', nullable: true } }
    }
    const Plain: Model = { name: 'plain', table: 'plain', fields: { id: { type: 'id' } } }
    const wide = await opened(pool, [Wide, Plain])
    t.strictSame(await types('plain'), ['id uuid'])
    t.strictSame(await types('wide'), ['id bigint', 'note text null'])
    t.strictSame(await wide.create(Wide, { id: 2 ** 40 }), { id: 2 ** 40, note: null })
  }
)

t.test(
  'PostgreSQL: a missing table refuses to start with the statements that create it, and creates nothing',
  service,
  async (t) => {
    const { pool } = await makePool(t)
    for (const options of [{}, { createTables: false }]) {
      await t.rejects(opened(pool, [Person], options), {
        ...mismatch,
        message: /"user".*createTables: true[^]*CREATE TABLE "user" \([^]*CREATE UNIQUE INDEX "ix_user_email_lower"/
      })
    }
    t.strictSame(
      await column(pool, 'SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace'),
      []
    )
    const message = await opened(pool, models, {}).catch((error: Error) => error.message)
    await pool.query(String(message).split('development:\n')[1] ?? '')
    await t.resolves(opened(pool, models, {}), 'the printed statements run')
  }
)

t.test(
  'PostgreSQL: an existing table without a required column refuses to start, names the column, and creates nothing',
  service,
  async (t) => {
    const { pool } = await makePool(t)
    await pool.query('CREATE TABLE "user" (id UUID PRIMARY KEY, email TEXT, hashed_password TEXT, is_active BOOLEAN)')
    await t.rejects(opened(pool, [Person, AccessToken]), {
      ...mismatch,
      message: /"user".*columns are missing: "is_superuser", "is_verified";/
    })
    t.strictSame(await column(pool, "SELECT to_regclass('accesstoken')::text"), [null])
  }
)

t.test('PostgreSQL: wrong options are refused', service, async (t) => {
  const { pool } = await makePool(t)
  const client = new pg.Client(postgresUrl)
  for (const wrong of [null, undefined, '', postgresUrl, {}, client]) {
    t.throws(() => postgres(wrong as unknown as PgPool), { code: 'FST_USERS_INVALID_OPTION' })
  }
  for (const wrong of [
    { createTables: 'yes' },
    ...[0, -1, 1.5, NaN, Infinity, '1', null, 2 ** 31].map((timeoutMs) => ({ timeoutMs }))
  ]) {
    t.throws(
      () => postgres(pool, wrong as unknown as SqlServerOptions),
      { code: 'FST_USERS_INVALID_OPTION' },
      JSON.stringify(wrong)
    )
  }
  await t.rejects(opened(pool, [Person], { table: {} } as SqlServerOptions), {
    code: 'FST_USERS_UNKNOWN_OPTION',
    message: /createTables/
  })
})

t.test(
  'DEP-01, DEP-03: PostgreSQL: related rows are stored together or not at all, within the timeout, with one connection',
  service,
  async (t) => {
    const { schema, pool: direct } = await makePool(t)
    const pool = new pg.Pool(configOf(schema, { max: 1 }))
    t.teardown(() => pool.end())
    const adapter = await opened(pool, models, { createTables, timeoutMs: 1000 })
    const create = (n: number): Promise<unknown> | undefined =>
      adapter.createAll?.([
        [User, { email: `${n}@x.org`, hashed_password: 'hash', is_active: true }],
        [Membership, { user_id: idOf(0), team: 'knights', member_number: String(n) }]
      ])
    const blocker = await direct.connect()
    await blocker.query('BEGIN; LOCK TABLE membership')
    await t.rejects(
      async () => await create(1),
      { code: 'FST_USERS_STORE_UNAVAILABLE' },
      'the second row waits for a lock longer than the timeout'
    )
    await blocker.query('ROLLBACK')
    blocker.release()
    t.same(await adapter.findMany(User, {}, { limit: 9 }), [])
    await Promise.all(
      [1, 2, 3, 4, 5].map(async (n) => {
        await create(n)
      })
    )
    t.same(
      [
        (await adapter.findMany(User, {}, { limit: 9 })).length,
        (await adapter.findMany(Membership, {}, { limit: 9 })).length
      ],
      [5, 5]
    )
  }
)

t.test('PostgreSQL: look-ups use indexes, and each is one named statement', service, async (t) => {
  const { pool } = await makePool(t)
  const { pool: recorded, queries } = recordQueries(pool)
  const adapter = await opened(recorded)
  await pool.query(
    "INSERT INTO \"user\" (id, email, hashed_password, is_active, nickname) SELECT (lpad(n::text, 8, '0') || '-3a06-48f2-9c44-a16751012464')::uuid, 'User' || n || '@x.org', 'hash', true, 'n' || n FROM generate_series(1, 5000) n"
  )
  await pool.query(
    "INSERT INTO accesstoken SELECT 'token' || row_number() OVER (), id, now() - random() * interval '1 year' FROM \"user\""
  )
  await pool.query('ANALYZE "user"; ANALYZE accesstoken; ANALYZE membership')
  const user = await adapter.findOne(User, { email: 'USER7@x.org' })
  t.hasStrict(user, { email: 'User7@x.org' })
  const plan = async (read: () => unknown): Promise<string> => {
    const before = queries.length
    await read()
    t.equal(queries.length, before + 1, 'one round trip')
    const { text, values, name } = queries.at(-1) as PgQuery
    t.match(name, /^users_[\w-]{22}$/)
    return (await column(pool, `EXPLAIN ${text}`, values)).join('\n')
  }
  const uses = async (read: () => unknown, ...patterns: RegExp[]): Promise<void> => {
    const text = await plan(read)
    for (const pattern of patterns) t.match(text, pattern)
    t.notMatch(text, /Seq Scan/)
  }
  const userId = user?.['id'] as string
  const old = new Date(Date.now() - 364 * 86_400_000)
  await uses(() => adapter.findOne(User, { id: userId }), /Index Scan using user_pkey[^]*Index Cond: \(id = /)
  await uses(
    () => adapter.findOne(User, { email: 'user9@X.org' }),
    /ix_user_email_lower[^]*Index Cond: \(lower\(\(email\)::text\) = /
  )
  await uses(
    () => adapter.findMany(User, { email: { in: ['user9@X.org', 'user8@X.org'] } }, { limit: 9 }),
    /ix_user_email_lower/
  )
  await uses(() => adapter.findOne(User, { nickname: 'N9' }), /ix_user_nickname_lower/)
  await uses(
    () => adapter.findWithUser?.(AccessToken, { token: 'token9', created_at: { gte: old } }),
    /accesstoken_pkey/,
    /user_pkey/
  )
  await uses(() => adapter.update(User, { id: userId, session_stamp: null }, { session_stamp: 'x' }), /user_pkey/)
  await uses(() => adapter.delete(AccessToken, { user_id: userId }), /ix_accesstoken_user_id/)
  await uses(() => adapter.delete(AccessToken, { created_at: { lt: old } }), /ix_accesstoken_created_at/)
  await uses(
    () => adapter.findMany(User, {}, { limit: 20, after: { id: userId } }),
    /Index Scan using user_pkey[^]*Index Cond/
  )
  await uses(
    () => adapter.findMany(User, {}, { limit: 20, order: 'email', after: { email: 'User9@x.org', id: userId } }),
    /ix_user_email/
  )
  const [one, other] = [adapter.findOne(User, { id: userId }), adapter.findOne(User, { id: userId })]
  await Promise.all([one, other])
  t.equal(queries.at(-1)?.name, queries.at(-2)?.name)
})

t.test('PostgreSQL: many combinations of changed fields do not accumulate named statements', service, async (t) => {
  const { pool } = await makePool(t, { max: 1 })
  const fields = Object.fromEntries(
    Array.from({ length: 10 }, (_, n) => [`f${n}`, { type: 'integer', nullable: true } as const])
  )
  const Many: Model = { name: 'many', table: 'many', fields: { id: { type: 'text' }, ...fields } }
  const adapter = await opened(pool, [Many])
  await adapter.create(Many, { id: 'a' })
  for (let bits = 1; bits < 1024; bits++) {
    const changes = Object.fromEntries(
      Object.keys(fields)
        .filter((_, n) => (bits >> n) % 2 === 1)
        .map((field) => [field, bits])
    )
    await adapter.update(Many, { id: 'a' }, changes)
  }
  t.hasStrict(await adapter.findOne(Many, { id: 'a' }), { f0: 1023, f9: 1023 })
  const [count] = await column(pool, 'SELECT count(*)::int FROM pg_prepared_statements')
  t.ok(Number(count) <= 500, `${String(count)} statements`)
})

t.test(
  'PostgreSQL: a query runs again after a column changed its type or a prepared statement was lost',
  service,
  async (t) => {
    const { pool } = await makePool(t, { max: 1 })
    const adapter = await opened(pool)
    const { id } = await createUserRow(adapter)
    const find = async (): Promise<unknown> => (await adapter.findOne(User, { id: id as string }))?.['id']
    t.equal(await find(), id)
    await pool.query('ALTER TABLE "user" ALTER hashed_password TYPE TEXT')
    t.equal(await find(), id, 'after the type of a result column changed')
    await pool.query('DEALLOCATE ALL')
    t.equal(await find(), id, 'after the prepared statement was removed')
    await pool.query('ALTER TABLE "user" DROP hashed_password')
    await t.rejects(find(), { code: '42703' })
  }
)

t.test(
  'PostgreSQL: times, numbers and booleans are read alike with any settings of session and pool',
  service,
  async (t) => {
    const { pool, schema } = await makePool(t)
    const adapter = await opened(pool)
    const seen_at = new Date('2026-11-21T03:52:56.005+02:00')
    const user = await createUserRow(adapter, { seen_at, credits: Number.MAX_SAFE_INTEGER, ratio: 0.1 })
    t.strictSame(
      await column(pool, "SELECT to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM \"user\""),
      ['2026-11-21 01:52:56.005000']
    )
    const customPool = new pg.Pool({
      ...configOf(schema, { max: 1 }),
      options: `-c search_path=${schema} -c TimeZone=Asia/Kathmandu -c DateStyle=SQL,DMY`,
      types: { getTypeParser: () => () => 'parsed by the application' } as unknown as pg.CustomTypesConfig
    })
    t.teardown(() => customPool.end())
    const other = await opened(customPool)
    t.strictSame(await other.findOne(User, { id: user['id'] as string, seen_at }), user)
    await pool.query('UPDATE "user" SET seen_at = \'2026-11-21 01:52:56.545992+00\'')
    t.hasStrict(
      await other.findOne(User, { seen_at: { gte: seen_at } }),
      { seen_at: new Date('2026-11-21T01:52:56.545Z') },
      'microseconds are cut off'
    )
    for (const time of ['0001-01-01T00:00:00.000Z', '1969-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z']) {
      await other.update(User, {}, { seen_at: new Date(time) })
      t.hasStrict(await adapter.findOne(User, { seen_at: new Date(time) }), { seen_at: new Date(time) }, time)
    }
    await pool.query('UPDATE "user" SET seen_at = \'infinity\'')
    await t.rejects(async () => await adapter.findOne(User, {}), mismatch)
    await pool.query('UPDATE "user" SET seen_at = NULL, ratio = \'NaN\'')
    await t.rejects(async () => await adapter.findOne(User, {}), mismatch)
  }
)

t.test(
  'PostgreSQL: session settings that change the values read refuse to start, and the message names them',
  service,
  async (t) => {
    const { schema, pool } = await makePool(t)
    const cases: [pg.PoolConfig, RegExp][] = [
      [{ binary: true } as pg.PoolConfig, /`binary`/],
      [{ options: `-c search_path=${schema} -c extra_float_digits=0` }, /extra_float_digits/]
    ]
    for (const [config, problem] of cases) {
      const customPool = new pg.Pool(configOf(schema, config))
      await t.rejects(opened(customPool), { code: 'FST_USERS_INVALID_OPTION', message: problem }, JSON.stringify(config))
      await customPool.end()
    }
    t.strictSame(await column(pool, "SELECT to_regclass('accesstoken')::text"), [null])
  }
)

t.test(
  'PostgreSQL: characters that the database encoding lacks match no user and are refused when written',
  service,
  async (t) => {
    const name = `users_test_${randomBytes(6).toString('hex')}`
    const { pool: admin } = await makePool(t)
    await admin.query(`CREATE DATABASE ${name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
    const pool = new pg.Pool({ connectionString: Object.assign(new URL(postgresUrl), { pathname: name }).href })
    const { app, send, login, register } = await buildApp(t, { adapter: postgres(pool, { createTables }) })
    t.teardown(async () => {
      await app.close()
      await pool.end()
      await admin.query(`DROP DATABASE ${name}`)
    })
    await register({ email: 'élaine@camelot.bt' })
    t.equal((await login('cookie', 'ÉLAINE@camelot.bt')).statusCode, 400, 'case is ignored for ASCII letters only')
    t.equal((await login('cookie', 'élaine@CAMELOT.bt')).statusCode, 204)
    t.equal((await login('cookie', 'łancelot@camelot.bt')).statusCode, 400)
    t.equal((await send('POST', '/auth/forgot-password', { email: 'łancelot@camelot.bt' })).statusCode, 202)
    t.hasStrict((await send('POST', '/auth/register', { email: 'łancelot@camelot.bt', password: PASSWORD })).json(), {
      statusCode: 400,
      code: 'FST_USERS_INVALID_USER'
    })
  }
)

t.test('PostgreSQL: other column types of existing tables work', service, async (t) => {
  const { pool } = await makePool(t)
  await pool.query(`CREATE TABLE "user" (id VARCHAR(36) PRIMARY KEY, email VARCHAR(320), hashed_password TEXT, is_active BOOLEAN, nickname VARCHAR(80), credits INTEGER,
    ratio NUMERIC, settings JSONB, seen_at TIMESTAMP WITHOUT TIME ZONE, "order" VARCHAR(5) COLLATE "und-x-icu")`)
  const adapter = await opened(pool, [User])
  const user = await createUserRow(adapter, {
    credits: 5,
    ratio: 1.5,
    settings: { a: ['é'] },
    seen_at: new Date(1e12),
    order: 'a'
  })
  t.notOk(Object.hasOwn(user, 'session_stamp'))
  t.strictSame(
    await adapter.findOne(User, { id: user['id'] as string, credits: 5, ratio: 1.5, seen_at: new Date(1e12) }),
    user
  )
  await createUserRow(adapter, { order: 'B' })
  t.strictSame(
    (await adapter.findMany(User, { order: { lt: 'a' } }, { limit: 9 })).map((row) => row['order']),
    ['B'],
    'the order is by bytes, not by language'
  )
  await t.rejects(createUserRow(adapter, { order: 'abcdef' }), { ...mismatch, message: /"order" holds 5 characters/ })
  for (const change of [{ credits: 2 ** 40 }, { credits: { increment: 2_147_483_647 } }, { settings: { nul: '\0' } }]) {
    await t.rejects(
      adapter.update(User, { id: user['id'] as string }, change),
      { code: 'FST_USERS_INVALID_USER', statusCode: 400 },
      JSON.stringify(change)
    )
  }
  t.equal(await adapter.findOne(User, { credits: 2 ** 40 }), null)
  t.strictSame(
    (await adapter.findMany(User, { credits: { lt: 2 ** 40 } }, { limit: 9 })).map((row) => row['credits']),
    [5]
  )
  await pool.query(
    'ALTER TABLE "user" ALTER credits TYPE BIGINT; UPDATE "user" SET credits = 9007199254740993 WHERE credits = 5'
  )
  await t.rejects(
    async () => await adapter.findOne(User, { id: user['id'] as string }),
    { ...mismatch, message: /"credits"/ },
    "an integer beyond JavaScript's safe range"
  )
  await pool.query('UPDATE "user" SET credits = 5 WHERE credits > 5')
  await pool.query('ALTER TABLE "user" ALTER settings TYPE TEXT; UPDATE "user" SET settings = \'{\' WHERE credits = 5')
  await t.rejects(async () => await adapter.findOne(User, { credits: 5 }), mismatch)
})

t.test('EML-03: text compares byte by byte in a column whose collation ignores case', service, async (t) => {
  const { pool } = await makePool(t)
  await pool.query(`CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE accesstoken (token VARCHAR(43) COLLATE nocase PRIMARY KEY, user_id UUID, created_at TIMESTAMPTZ)`)
  const adapter = await opened(pool, [User, AccessToken])
  const user = await createUserRow(adapter)
  await createToken(adapter, user, 'Secret')
  for (const token of ['SECRET', { in: ['SECRET'] }, { gt: 'Secret' }]) {
    t.equal(await adapter.findOne(AccessToken, { token }), null)
  }
  t.hasStrict(await adapter.findWithUser?.(AccessToken, { token: 'Secret' }), { user })
})

t.test('PostgreSQL: values that no column can store match no row and are refused when written', service, async (t) => {
  const { pool } = await makePool(t)
  const adapter = await opened(pool)
  const user = await createUserRow(adapter, { order: 'a', settings: { text: 'a\0' } })
  t.strictSame(user['settings'], { text: 'a\0' }, 'JSON keeps NUL')
  t.strictSame(await adapter.findOne(User, { order: 'a' }), user)
  const refused = { code: 'FST_USERS_INVALID_OPTION' }
  await t.rejects(createUserRow(adapter, { order: 'a\0' }), refused)
  await t.rejects(createUserRow(adapter, { email: '\0@x.org' }), refused)
  await t.rejects(adapter.update(User, { id: user['id'] as string }, { order: '\0' }), refused)
  await t.rejects(createUserRow(adapter, { id: 'x' }), refused)
  for (const where of [
    { order: 'a\0' },
    { email: 'a\0' },
    { order: { in: ['\0'] } },
    { order: { gt: '\0' } },
    { id: 'x' },
    { id: String(user['id']).toUpperCase() }
  ]) {
    t.strictSame(await adapter.findMany(User, where, { limit: 9 }), [], JSON.stringify(where))
    t.equal(await adapter.update(User, where, { credits: 1 }), 0)
    t.equal(await adapter.delete(User, where), 0)
  }
  const [owner, token] = models.filter(({ name }) => name.startsWith('person_integer')) as [Model, Model]
  const [objects] = models.filter(({ name }) => name === 'person_objectid') as [Model]
  await adapter.create(owner, { email: 'a@x.org' })
  for (const id of [2_147_483_648, Number.MAX_SAFE_INTEGER, -2_147_483_649]) {
    t.equal(await adapter.findOne(owner, { id }), null)
    t.equal(await adapter.findOne(token, { user_id: id }), null)
    t.equal(await adapter.delete(owner, { id: { in: [id] } }), 0)
    await t.rejects(adapter.create(owner, { id, email: 'b@x.org' }), { code: 'FST_USERS_INVALID_USER' })
  }
  t.equal(await adapter.findOne(objects, { id: 'f'.repeat(25) }), null)
})

t.test(
  'row 83: PostgreSQL tables made by SQLAlchemy work unchanged, with rows of both programs',
  service,
  async (t) => {
    const { pool, schema } = await makePool(t)
    for (const sql of pythonTables('UUID', 'BOOLEAN', 'TIMESTAMP WITH TIME ZONE', '"')) await pool.query(sql)
    await pool.query(`INSERT INTO "user" VALUES ('05fff8ce-3a06-48f2-9c44-a16751012464', 'king.arthur@camelot.bt', '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA', true, true, true);
    INSERT INTO accesstoken VALUES ('05fff8ce-3a06-48f2-9c44-a16751012464', 'theirs', '2026-11-21 03:52:56.545992+00')`)
    const state = (): Promise<unknown[]> =>
      column(
        pool,
        `SELECT c.relname || a.attname || format_type(a.atttypid, a.atttypmod) || a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = $1::regnamespace ORDER BY 1`,
        [schema]
      )
    const before = await state()
    const adapter = await opened(pool, [Person, AccessToken], {})
    const user = await adapter.findOne(Person, { email: 'KING.ARTHUR@camelot.bt' })
    t.hasStrict(user, {
      id: '05fff8ce-3a06-48f2-9c44-a16751012464',
      email: 'king.arthur@camelot.bt',
      is_superuser: true
    })
    t.notOk(Object.hasOwn(user as object, 'session_stamp'))
    t.hasStrict(await adapter.findWithUser?.(AccessToken, { token: 'theirs' }), {
      user,
      row: { created_at: new Date('2026-11-21T03:52:56.545Z') }
    })
    await t.rejects(adapter.create(Person, { ...user, id: undefined }), {
      code: 'FST_USERS_UNIQUE_VIOLATION',
      fields: ['email']
    })

    const built = await buildApp(t, { adapter: postgres(pool), compatibility: 'fastapi-users' })
    await flow(t, built, 'galahad@camelot.bt')
    await built.register({ email: 'percival@camelot.bt' })
    t.equal(
      (await built.send('GET', '/users/me', undefined, await built.cookie('percival@camelot.bt'))).statusCode,
      200
    )
    t.strictSame(await column(pool, 'SELECT email FROM "user" ORDER BY email'), [
      'king.arthur@camelot.bt',
      'percival@camelot.bt'
    ])
    t.strictSame(await state(), before, 'no table was altered')
  }
)

t.test(
  "row 83: rows written by Python are read from PostgreSQL, and new rows have Python's format",
  service,
  async (t) => {
    const { pool } = await makePool(t)
    for (const sql of pythonTables('UUID', 'BOOLEAN', 'TIMESTAMP WITH TIME ZONE', '"')) await pool.query(sql)
    for (const [table, rows] of Object.entries(pythonRows())) {
      for (const row of rows) {
        await pool.query(
          `INSERT INTO "${table}" VALUES (${row.map((_, n) => `$${n + 1}`).join(', ')})`,
          row.map((value, n) => (table === 'user' && n > 2 ? value === 1 : value))
        )
      }
    }
    await servePythonRows(
      t,
      postgres(pool),
      async (sql) => (await pool.query<Record<string, unknown>>(sql.replace('USERS', '"user"'))).rows
    )
  }
)

t.test(
  'row 83: PostgreSQL tables with other names are mapped, and a unique violation names the fields of the model',
  service,
  async (t) => {
    const { pool } = await makePool(t)
    await pool.query(`CREATE TABLE "People" (uid UUID, "E-Mail" TEXT, hash TEXT, active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN, badge TEXT DEFAULT 'b', CONSTRAINT the_key PRIMARY KEY (uid));
    CREATE UNIQUE INDEX mine ON "People" (lower("E-Mail"))`)
    const adapter = await opened(pool, [Person], {
      tables: {
        user: { table: 'People', columns: { id: 'uid', email: 'E-Mail', hashed_password: 'hash', is_active: 'active' } }
      }
    })
    const given = {
      email: 'Galahad@camelot.bt',
      hashed_password: 'hash',
      is_active: true,
      is_superuser: false,
      is_verified: false
    }
    const user = await adapter.create(Person, given)
    const clash = (fields: string[]) => ({ code: 'FST_USERS_UNIQUE_VIOLATION', fields })
    await t.rejects(adapter.create(Person, { ...given, email: 'GALAHAD@camelot.bt' }), clash(['email']))
    await t.rejects(adapter.create(Person, { ...given, id: user['id'], email: 'x' }), clash(['id']))
    await pool.query('CREATE UNIQUE INDEX one_superuser ON "People" (hash, active)')
    await t.rejects(adapter.create(Person, { ...given, email: 'x' }), clash(['hashed_password', 'is_active']))
    await pool.query('DROP INDEX one_superuser; CREATE UNIQUE INDEX badges ON "People" (badge)')
    await t.rejects(adapter.create(Person, { ...given, email: 'x' }), clash(['badge']), 'a column without a field')
    const hidden = Object.assign(new Error('duplicate key'), { code: '23505', constraint: 'mine' })
    t.strictSame(
      postgresDialect.uniqueViolation(hidden),
      { index: 'mine', words: [] },
      'the server sends no detail to a role that may not read the table'
    )
  }
)

t.test(
  'rows 21, 22, 49: every flow works on PostgreSQL, with both backends and every kind of id',
  service,
  async (t) => {
    for (const schemas of [
      userSchemas({ credits: Type.Integer() }, { id: uuidId() }),
      userSchemas({ credits: Type.Integer() }, { id: integerId() })
    ]) {
      const { pool } = await makePool(t)
      const built = await buildApp(t, { adapter: postgres(pool, { createTables }), schemas })
      await flow(t, built, ARTHUR, { credits: 5 })
      const { id } = await built.create({ is_superuser: true, credits: 2 ** 52 })
      const headers = await built.bearer(ARTHUR)
      t.hasStrict((await built.send('GET', `/users/${id}`, undefined, headers)).json(), { id, credits: 2 ** 52 })
      for (const absent of [
        '2147483648',
        '9007199254740993',
        '999',
        'x',
        '-1',
        '05fff8ce-3a06-48f2-9c44-a16751012464',
        '%00',
        'a%00'
      ]) {
        t.equal((await built.send('GET', `/users/${absent}`, undefined, headers)).statusCode, 404, absent)
      }
    }
  }
)

t.test(
  'RACE-02: of two processes that create the tables and register one e-mail 200 times, one request succeeds',
  service,
  async (t) => {
    const { pool, schema } = await makePool(t)
    const child = join(import.meta.dirname, 'fixtures', 'register-same-user.js')
    const start = String(Date.now() + 4000)
    const outputs = await Promise.all(
      [1, 2].map(
        async () => await promisify(execFile)(process.execPath, [...process.execArgv, child, 'postgres', schema, start])
      )
    )
    const statuses = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as number[])
    t.equal(statuses.length, 200)
    t.equal(statuses.filter((status) => status === 201).length, 1)
    t.equal(statuses.filter((status) => status === 400).length, 199)
    t.strictSame(await column(pool, 'SELECT count(*)::int FROM "user"'), [1])
  }
)

t.test('RACE-02: several pools create the tables at the same time, and all open', service, async (t) => {
  const { schema } = await makePool(t)
  const pools = Array.from({ length: 8 }, () => new pg.Pool(configOf(schema, { max: 1 })))
  await Promise.all(pools.map((pool) => opened(pool)))
  t.pass('opened')
  await Promise.all(pools.map((pool) => pool.end()))
})

t.test(
  'requests reply 503 with retry-after, never 401, while PostgreSQL is down, and succeed when it is back',
  service,
  async (t) => {
    const { schema } = await makePool(t)
    const url = new URL(postgresUrl)
    const proxy = await startTcpProxy(url.hostname, Number(url.port || 5432))
    t.teardown(proxy.refuse)
    const pool = new pg.Pool(
      configOf(schema, { connectionString: `postgres://${url.username}@127.0.0.1:${proxy.port}${url.pathname}` })
    )
    const built = await buildApp(t, { adapter: postgres(pool, { createTables }) })
    await built.register()
    const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    const statuses = (): Promise<number[]> =>
      Promise.all(
        sessions.map(async (headers) => (await built.send('GET', '/users/me', undefined, headers)).statusCode)
      )
    t.strictSame(await statuses(), [200, 200])
    await proxy.refuse()
    t.strictSame(await statuses(), [503, 503])
    for (const reply of [
      await built.login('jwt', ARTHUR),
      await built.send('POST', '/auth/register', { email: 'a@camelot.bt', password: PASSWORD }),
      await built.send('GET', '/users/me', undefined, sessions[0])
    ]) {
      t.equal(reply.statusCode, 503)
      t.equal(reply.headers['retry-after'], '1')
      t.equal(reply.json<{ code: string }>().code, 'FST_USERS_STORE_UNAVAILABLE')
    }
    await proxy.pass()
    t.strictSame(await statuses(), [200, 200])
    await built.app.close()
    t.equal(pool.ended, false, 'the pool stays open after the application has closed')
    t.equal(pool.listenerCount('error'), 0)
    await pool.end()

    await proxy.refuse()
    const closed = new pg.Pool({ host: '127.0.0.1', port: proxy.port })
    closed.on('error', () => {})
    await t.rejects(opened(closed), { code: 'FST_USERS_STORE_UNAVAILABLE', cause: { code: 'ECONNREFUSED' } })
    t.equal(closed.listenerCount('error'), 1, 'the adapter adds no error listener if the application has one')
    await closed.end()
  }
)

t.test(
  'open() throws if the connection ends during table creation, and the pool works afterwards',
  service,
  async (t) => {
    const { pool, schema } = await makePool(t)
    const other = new pg.Pool(configOf(schema, { max: 1, application_name: schema }))
    t.teardown(() => other.end())
    const blocker = await pool.connect()
    await blocker.query('SELECT pg_advisory_lock(-1264620168)')
    const waiting = t.rejects(opened(other), { code: 'FST_USERS_STORE_UNAVAILABLE', cause: { code: '57P01' } })
    const terminate =
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'advisory'"
    while ((await column(pool, terminate, [schema])).length === 0) await sleep(20)
    await waiting
    await blocker.query('SELECT pg_advisory_unlock(-1264620168)')
    blocker.release()
    await t.resolves(opened(other), 'the pool still works')
  }
)

t.test('a failed creation leaves no tables behind', service, async (t) => {
  const { pool } = await makePool(t)
  await pool.query(
    'CREATE TABLE "user" (id UUID, email TEXT, hashed_password TEXT, is_active BOOLEAN, nickname TEXT, credits INT, ratio REAL, settings JSON, seen_at TIMESTAMPTZ, "order" TEXT)'
  )
  await t.rejects(
    opened(pool, [{ name: 'a', table: 'a', fields: { id: { type: 'text' } } }, User, Membership]),
    { code: '42830' },
    'a reference to a column without a key'
  )
  t.strictSame(await column(pool, "SELECT to_regclass('a')::text"), [null])
})
