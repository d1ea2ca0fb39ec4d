import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import {
  CamelCasePlugin,
  DummyDriver,
  Kysely,
  MssqlAdapter,
  MssqlIntrospector,
  MssqlQueryCompiler,
  MysqlDialect,
  ParseJSONResultsPlugin,
  PostgresDialect,
  sql,
  SqliteDialect,
  type KyselyConfig
} from 'kysely'
import { createPool, type PoolOptions, type RowDataPacket, type TypeCast } from 'mysql2'
import mysqlPromise from 'mysql2/promise'
import pg from 'pg'
import t, { type Test } from 'tap'
import { idOf } from '../lib/adapters/shared/row-references.js'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { integerId, Type, userSchemas, uuidId } from '../lib/index.js'
import { kysely, type KyselyInstance } from '../lib/entries/kysely.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { AccessToken, createToken, createUserRow, Membership, models, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { Person } from './helpers/adopted-user.js'
import { ARTHUR, buildApp, cookieOf, PASSWORD } from './helpers/build-app.js'
import { makeMysqlDatabase, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres } from './helpers/postgres.js'
import { walkFeatures } from './helpers/walk-features.js'

/** The application's own tables, for its own Kysely queries. */
interface Tables {
  user: { id: string; email: string; isActive: boolean | number; hashedPassword: string }
}

/** A new database, schema or file on one engine. */
interface Store {
  /** Returns a new Kysely instance on this database, with plugins that rename columns and parse JSON. */
  instance: (config?: Partial<KyselyConfig>) => Kysely<Tables>
  /** Returns the adapter that works without Kysely, on the same tables. */
  direct: () => DatabaseAdapter
  drop: () => Promise<void>
}

interface Engine {
  name: string
  options: { skip?: string | false }
  /** `connections` is the size of each pool. */
  make: (connections?: number) => Promise<Store>
  /** The query that reads the column names of the user table. */
  columns: string
  /** The statements that create an existing table for the adapter to use. */
  existingTable: string[]
  /** The statements that create an index whose name the adapter needs. Set where table creation is transactional. */
  conflictingStatements?: string[]
}

const createTables = true
const plugins = [new CamelCasePlugin(), new ParseJSONResultsPlugin()]

/** Kysely does not listen to the pool's errors, and an unhandled `error` event ends the process. */
function ignoreConnectionErrors (pool: pg.Pool): void {
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    client.on('error', () => {})
  })
}

async function makePostgres (connections = 4): Promise<Store> {
  const { schema, drop } = await makeSchema()
  const pools: pg.Pool[] = []
  const open = (): pg.Pool => {
    const pool = new pg.Pool(configOf(schema, { max: connections }))
    ignoreConnectionErrors(pool)
    pools.push(pool)
    return pool
  }
  return {
    instance: (given = {}) => new Kysely({ dialect: new PostgresDialect({ pool: open() }), plugins, ...given }),
    direct: () => postgres(open(), { createTables }),
    async drop () {
      await Promise.all(pools.filter(({ ended }) => !ended).map((pool) => pool.end()))
      await drop()
    }
  }
}

async function makeMysql (connections = 4): Promise<Store> {
  const { database, drop } = await makeMysqlDatabase()
  const ends: (() => Promise<void>)[] = [drop]
  return {
    instance (given = {}) {
      const db = new Kysely<Tables>({
        dialect: new MysqlDialect({
          pool: createPool(mysqlConfigOf(database, { connectionLimit: connections }) as PoolOptions)
        }),
        plugins,
        ...given
      })
      ends.unshift(() => db.destroy())
      return db
    },
    direct () {
      const pool = mysqlPromise.createPool(mysqlConfigOf(database))
      ends.unshift(() => pool.end())
      return mysql(pool, { createTables })
    },
    async drop () {
      for (const end of ends) await end()
    }
  }
}

