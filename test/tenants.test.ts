import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import Fastify, { type FastifyInstance } from 'fastify'
import { Kysely, PostgresDialect } from 'kysely'
import t, { type Test } from 'tap'
import { tenantModel } from '../lib/shared/tenant.js'
import type { SqlServerOptions } from '../lib/entries/mysql.js'
import users, { bearerTransport, databaseStrategy, type DatabaseAdapter, type UsersOptions } from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { github, oauth } from '../lib/features/oauth/index.js'
import { User } from '../lib/testing/conformance/models.js'
import { fastPasswords, SECRET } from './helpers/build-app.js'
import { buildProgram, createCommandFolder, rowsOf, type ConfigParts } from './helpers/command-line.js'
import { connect, ferretdb, freshDb } from './helpers/mongo-stores.js'
import { makeMysqlPool, needsMysql } from './helpers/mysql.js'
import { makePool, needsPostgres } from './helpers/postgres.js'
import { connectRedis } from './helpers/redis.js'

const EMAIL = 'merlin@camelot.bt'
const PASSWORDS: Record<string, string> = { users: 'broceliande-9', staff: 'tintagel-rocks-7' }
const createTables = true
const TABLES = ['accesstoken', 'staff_accesstoken', 'staff_user', 'user']

const database = (): UsersOptions['backends'] => [
  { name: 'session', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
]

/** Builds an application with these tenants, each in a scope with its name as the prefix. */
async function register (
  t: Test,
  adapters: Record<string, DatabaseAdapter>,
  options: Partial<UsersOptions> = {}
): Promise<FastifyInstance> {
  const app = Fastify({ pluginTimeout: 60_000 })
  t.teardown(() => app.close())
  for (const [name, adapter] of Object.entries(adapters)) {
    const own: UsersOptions = {
      name,
      adapter,
      secret: SECRET,
      passwords: fastPasswords,
      limits: false,
      backends: database(),
      compatibility: { tokenStorage: 'plain' },
      ...options
    }
    await app.register(
      async (scope) => {
        await scope.register(users, own)
      },
      { prefix: `/${name}` }
    )
  }
  await app.ready()
  return app
}

/** Registers one e-mail with both tenants, and checks that neither accepts passwords and sessions of the other. */
async function checkIsolation (t: Test, app: FastifyInstance): Promise<void> {
  const tokens: Record<string, string> = {}
  for (const [name, password] of Object.entries(PASSWORDS)) {
    const registered = await app.inject({
      method: 'POST',
      url: `/${name}/auth/register`,
      payload: { email: EMAIL, password }
    })
    t.equal(registered.statusCode, 201, `${name}: register`)
    const login = await app.inject({
      method: 'POST',
      url: `/${name}/auth/session/login`,
      payload: { username: EMAIL, password }
    })
    t.equal(login.statusCode, 200, `${name}: log in`)
    tokens[name] = login.json<{ access_token: string }>().access_token
  }
  for (const [name, other] of [
    ['users', 'staff'],
    ['staff', 'users']
  ] as const) {
    const login = await app.inject({
      method: 'POST',
      url: `/${name}/auth/session/login`,
      payload: { username: EMAIL, password: PASSWORDS[other] }
    })
    t.equal(login.statusCode, 400, `${name}: the password of ${other}`)
    const me = (token = ''): Promise<{ statusCode: number }> =>
      app.inject({ url: `/${name}/users/me`, headers: { authorization: `Bearer ${token}` } })
    t.equal((await me(tokens[name])).statusCode, 200, `${name}: its own session`)
    t.equal((await me(tokens[other])).statusCode, 401, `${name}: the session of ${other}`)
  }
}

/** A database that tenants share. */
interface SharedStore {
  /** Creates an adapter with these options. */
  adapter(options?: SqlServerOptions): DatabaseAdapter
  tables(): Promise<unknown[]>
}

const USER_TABLES = /^(?!fastify_users_|sqlite_)/
const servers = { postgres: await needsPostgres(), mysql: await needsMysql(), none: { skip: false as const } }

const stores: Record<string, { service: { skip: string | false }; open: (t: Test) => Promise<SharedStore> }> = {
  'a file of SQLite': {
    service: servers.none,
    open: async (t) => {
      const file = join(t.testdir(), 'users.sqlite')
      return {
        adapter: ({ tables } = {}) => sqlite(file, tables === undefined ? {} : { tables }),
        tables: async () => rowsOf(file, "SELECT name FROM sqlite_master WHERE type = 'table'").flat()
      }
    }
  },
  'a database of SQLite': {
    service: servers.none,
    open: async (t) => {
      const client = new Database(':memory:')
      t.teardown(() => client.close())
      return {
        adapter: ({ tables } = {}) => sqlite(client, tables === undefined ? {} : { tables }),
        tables: async () => client.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all()
      }
    }
  },
  PostgreSQL: {
    service: servers.postgres,
    open: async (t) => {
      const { pool, schema } = await makePool(t)
      const tables = async (): Promise<unknown[]> =>
        (
          await pool.query<{ name: string }>('SELECT tablename AS name FROM pg_tables WHERE schemaname = $1', [schema])
        ).rows.map(({ name }) => name)
      return { adapter: (options) => postgres(pool, { createTables, ...options }), tables }
    }
  },
  Kysely: {
    service: servers.postgres,
    open: async (t) => {
      const { pool, schema } = await makePool(t)
      const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
      const tables = async (): Promise<unknown[]> =>
        (
          await pool.query<{ name: string }>('SELECT tablename AS name FROM pg_tables WHERE schemaname = $1', [schema])
        ).rows.map(({ name }) => name)
      return { adapter: (options) => kysely(db, { createTables, ...options }), tables }
    }
  },
  MySQL: {
    service: servers.mysql,
    open: async (t) => {
      const { pool } = await makeMysqlPool(t)
      const tables = async (): Promise<unknown[]> =>
        (await pool.query({ sql: 'SHOW TABLES', rowsAsArray: true }))[0] as unknown[]
      return {
        adapter: (options) => mysql(pool, { createTables, ...options }),
        tables: async () => (await tables()).flat()
      }
    }
  }
}

for (const [store, { service, open }] of Object.entries(stores)) {
  t.test(`two tenants in ${store} have separate tables`, service, async (t) => {
    const { adapter, tables } = await open(t)
    const app = await register(t, { users: adapter(), staff: adapter() })
    t.strictSame((await tables()).filter((name) => USER_TABLES.test(String(name))).sort(), TABLES)
    await checkIsolation(t, app)
  })

  t.test(`two tenants that share one adapter of ${store} have separate tables`, service, async (t) => {
    const { adapter, tables } = await open(t)
    const shared = adapter()
    const app = await register(t, { users: shared, staff: shared })
    t.strictSame((await tables()).filter((name) => USER_TABLES.test(String(name))).sort(), TABLES)
    await checkIsolation(t, app)
  })

  t.test(
    `${store}: tables named in the options are used, and never by two tenants`,
    service,
    async (t) => {
      const { adapter, tables } = await open(t)
      const named = { user: { table: 'people' }, accesstoken: { table: 'sessions' } }
      const sharedAdapter = adapter({ tables: named })
      await t.rejects(register(t, { users: sharedAdapter, staff: sharedAdapter }), {
        code: 'FST_USERS_INVALID_OPTION',
        message: /"users" and "staff" would share the table .people./
      })
      const app = await register(t, { staff: adapter({ tables: named }), users: adapter() })
      t.strictSame((await tables()).filter((name) => USER_TABLES.test(String(name))).sort(), [
        'accesstoken',
        'people',
        'sessions',
        'user'
      ])
      await checkIsolation(t, app)
    }
  )
}

for (const store of ['a database of SQLite', 'PostgreSQL', 'Kysely', 'MySQL']) {
  const { service, open } = stores[store] ?? {
    service: servers.none,
    open: async () => {
      throw new Error(store)
    }
  }
  t.test(
    `a tenant refuses to start on tables that another tenant uses through the same client (${store})`,
    service,
    async (t) => {
      const { adapter } = await open(t)
      const defaultTables = { user: { table: 'user' }, accesstoken: { table: 'accesstoken' } }
      const first = await register(t, { users: adapter() })
      await t.rejects(register(t, { staff: adapter({ tables: defaultTables }) }), {
        code: 'FST_USERS_INVALID_OPTION',
        message: /share the table .(user|accesstoken)./
      })
      await register(t, { users: adapter() }) // the same tenant may register again, as in a second process
      await first.close()
      await t.rejects(
        register(t, { staff: adapter({ tables: defaultTables }) }),
        { code: 'FST_USERS_INVALID_OPTION' },
        'the second application of "users" is still open'
      )
    }
  )
}

t.test('a tenant may use the tables of another tenant that has closed', async (t) => {
  const client = new Database(':memory:')
  t.teardown(() => client.close())
  const first = await register(t, { users: sqlite(client) })
  await first.close()
  await register(t, {
    staff: sqlite(client, { tables: { user: { table: 'user' }, accesstoken: { table: 'accesstoken' } } })
  })
})

t.test('TEN-01: two tenants that share one memory() adapter are isolated', async (t) => {
  const shared = memory()
  await checkIsolation(t, await register(t, { users: shared, staff: shared }))
})

t.test('two tenants in one MongoDB database have separate collections', ferretdb.options, async (t) => {
  const client = connect(t, ferretdb.url)
  const db = freshDb(t, client)
  await checkIsolation(
    t,
    await register(t, { users: mongodb(db, { createTables }), staff: mongodb(db, { createTables }) })
  )
  t.equal((await db.collection('User').find().toArray()).length, 1)
  t.equal((await db.collection('staff_user').find().toArray()).length, 1)

  const shared = freshDb(t, client)
  const adapter = mongodb(shared, { createTables })
  await checkIsolation(t, await register(t, { users: adapter, staff: adapter }))
  const collections = { user: { collection: 'User' } }
  await t.rejects(register(t, { staff: mongodb(client.db(shared.databaseName), { collections }) }), {
    code: 'FST_USERS_INVALID_OPTION',
    message: /share the collection "User" of/
  })
  const sharedAdapter = mongodb(freshDb(t, client), { createTables, collections })
  await t.rejects(register(t, { users: sharedAdapter, staff: sharedAdapter }), { code: 'FST_USERS_INVALID_OPTION' })
})

const { redis: raw, skip: reason } = await connectRedis()

/** Returns the Redis keys with a prefix. */
async function keysOf (prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const found of raw.scanStream({ match: `${prefix}*`, count: 1000 })) keys.push(...(found as string[]))
  return keys
}