function makeSqlite (directory: string): Promise<Store> {
  const file = join(directory, randomUUID())
  const databases: Database.Database[] = []
  const open = (): Database.Database => {
    const database = new Database(file).defaultSafeIntegers(true)
    databases.push(database)
    return database
  }
  return Promise.resolve({
    instance: (given = {}) => new Kysely({ dialect: new SqliteDialect({ database: open() }), plugins, ...given }),
    direct: () => sqlite(open()),
    async drop () {
      for (const database of databases) database.close()
    }
  })
}

const directory = t.testdir({})
const blockingStatements = ['CREATE TABLE mine (a INTEGER)', 'CREATE INDEX ix_accesstoken_user_id ON mine (a)']
const createPeople = [
  'CREATE TABLE "People" (uid VARCHAR(36) PRIMARY KEY, "E Mail" TEXT, hash TEXT, active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN)',
  'CREATE UNIQUE INDEX mine ON "People" (lower("E Mail"))'
]
const postgresOptions = await needsPostgres()
const mysqlOptions = await needsMysql()
const engines: Engine[] = [
  {
    name: 'SQLite',
    options: {},
    make: () => makeSqlite(directory),
    columns: "SELECT name FROM pragma_table_info('user')",
    existingTable: createPeople,
    conflictingStatements: blockingStatements
  },
  {
    name: 'PostgreSQL',
    options: postgresOptions,
    make: makePostgres,
    columns:
      'SELECT attname AS name FROM pg_attribute WHERE attrelid = \'"user"\'::regclass AND attnum > 0 ORDER BY attnum',
    existingTable: createPeople,
    conflictingStatements: blockingStatements
  },
  {
    name: 'MySQL',
    options: mysqlOptions,
    make: makeMysql,
    columns:
      "SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = database() AND TABLE_NAME = 'user' AND EXTRA NOT LIKE '%GENERATED%' ORDER BY ORDINAL_POSITION",
    existingTable: [
      'CREATE TABLE People (uid VARCHAR(36) PRIMARY KEY, `E Mail` VARCHAR(320) UNIQUE, hash TEXT, active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN) COLLATE utf8mb4_general_ci'
    ]
  }
]

async function opened (
  db: KyselyInstance,
  defined: readonly Model[] = models,
  options: object = { createTables }
): Promise<DatabaseAdapter> {
  return await openedAdapter(kysely(db, options), defined)
}

async function openedAdapter (adapter: DatabaseAdapter, defined: readonly Model[] = models): Promise<DatabaseAdapter> {
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

async function makeStore (t: Test, { make }: Engine): Promise<Store> {
  const store = await make()
  t.teardown(store.drop)
  return store
}

function conform (name: string, { options, make }: Engine, connections: number, only = /./): void {
  t.test(`row 85: kysely() on ${name}`, options, async (t) => {
    const stores = new WeakMap<DatabaseAdapter, Store>()
    adapterConformance({
      test: (name, run) => {
        if (only.test(name)) {
          t.test(name, async (t) => {
            await run()
            t.pass(name)
          })
        }
      },
      storesNul: false,
      async makeAdapter () {
        const store = await make(connections)
        const adapter = kysely(store.instance(), { createTables })
        stores.set(adapter, store)
        const close = adapter.close?.bind(adapter)
        adapter.close = async () => {
          await close?.()
          await store.drop()
        }
        return adapter
      },
      makeSibling: (adapter) => kysely(stores.get(adapter)?.instance() as Kysely<Tables>, { createTables })
    })
  })
}

for (const engine of engines) {
  const { name, options } = engine
  conform(`${name} with one connection passes the conformance suite`, engine, 1)
  if (name !== 'SQLite') conform(`${name} with several connections passes the suite's races`, engine, 4, /^RACE/)

  t.test(
    `kysely() on ${name} stores and reads the same values under the same names as the direct adapter, with any plugins`,
    options,
    async (t) => {
      const store = await makeStore(t, engine)
      const db = store.instance()
      const ours = await opened(db)
      const direct = await openedAdapter(store.direct())
      const { rows } = await sql<{ name: string }>`${sql.raw(engine.columns)}`.execute(db)
      t.strictSame(
        rows.map(({ name }) => name),
        Object.keys(User.fields)
      )
      const values = [
        {
          is_active: true,
          credits: Number.MAX_SAFE_INTEGER,
          ratio: -1.5e10,
          settings: '5',
          seen_at: new Date('2026-11-21T03:52:56.005+02:00'),
          order: 'x\u{1F9D9}\'"\\',
          session_stamp: '{"a":1}',
          nickname: '[1]'
        },
        {
          is_active: false,
          credits: -7,
          ratio: 0.1,
          settings: { a_b: [1, null, 'é'], c: { d_e: true } },
          seen_at: new Date(0),
          order: ''
        },
        { is_active: true, settings: 5 },
        { settings: [] },
        { settings: 'null' },
        { settings: false }
      ]
      for (const value of values) {
        const user = await createUserRow(ours, value)
        const where = { id: user['id'] as string }
        t.strictSame(await ours.findOne(User, where), user)
        t.strictSame(await direct.findOne(User, where), user)
        const other = await createUserRow(direct, value)
        t.strictSame(await ours.findOne(User, { id: other['id'] as string }), other)
        const token = await createToken(ours, user)
        t.strictSame(await ours.findWithUser?.(AccessToken, { token: token['token'] as string }), { row: token, user })
      }
      const active = await db
        .selectFrom('user')
        .select(['email', 'hashedPassword'])
        .where('isActive', '=', name === 'SQLite' ? 0 : false)
        .execute()
      t.hasStrict(active, [{ hashedPassword: 'hash' }], "the plugins apply to the application's own queries")
    }
  )

  t.test(
    `rows 21, 22, 49: every flow works through kysely() on ${name}, and the instance stays open`,
    options,
    async (t) => {
      for (const schemas of [
        userSchemas({ credits: Type.Integer() }, { id: uuidId() }),
        userSchemas({ credits: Type.Integer() }, { id: integerId() })
      ]) {
        const store = await makeStore(t, engine)
        const queries: string[] = []
        const db = store.instance({
          log: ({ query }) => {
            queries.push(query.sql)
          }
        })
        const { app, send, login, register, bearer, tokenOf } = await buildApp(t, {
          adapter: kysely(db, { createTables }),
          schemas
        })
        const user = await register({ credits: 5 })
        t.equal(
          (await send('POST', '/auth/register', { email: ARTHUR.toUpperCase(), password: PASSWORD, credits: 5 }))
            .statusCode,
          400
        )
        const sessions = [{ cookie: cookieOf(await login('cookie', ARTHUR.toUpperCase())) }, await bearer(ARTHUR)]
        for (const headers of sessions) {
          t.hasStrict((await send('GET', '/users/me', undefined, headers)).json(), {
            id: user.id,
            email: ARTHUR,
            is_active: true,
            is_superuser: false,
            credits: 5
          })
        }
        t.equal((await send('PATCH', '/users/me', { email: 'new@camelot.bt' }, sessions[0])).statusCode, 200)
        t.equal((await send('POST', '/auth/forgot-password', { email: 'NEW@camelot.bt' })).statusCode, 202)
        const token = await tokenOf('onAfterForgotPassword')
        t.strictSame(
          [
            (await send('POST', '/auth/reset-password', { token, password: 'excalibur-22' })).statusCode,
            (await send('POST', '/auth/reset-password', { token, password: 'excalibur-33' })).statusCode
          ],
          [200, 400],
          'once'
        )
        for (const headers of sessions) {
          t.equal(
            (await send('GET', '/users/me', undefined, headers)).statusCode,
            401,
            'a password reset ends sessions'
          )
        }
        const headers = { cookie: cookieOf(await login('cookie', 'new@camelot.bt', 'excalibur-22')) }
        t.equal((await send('POST', '/auth/cookie/logout', undefined, headers)).statusCode, 204)
        t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
        await app.users.delete(user)
        t.equal((await login('cookie', 'new@camelot.bt', 'excalibur-22')).statusCode, 400)
        t.ok(
          queries.some((text) => text.startsWith('INSERT INTO')),
          "the application's log receives the queries"
        )
        await app.close()
        t.strictSame(
          await db.selectFrom('user').selectAll().execute(),
          [],
          'the instance stays open after the application has closed'
        )
      }
    }
  )

  t.test(
    `kysely() on ${name} creates tables only with createTables: true, and a failed creation leaves no tables behind`,
    options,
    async (t) => {
      const store = await makeStore(t, engine)
      const db = store.instance()
      await t.rejects(opened(db, models, {}), {
        code: 'FST_USERS_TABLE_MISMATCH',
        message: /createTables: true[^]*CREATE TABLE ["`]user/
      })
      await t.rejects(
        opened(db, models, {}),
        { message: /run `npx fastify-users migrate`/ },
        'the message names the command that creates them'
      )
      await t.rejects(opened(db, models, { createTables: false }), { code: 'FST_USERS_TABLE_MISMATCH' })
      for (const statement of engine.conflictingStatements ?? []) await sql.raw(statement).execute(db)
      if (engine.conflictingStatements !== undefined) await t.rejects(opened(db), { message: /already exists/ })
      await t.rejects(db.selectFrom('user').selectAll().execute(), { message: /no such table|does(?: not|n't) exist/ })
      if (engine.conflictingStatements !== undefined) await sql.raw('DROP TABLE mine').execute(db)
      await t.resolves(Promise.all(Array.from({ length: 4 }, () => opened(db))))
      await t.resolves(opened(db, models, {}))
    }
  )

  t.test(
    `row 83: kysely() on ${name} maps table and column names, and a unique violation names the fields of the model`,
    options,
    async (t) => {
      const db = (await makeStore(t, engine)).instance()
      for (const statement of engine.existingTable) await sql.raw(statement).execute(db)
      const adopted = await opened(db, [Person], {
        tables: {
          user: { table: 'People', columns: { id: 'uid', email: 'E Mail', hashed_password: 'hash', is_active: 'active' } }
        }
      })
      const given = {
        email: 'Galahad@camelot.bt',
        hashed_password: 'hash',
        is_active: true,
        is_superuser: false,
        is_verified: false
      }
      const user = await adopted.create(Person, given)
      t.strictSame(await adopted.findOne(Person, { email: 'GALAHAD@camelot.bt' }), user)
      await t.rejects(adopted.create(Person, { ...given, email: 'GALAHAD@camelot.bt' }), {
        code: 'FST_USERS_UNIQUE_VIOLATION',
        fields: ['email']
      })
      await t.rejects(adopted.create(Person, { ...given, id: user['id'], email: 'x' }), {
        code: 'FST_USERS_UNIQUE_VIOLATION',
        fields: ['id']
      })
    }
  )

  t.test(`kysely() on ${name} stores refresh tokens, API keys, roles and revoked sessions`, options, async (t) => {
    const db = (await makeStore(t, engine)).instance()
    await walkFeatures(t, kysely(db, { createTables }), userSchemas({}))
  })

  t.test(
    `a request to ${name} through kysely() replies 503 with retry-after, never 401, when the database is down`,
    options,
    async (t) => {
      const db = (await makeStore(t, engine)).instance()
      const built = await buildApp(t, { adapter: kysely(db, { createTables }) })
      await built.register()
      const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
      await db.destroy()
      const replies = await Promise.all([
        ...sessions.map((headers) => built.send('GET', '/users/me', undefined, headers)),
        built.login('cookie', ARTHUR),
        built.send('POST', '/auth/register', { email: 'a@camelot.bt', password: PASSWORD })
      ])
      for (const reply of replies) {
        t.strictSame(
          [reply.statusCode, reply.headers['retry-after'], reply.json<{ code: string }>().code],
          [503, '1', 'FST_USERS_STORE_UNAVAILABLE']
        )
      }
    }
  )
}

t.test(
  'kysely(): a request whose connection breaks replies 503, and later requests use a new connection',
  postgresOptions,
  async (t) => {
    const { schema, drop } = await makeSchema()
    const pool = new pg.Pool(configOf(schema, { application_name: schema }))
    const other = new pg.Pool(configOf(schema))
    for (const one of [pool, other]) ignoreConnectionErrors(one)
    t.teardown(async () => {
      await Promise.all([pool.end(), other.end()])
      await drop()
    })
    const built = await buildApp(t, {
      adapter: kysely(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }), { createTables })
    })
    await built.register()
    const headers = await built.cookie(ARTHUR)
    const blocker = await other.connect()
    await blocker.query('BEGIN; LOCK TABLE accesstoken IN ACCESS EXCLUSIVE MODE')
    const waiting = built.send('GET', '/users/me', undefined, headers)
    while (
      (
        await other.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
          [schema]
        )
      ).rowCount === 0
    ) {
      await sleep(10)
    }
    const reply = await waiting
    t.strictSame([reply.statusCode, reply.headers['retry-after']], [503, '1'])
    await blocker.query('ROLLBACK')
    blocker.release()
    const statuses = new Set<number>()
    while (!statuses.has(200)) {
      // the pool can return the ended connection a few more times before it notices
      statuses.add((await built.send('GET', '/users/me', undefined, headers)).statusCode)
      await sleep(10)
    }
    t.strictSame(
      [...statuses].filter((status) => ![200, 503].includes(status)),
      []
    )
    await built.app.close()
    t.equal(pool.ended, false)
  }
)

t.test(
  'DEP-01, DEP-03: kysely() stores related rows together before its timeout, or stores none of them',
  postgresOptions,
  async (t) => {
    const { schema, drop } = await makeSchema()
    const pools = [new pg.Pool(configOf(schema, { max: 1 })), new pg.Pool(configOf(schema))] as const
    for (const one of pools) ignoreConnectionErrors(one)
    t.teardown(async () => {
      await Promise.all(pools.map((pool) => pool.end()))
      await drop()
    })
    const adapter = await opened(new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pools[0] }) }), models, {
      createTables,
      timeoutMs: 1000
    })
    for (const table of ['"user"', 'membership']) {
      const blocker = await pools[1].connect()
      await blocker.query(`BEGIN; LOCK TABLE ${table}`)
      await t.rejects(
        async () =>
          await adapter.createAll?.([
            [User, { email: 'late@x.org', hashed_password: 'hash', is_active: true }],
            [Membership, { user_id: idOf(0), team: 'knights', member_number: '1' }]
          ]),
        { code: 'FST_USERS_STORE_UNAVAILABLE' }
      )
      await blocker.query('ROLLBACK')
      blocker.release()
      t.same(await adapter.findMany(User, {}, { limit: 9 }), [], `no row of the failed transaction is stored: ${table}`)
    }
  }
)