for (const tokenStorage of ['plain', 'digest'] as const) {
  t.test(
    `two tenants that share one Redis do not accept each other's sessions (tokens stored as ${tokenStorage})`,
    { skip: reason },
    async (t) => {
      const names = ['red', 'blue'].map((color) => `${color}${randomBytes(5).toString('hex')}`) as [string, string]
      t.teardown(async () => {
        for (const name of names) for (const key of await keysOf(name)) await raw.del(key)
      })
      const backends: UsersOptions['backends'] = [
        {
          name: 'session',
          transport: bearerTransport(),
          strategy: redisStrategy({ client: raw, lifetimeSeconds: 600 })
        }
      ]
      const app = await register(t, Object.fromEntries(names.map((name) => [name, memory()])), {
        compatibility: { tokenStorage },
        backends
      })
      const payload = { email: EMAIL, password: 'broceliande-9', username: EMAIL }
      for (const [name, other] of [names, names.toReversed()] as [string, string][]) {
        await app.inject({
          method: 'POST',
          url: `/${name}/auth/register`,
          payload: { email: EMAIL, password: payload.password }
        })
        const login = await app.inject({
          method: 'POST',
          url: `/${name}/auth/session/login`,
          payload: { username: EMAIL, password: payload.password }
        })
        const headers = { authorization: `Bearer ${login.json<{ access_token: string }>().access_token}` }
        t.equal((await app.inject({ url: `/${name}/users/me`, headers })).statusCode, 200)
        t.equal((await app.inject({ url: `/${other}/users/me`, headers })).statusCode, 401)
        t.equal(
          (await keysOf(`${name}_fastapi_users_token:`)).length,
          2,
          'Redis contains the token and the set of the user'
        )
      }
    }
  )
}