t.test(
  'DEP-03: kysely() runs a transaction or a statement again after a deadlock of MySQL',
  mysqlOptions,
  async (t) => {
    const { database, drop } = await makeMysqlDatabase()
    const pool = createPool(mysqlConfigOf(database) as PoolOptions)
    t.teardown(async () => {
      await pool.promise().end()
      await drop()
    })
    const adapter = await opened(new Kysely<Tables>({ dialect: new MysqlDialect({ pool }) }))
    const { id: owner } = await createUserRow(adapter, { email: 'owner@x.org', credits: 0 })
    await pool.promise().query('CREATE TABLE heavy SELECT seq FROM seq_1_to_1000')
    const other = await pool.promise().getConnection()
    t.teardown(() => {
      other.destroy()
    })
    const deadlock = async (first: string, victim: () => Promise<unknown> | undefined, last: string): Promise<void> => {
      await other.query('START TRANSACTION')
      await other.query('UPDATE heavy SET seq = seq + 1') // InnoDB rolls back the transaction that changed fewer rows
      await other.query(first, [owner])
      const waiting = victim()
      while (
        (
          await pool
            .promise()
            .query<RowDataPacket[]>(
              "SELECT 1 FROM information_schema.INNODB_TRX x JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id WHERE p.DB = database() AND x.trx_state = 'LOCK WAIT'"
            )
        )[0].length === 0
      ) {
        await sleep(150)
      } // InnoDB refreshes INNODB_TRX only if nobody has read it for 0.1 s
      await other.query(last, [owner])
      await other.query('ROLLBACK')
      await waiting
    }
    let runs = 0
    const create = (): Promise<unknown> | undefined =>
      adapter.createAll?.([
        [User, { email: 'new@x.org', hashed_password: 'hash', is_active: true }],
        [
          Membership,
          {
            user_id: idOf(0),
            member_number: '1',
            get team () {
              runs++ // read once in each run of the transaction
              return 'knights'
            }
          }
        ]
      ])
    await deadlock(
      "INSERT INTO membership (id, user_id, team, member_number) VALUES (uuid(), ?, 'knights', '1')",
      create,
      "UPDATE user SET email = 'new@x.org' WHERE id = ?"
    )
    t.equal(runs, 2, 'the whole transaction runs again')
    t.equal((await adapter.findMany(Membership, {}, { limit: 9 })).length, 1)

    const { id: last } = await createUserRow(adapter, {
      id: 'ffffffff-ffff-4fff-bfff-ffffffffffff',
      email: 'last@x.org',
      credits: 0
    })
    await deadlock(
      `UPDATE user SET credits = 5 WHERE id <> ? AND id = '${String(last)}'`,
      async () => await adapter.update(User, {}, { credits: { increment: 1 } }),
      'UPDATE user SET credits = 5 WHERE id = ?'
    )
    t.equal((await adapter.findOne(User, { id: owner as string }))?.['credits'], 1)
  }
)

t.test(
  "kysely() reads the same PostgreSQL values with any type parsers of the application's pool",
  postgresOptions,
  async (t) => {
    const { schema, drop } = await makeSchema()
    const customParser = (oid: number): ((value: string) => unknown) =>
      [16, 20, 21, 23, 114, 700, 701, 1082, 1114, 1184, 1700, 3802].includes(oid)
        ? () => ({ parsed: 'by the application' })
        : (value) => value
    const pool = new pg.Pool({
      ...configOf(schema),
      options: `-c search_path=${schema} -c TimeZone=Asia/Kathmandu -c DateStyle=SQL,DMY`,
      types: { getTypeParser: customParser } as unknown as pg.CustomTypesConfig
    })
    t.teardown(async () => {
      await pool.end()
      await drop()
    })
    await openedAdapter(postgres(pool, { createTables }))
    const adapter = await opened(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }), models, {})
    const user = await createUserRow(adapter, {
      is_active: false,
      credits: 2 ** 40,
      ratio: 0.1,
      settings: { a: [5] },
      seen_at: new Date('2026-11-21T03:52:56.005+02:00')
    })
    t.strictSame(
      await adapter.findOne(User, { id: user['id'] as string, credits: 2 ** 40, seen_at: user['seen_at'] as Date }),
      user
    )
  }
)