t.test(
  'two tenants with the same Redis key prefix refuse to start',
  { skip: reason },
  async (t) => {
    const names = ['red', 'blue'].map((color) => `${color}${randomBytes(5).toString('hex')}`)
    const prefix = `test-${randomBytes(6).toString('hex')}:`
    t.teardown(async () => {
      for (const key of await keysOf(prefix)) await raw.del(key)
    })
    const strategy = redisStrategy({ client: raw, lifetimeSeconds: 600, keyPrefix: prefix })
    const backends: UsersOptions['backends'] = [{ name: 'session', transport: bearerTransport(), strategy }]
    const adapters = Object.fromEntries(names.map((name) => [name, memory()]))
    await t.rejects(register(t, adapters, { compatibility: { tokenStorage: 'plain' }, backends }), {
      code: 'FST_USERS_INVALID_OPTION',
      message: /would share the key prefix "test-/
    })

    const [red = '', blue = ''] = names
    const first = await register(t, { [red]: memory() }, { compatibility: { tokenStorage: 'plain' }, backends })
    // the same tenant may register again, as in a second process
    await register(t, { [red]: memory() }, { compatibility: { tokenStorage: 'plain' }, backends })
    await t.rejects(register(t, { [blue]: memory() }, { compatibility: { tokenStorage: 'plain' }, backends }), {
      code: 'FST_USERS_INVALID_OPTION'
    })
    await first.close()
    await t.rejects(register(t, { [blue]: memory() }, { compatibility: { tokenStorage: 'plain' }, backends }), {
      code: 'FST_USERS_INVALID_OPTION'
    })
  }
)

t.test(
  "a tenant's model references models of the same tenant, and models of the default tenant keep their names",
  async (t) => {
    const token = { name: 'token', table: 'token', fields: { user_id: { type: 'id' as const, references: 'user' } } }
    t.equal(tenantModel('users', User), User)
    t.match(tenantModel('staff', User), { name: 'staff:user', table: 'staff_user', tenant: 'staff' })
    t.match(tenantModel('staff', token), {
      name: 'staff:token',
      table: 'staff_token',
      fields: { user_id: { references: 'staff:user' } }
    })
  }
)

t.test(
  'the longest tenant name results in table and index names that every database accepts',
  servers.mysql,
  async (t) => {
    const name = 'a'.repeat(32)
    const { pool } = await makeMysqlPool(t)
    const app = Fastify({ pluginTimeout: 60_000 })
    t.teardown(() => app.close())
    await app.register(users, {
      name,
      adapter: mysql(pool, { createTables }),
      secret: SECRET,
      passwords: fastPasswords,
      limits: false,
      backends: database(),
      publicUrl: 'https://app.example',
      features: [oauth({ providers: [github({ clientId: 'id', clientSecret: 'secret' })] })]
    })
    await app.ready()
    const [rows] = await pool.query({ sql: 'SHOW TABLES', rowsAsArray: true })
    t.match((rows as unknown[]).flat(), [
      `${name}_accesstoken`,
      `${name}_oauth_account`,
      `${name}_oauth_issuer`,
      `${name}_single_use`,
      `${name}_user`,
      'fastify_users_schema'
    ])
  }
)

const testFolder = t.testdir()
const program = buildProgram(join(testFolder, 'program'))
process.env['USERS_SECRET'] = SECRET

t.test('the commands of the command line use the tables of the tenant', async (t) => {
  const { run, file } = createCommandFolder(testFolder, program)
  const staff: ConfigParts = { more: "name: 'staff'," }
  t.match(
    (await run(['schema'], staff)).out,
    /CREATE TABLE "staff_user"[^]*CREATE TABLE "staff_accesstoken"[^]*REFERENCES "staff_user"/
  )
  t.match((await run(['doctor'], staff)).out, /fail {2}schema: pending: create the table "staff_user"/)
  t.match(await run(['migrate'], staff), {
    code: 0,
    out: /create the table "staff_user"[^]*create the table "staff_accesstoken"/
  })
  t.match(await run(['migrate', '--check'], staff), { code: 0 })
  t.match((await run(['doctor'], staff)).out, /ok {4}schema:/)
  t.match(await run(['create-superuser', '--email', EMAIL], staff, { lines: ['broceliande-9'] }), { code: 0 })
  t.strictSame(rowsOf(file, 'SELECT email FROM staff_user'), [[EMAIL]])
  t.strictSame(rowsOf(file, "SELECT name FROM sqlite_master WHERE name IN ('user', 'accesstoken')"), [])
  t.match(await run(['prune'], staff), { code: 0, out: /backend session|backend database/ })
  t.match(await run(['migrate', '--from', 'fastapi-users'], staff), { code: 0, out: /Nothing to do/ })
})

t.test(
  'migrate --from fastapi-users names the missing table of a tenant, and uses the table of the options',
  async (t) => {
    const { run, file } = createCommandFolder(testFolder, program)
    await run(['migrate'])
    const staff: ConfigParts = { more: "name: 'staff'," }
    t.match(await run(['migrate', '--from', 'fastapi-users'], staff), {
      code: 1,
      err: /the database has no table "staff_user"; set the table's name in the adapter's option `tables`/
    })
    const adapter = `sqlite('${file}', { tables: { user: { table: 'user' }, accesstoken: { table: 'accesstoken' } } })`
    t.match(await run(['migrate', '--from', 'fastapi-users'], { ...staff, adapter }), { code: 0, out: /Nothing to do/ })
  }
)