t.test(
  "kysely() reads the same MySQL values with any settings of the application's pool, and reads TIMESTAMP as UTC",
  mysqlOptions,
  async (t) => {
    const { database, drop } = await makeMysqlDatabase()
    const parse: TypeCast = (field, next) => {
      if (field.type === 'LONGLONG') return BigInt(field.string() ?? 0)
      return ['TINY', 'DOUBLE', 'DATETIME', 'TIMESTAMP', 'JSON'].includes(field.type)
        ? { parsed: 'by the application' }
        : next()
    }
    const pool = createPool({
      ...(mysqlConfigOf(database) as PoolOptions),
      timezone: '+05:45',
      supportBigNumbers: true,
      bigNumberStrings: true,
      typeCast: parse
    })
    pool.on('connection', (connection) => {
      connection.query("SET time_zone = '+05:45'")
    })
    const plain = mysqlPromise.createPool(mysqlConfigOf(database))
    const db = new Kysely<Tables>({ dialect: new MysqlDialect({ pool }) })
    t.teardown(async () => {
      await Promise.all([db.destroy(), plain.end()])
      await drop()
    })
    const direct = await openedAdapter(mysql(plain, { createTables }))
    await plain.query('ALTER TABLE accesstoken MODIFY created_at TIMESTAMP(6) NOT NULL')
    const adapter = await opened(db, models, {})
    const seen_at = new Date('2026-11-21T03:52:56.005+02:00')
    const user = await createUserRow(adapter, {
      is_active: false,
      credits: 2 ** 40,
      ratio: 0.1,
      settings: { a: [5] },
      seen_at
    })
    for (const one of [adapter, direct]) {
      t.strictSame(await one.findOne(User, { id: user['id'] as string, credits: 2 ** 40, seen_at }), user)
    }
    const token = await createToken(adapter, user, 'token', seen_at)
    t.strictSame(await adapter.findWithUser?.(AccessToken, { token: 'token', created_at: seen_at }), {
      row: token,
      user
    })
    const [rows] = await plain.query('SELECT UNIX_TIMESTAMP(created_at) * 1000 AS time FROM accesstoken')
    t.equal(Number((rows as { time: string }[])[0]?.time), seen_at.getTime())
  }
)

t.test(
  'kysely() refuses MySQL sessions whose mode changes data or lets values become SQL',
  mysqlOptions,
  async (t) => {
    for (const [mode, message] of [
      ['', /strict/],
      ['STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES', /NO_BACKSLASH_ESCAPES/]
    ] as const) {
      const { database, drop } = await makeMysqlDatabase()
      const pool = createPool(mysqlConfigOf(database) as PoolOptions)
      pool.on('connection', (connection) => {
        connection.query(`SET sql_mode = '${mode}'`)
      })
      const db = new Kysely<Tables>({ dialect: new MysqlDialect({ pool }) })
      t.teardown(async () => {
        await db.destroy()
        await drop()
      })
      await t.rejects(opened(db), { code: 'FST_USERS_INVALID_OPTION', message })
    }
  }
)

t.test('kysely() refuses a PostgreSQL pool that returns binary values', postgresOptions, async (t) => {
  const pool = new pg.Pool({ ...configOf('public'), binary: true } as pg.PoolConfig)
  t.teardown(() => pool.end())
  await t.rejects(opened(new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })), {
    code: 'FST_USERS_INVALID_OPTION',
    message: /`binary`/
  })
})

t.test('kysely() refuses values that are not a Kysely instance, transactions and unsupported databases', async (t) => {
  const invalid = { code: 'FST_USERS_INVALID_OPTION' }
  const database = new Database(':memory:')
  t.teardown(() => {
    database.close()
  })
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
  for (const wrong of [null, undefined, '', {}, database]) {
    t.throws(() => kysely(wrong as unknown as KyselyInstance), invalid)
  }
  const mssql = new Kysely<Tables>({
    dialect: {
      createAdapter: () => new MssqlAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new MssqlIntrospector(db),
      createQueryCompiler: () => new MssqlQueryCompiler()
    }
  })
  t.throws(() => kysely(mssql), { ...invalid, message: /PostgreSQL/ })
  await db.transaction().execute(async (transaction) => {
    t.throws(() => kysely(transaction), { ...invalid, message: /transaction/ })
  })
  t.throws(() => kysely(db, { createTables: 'yes' } as unknown as object), invalid)
  await t.rejects(opened(db, [Person], { table: {} }), { code: 'FST_USERS_UNKNOWN_OPTION' })
})
