import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { relations, type SQL, sql } from 'drizzle-orm'
import { drizzle as fromSqlite } from 'drizzle-orm/better-sqlite3'
import { boolean, customType as mysqlCustom, mysqlTable, timestamp as mysqlTimestamp } from 'drizzle-orm/mysql-core'
import { drizzle as fromMysql } from 'drizzle-orm/mysql2'
import { drizzle as fromPg } from 'drizzle-orm/node-postgres'
import { customType, pgSchema, pgTable, text as pgText, uuid } from 'drizzle-orm/pg-core'
import { drizzle as fromProxy } from 'drizzle-orm/pg-proxy'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import mysqlPromise from 'mysql2/promise'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { DrizzleDatabase } from '../lib/adapters/drizzle/column-text.js'
import { drizzleModule } from '../lib/adapters/drizzle/definition-text.js'
import type { DatabaseAdapter } from '../lib/contracts/database-adapter.js'
import type { Model } from '../lib/contracts/models.js'
import { drizzle, type DrizzleInstance } from '../lib/entries/drizzle.js'
import { modelsOf } from '../lib/models.js'
import { createToken, createUserRow, Counter, models as tested, AccessToken, User } from '../lib/testing/conformance/models.js'
import { adapterConformance } from '../lib/testing/index.js'
import { Type, userSchemas } from '../lib/index.js'
import { ARTHUR, backends, buildApp, PASSWORD } from './helpers/build-app.js'
import { createStatements, importDefinitions, type Definitions } from './helpers/drizzle-tables.js'
import { makeMysqlDatabase, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres } from './helpers/postgres.js'
import { walkedModels, walkFeatures } from './helpers/walk-features.js'

const folder = t.testdir({})
const models: readonly Model[] = [...tested, Counter]

/** An instance of Drizzle, as far as the tests use it. */
type Instance = DrizzleInstance & {
  transaction<T>(work: (tx: { execute(query: SQL): Promise<unknown> }) => Promise<T>): Promise<T>
}

/** A new database, schema or file, with the names of the statements that it received. */
interface Store {
  db: Instance
  execute(statement: string): Promise<unknown>
  drop(): Promise<void>
}

interface Engine {
  name: string
  database: DrizzleDatabase
  options: { skip?: string | false }
  make(): Promise<Store>
}

const engines: Engine[] = [
  {
    name: 'SQLite',
    database: 'sqlite',
    options: {},
    async make () {
      const client = new Database(':memory:')
      return {
        db: fromSqlite(client) as unknown as Instance,
        execute: async (statement) => client.exec(statement),
        drop: async () => {
          client.close()
        }
      }
    }
  },
  {
    name: 'PostgreSQL',
    database: 'postgres',
    options: await needsPostgres(),
    async make () {
      const { schema, drop } = await makeSchema()
      const pool = new pg.Pool(configOf(schema))
      return {
        db: fromPg(pool) as unknown as Instance,
        execute: (statement) => pool.query(statement),
        async drop () {
          await pool.end()
          await drop()
        }
      }
    }
  },
  {
    name: 'MySQL',
    database: 'mysql',
    options: await needsMysql(),
    async make () {
      const { database, drop } = await makeMysqlDatabase()
      const pool = mysqlPromise.createPool(mysqlConfigOf(database))
      return {
        db: fromMysql(pool) as unknown as Instance,
        execute: (statement) => pool.query(statement),
        async drop () {
          await pool.end()
          await drop()
        }
      }
    }
  }
]
const [, postgres, mysql] = engines as [Engine, Engine, Engine]

/** Creates a store with the tables of definitions, which is dropped when the test ends. */
async function makeStore (t: Test, { make, database }: Engine, tables: Definitions): Promise<Store> {
  const store = await make()
  t.teardown(store.drop)
  for (const statement of createStatements(database, tables)) await store.execute(statement)
  return store
}

async function opened (db: DrizzleInstance, tables: object, defined = models): Promise<DatabaseAdapter> {
  const adapter = drizzle(db, tables)
  for (const model of defined) adapter.define(model)
  await adapter.open()
  return adapter
}

/** The models of an application with two backends and a custom field. */
const schemas = userSchemas({ nickname: Type.Optional(Type.String({ maxLength: 40 })) })
const appModels = modelsOf({ backends: backends() }, { schemas, name: 'users' })

for (const engine of engines) {
  const { name, database, options } = engine
  t.test(
    `row 85: drizzle() on ${name} passes the conformance suite with the definitions that \`schema\` prints`,
    options,
    async (t) => {
      const tables = await importDefinitions(folder, drizzleModule(database, models))
      const store = await makeStore(t, engine, tables)
      const quote = database === 'mysql' ? '`' : '"'
      adapterConformance({
        test (title, run) {
          t.test(title, async (t) => {
            await run()
            t.pass(title)
          })
        },
        storesNul: database !== 'postgres',
        async makeAdapter () {
          // rows of other tables that refer to these are deleted with them
          for (const { table } of models.toReversed()) await store.execute(`DELETE FROM ${quote}${table}${quote}`)
          return drizzle(store.db, tables)
        },
        makeSibling: () => drizzle(store.db, tables)
      })
    }
  )

  t.test(`drizzle() on ${name} reads and writes the values that Drizzle itself does`, options, async (t) => {
    const tables = await importDefinitions(folder, drizzleModule(database, models))
    const { db } = await makeStore(t, engine, tables)
    const adapter = await opened(db, tables)
    const { user: table } = tables as { user: never }
    // the three query builders have these methods in common
    const queries = db as unknown as {
      select(): { from(table: never): PromiseLike<Record<string, unknown>[]> }
      insert(table: never): { values(row: object): PromiseLike<unknown> }
    }
    const seenAt = new Date('2026-11-21T03:52:56.005Z')
    const values = { nickname: 'Art', credits: 2 ** 40, ratio: -0.5, settings: { a: [1, null] } }
    const user = await createUserRow(adapter, { ...values, seen_at: seenAt })
    const [row] = await queries.select().from(table)
    t.match(row, { ...values, id: user['id'], isActive: true, seenAt, hashedPassword: 'hash', sessionStamp: null })
    const id = randomUUID()
    await queries.insert(table).values({ ...row, id, email: 'other@x.org', isActive: false })
    t.strictSame(await adapter.findOne(User, { id, seen_at: seenAt, is_active: false }), {
      ...user,
      id,
      email: 'other@x.org',
      is_active: false
    })
  })

  t.test(`drizzle() on ${name} serves an application, and a guarded request is one statement`, options, async (t) => {
    const tables = await importDefinitions(folder, drizzleModule(database, appModels))
    const { db } = await makeStore(t, engine, tables)
    const adapter = drizzle(db, tables)
    const built = await buildApp(t, { adapter, schemas })
    await built.register({ nickname: 'Art' })
    const headers = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    await built.app.users.settled() // the first login deletes expired tokens in the background
    const statements = countStatements(db.$client as never, database)
    for (const one of headers) {
      statements.count = 0
      const reply = await built.send('GET', '/guarded', undefined, one)
      t.equal(reply.statusCode, 200)
      t.ok(statements.count <= 1, 'a prepared statement of SQLite is compiled once')
    }
  })

  t.test(`drizzle() on ${name} stores refresh tokens, API keys, roles and revoked sessions`, options, async (t) => {
    const tables = await importDefinitions(folder, drizzleModule(database, walkedModels(schemas)))
    const { db } = await makeStore(t, engine, tables)
    await walkFeatures(t, drizzle(db, tables), schemas)
  })

  t.test(`drizzle() on ${name} stores a user in a transaction, or not at all`, options, async (t) => {
    const tables = await importDefinitions(folder, drizzleModule(database, appModels))
    const { db } = await makeStore(t, engine, tables)
    const seen: unknown[] = []
    const built = await buildApp(t, {
      adapter: drizzle(db, tables),
      schemas,
      hooks: {
        onAfterRegister (_payload, { transaction }) {
          seen.push(transaction)
        }
      }
    })
    const { users } = built.app
    const create = (email: string, transaction: unknown): Promise<unknown> =>
      users.create({ email, password: PASSWORD, nickname: 'Lance' } as never, { transaction })
    const wrong = { code: 'FST_USERS_INVALID_OPTION' }
    for (const value of [null, {}, db, 'tx']) await t.rejects(create('x@x.org', value), wrong)
    if (database === 'sqlite') {
      // the callbacks of better-sqlite3 are synchronous
      let refused: Promise<unknown> | undefined
      fromSqlite(db.$client as Database.Database).transaction((tx) => {
        refused = create('x@x.org', tx)
        refused.catch(() => {})
      })
      await t.rejects(refused as Promise<unknown>, { ...wrong, message: /better-sqlite3/ })
      return
    }
    await t.rejects(
      db.transaction(async (tx) => {
        const user = (await create('lost@x.org', tx)) as { nickname: string }
        t.equal(user.nickname, 'Lance')
        t.equal(seen.at(-1), tx)
        await t.rejects(create('lost@x.org', tx), { code: 'FST_USERS_REGISTER_USER_ALREADY_EXISTS' })
        t.equal(await users.getByEmail('lost@x.org'), null, 'others do not see the row')
        throw new Error('rolled back')
      }),
      { message: 'rolled back' }
    )
    t.equal(await users.getByEmail('lost@x.org'), null)
    await db.transaction((tx) => create('kept@x.org', tx))
    t.match(await users.getByEmail('kept@x.org'), { email: 'kept@x.org', nickname: 'Lance' })
    t.equal((await built.login('jwt', 'kept@x.org')).statusCode, 200)
  })

  if (database === 'sqlite') continue // a closed database of better-sqlite3 is a bug of the application

  t.test(`a request to ${name} through drizzle() replies 503 when the database is down`, options, async (t) => {
    const tables = await importDefinitions(folder, drizzleModule(database, appModels))
    const store = await engine.make()
    for (const statement of createStatements(database, tables)) await store.execute(statement)
    const built = await buildApp(t, { adapter: drizzle(store.db, tables), schemas })
    await built.register()
    const headers = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
    await store.drop()
    for (const one of headers) {
      const reply = await built.send('GET', '/users/me', undefined, one)
      t.strictSame(
        [reply.statusCode, reply.json<{ code: string }>().code],
        [503, 'FST_USERS_STORE_UNAVAILABLE']
      )
    }
  })
}

/** Counts the statements that a client receives. */
function countStatements (client: object, database: DrizzleDatabase): { count: number } {
  const counter = { count: 0 }
  const count = (target: Record<string, (...args: unknown[]) => unknown>, name: string): void => {
    const method = target[name]?.bind(target)
    target[name] = (...args) => {
      counter.count++
      return method?.(...args)
    }
  }
  if (database === 'sqlite') count(client as never, 'prepare')
  else if (database === 'postgres') count(client as never, 'connect')
  else count(client as never, 'getConnection')
  return counter
}

t.test('drizzle() refuses definitions that do not fit, with the lines to add or change', async (t) => {
  const client = new Database(':memory:')
  t.teardown(() => {
    client.close()
  })
  const db = fromSqlite(client)
  const user = sqliteTable('people', {
    id: text('id').primaryKey(),
    email: integer('mail').notNull(),
    is_active: integer({ mode: 'boolean' }).notNull(),
    credits: integer().notNull(),
    seenAt: integer('seen', { mode: 'timestamp' }),
    ratio: text()
  })
  const error = await opened(db, { user }).catch((error: unknown) => error as { code: string; message: string })
  t.match(error, { code: 'FST_USERS_TABLE_MISMATCH' })
  const { message = '' } = error as { message?: string }
  t.match(message, /^Table "people" cannot be used[^\n]*drizzle\(\) needs other columns:\n/)
  t.strictSame(message.split('\n').slice(1), [
    "  email: text('mail', { length: 320 }).notNull(), // its type cannot store values of type text",
    "  hashedPassword: text('hashed_password', { length: 1024 }).notNull(),",
    "  nickname: text('nickname', { length: 80 }),",
    "  credits: integer('credits'), // it must accept null",
    "  ratio: real('ratio'), // its type cannot store values of type number",
    "  settings: text('settings', { mode: 'json' }),",
    "  seenAt: integer('seen', { mode: 'timestamp_ms' }), // seconds are too coarse for this time",
    "  order: text('order'),"
  ])
  await t.rejects(opened(db, {}), {
    code: 'FST_USERS_TABLE_MISMATCH',
    message: /"user"[^]*has no definition:\nexport const user = sqliteTable\('user', \{\n {2}id: text\('id', \{ length: 36 \}\)\.primaryKey\(\),/
  })
  const tables = await importDefinitions(folder, drizzleModule('sqlite', models))
  await t.rejects(opened(db, tables), { code: 'FST_USERS_TABLE_MISMATCH', message: /the database has no such table/ })
  await t.rejects(opened(db, { ...tables, accesstoken: tables['user'] }), { code: 'FST_USERS_TABLE_MISMATCH' })
})

t.test('drizzle() finds columns by the field, its camelCase form or the column, and follows `casing`', async (t) => {
  const client = new Database(':memory:')
  t.teardown(() => {
    client.close()
  })
  const db = fromSqlite(client, { casing: 'snake_case' })
  const Person: Model = {
    name: 'user',
    table: 'user',
    fields: {
      id: User.fields['id'] as never,
      email: { type: 'text', ignoreCase: true },
      hashed_password: { type: 'text' },
      is_active: { type: 'boolean' }
    },
    unique: [['email']]
  }
  let edits = 0
  const people = sqliteTable('People', {
    id: text().primaryKey(),
    mail: text('email').notNull().unique(),
    hashedPassword: text().notNull(),
    is_active: integer({ mode: 'boolean' }).notNull(),
    secret: text().notNull().$defaultFn(() => 'made'),
    createdAt: integer({ mode: 'timestamp' }).notNull().$defaultFn(() => new Date(5000)),
    editCount: integer().notNull().$onUpdate(() => edits++)
  })
  client.exec(
    'CREATE TABLE "People" (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, hashed_password TEXT NOT NULL, is_active INTEGER NOT NULL, secret TEXT NOT NULL, created_at INTEGER NOT NULL, edit_count INTEGER NOT NULL)'
  )
  const adapter = await opened(db, { user: people, userRelations: relations(people, () => ({})), other: 5 }, [Person])
  const row = await adapter.create(Person, { email: 'a@x.org', hashed_password: 'hash', is_active: true })
  t.strictSame(Object.keys(row), Object.keys(Person.fields))
  const stored = (): unknown => db.select().from(people).get()
  t.match(stored(), { secret: 'made', createdAt: new Date(5000), editCount: 0, hashedPassword: 'hash' })
  t.equal(await adapter.update(Person, { email: 'A@x.org' }, { is_active: false }), 1)
  t.match(stored(), { secret: 'made', editCount: 1, is_active: false })
  t.equal(await adapter.update(Person, { email: 'A@x.org' }, {}), 1)
  t.match(stored(), { editCount: 1 })
  await t.rejects(adapter.create(Person, { email: 'a@x.org', hashed_password: 'hash', is_active: true }), {
    code: 'FST_USERS_UNIQUE_VIOLATION',
    fields: ['email']
  })
})

t.test('drizzle() uses the schema and the custom types of PostgreSQL definitions', postgres.options, async (t) => {
  const { schema, drop } = await makeSchema()
  const pool = new pg.Pool(configOf('public'))
  t.teardown(async () => {
    await pool.end()
    await drop()
  })
  const reversed = customType<{ data: string; driverData: string }>({
    dataType: () => 'text',
    toDriver: (value) => [...value].reverse().join(''),
    fromDriver: (value) => [...value].reverse().join('')
  })
  const Person: Model = {
    name: 'user',
    table: 'user',
    fields: { id: User.fields['id'] as never, email: { type: 'text' }, secret: { type: 'text', nullable: true } },
    unique: [['email']]
  }
  const user = pgSchema(schema).table('user', { id: uuid().primaryKey(), email: pgText().notNull().unique(), secret: reversed() })
  for (const statement of createStatements('postgres', { user })) await pool.query(statement)
  const adapter = await opened(fromPg(pool), { user }, [Person])
  const row = await adapter.create(Person, { email: 'a@x.org', secret: 'abc' })
  t.strictSame(await adapter.findOne(Person, { secret: 'abc' }), row)
  t.equal((await pool.query<{ secret: string }>(`SELECT secret FROM ${schema}."user"`)).rows[0]?.secret, 'cba')
  const Other: Model = { name: 'other', table: 'other', fields: { id: User.fields['id'] as never } }
  await t.rejects(opened(fromPg(pool), { user, other: pgTable('other', { id: uuid().primaryKey() }) }, [Person, Other]), {
    code: 'FST_USERS_TABLE_MISMATCH',
    message: /another schema/
  })
})

t.test('drizzle() reads MySQL TIMESTAMP columns as UTC, also in a transaction', mysql.options, async (t) => {
  const Visit: Model = {
    name: 'user',
    table: 'visit',
    fields: { id: { type: 'text', maxLength: 20 }, seen_at: { type: 'time' }, is_open: { type: 'boolean' } }
  }
  const name = mysqlCustom<{ data: string }>({ dataType: () => 'varchar(20)' })
  const user = mysqlTable('visit', { id: name().primaryKey(), seen_at: mysqlTimestamp({ fsp: 3 }).notNull(), is_open: boolean().notNull() })
  const { db, execute } = await makeStore(t, mysql, { user })
  const adapter = await opened(db, { user }, [Visit])
  const seen_at = new Date('2026-11-21T03:52:56.005Z')
  const row = await adapter.create(Visit, { id: 'a', seen_at, is_open: true })
  await db.transaction(async (tx) => {
    await tx.execute(sql`SET time_zone = '+05:45'`)
    const within = adapter.within?.(tx)
    t.strictSame(await within?.findOne(Visit, { id: 'a', seen_at }), row)
    t.equal(await within?.update(Visit, { id: 'a' }, { is_open: true }), 1, 'a matched row counts without a change')
    t.equal(await within?.delete(Visit, { id: 'b' }), 0)
    await tx.execute(sql`SET time_zone = DEFAULT`)
  })
  t.match(await execute('SELECT UNIX_TIMESTAMP(seen_at) * 1000 AS time FROM visit'), [[{ time: String(seen_at.getTime()) + '.000' }]])
})

for (const engine of [postgres, mysql]) {
  t.test(
    `a transaction of drizzle() on ${engine.name} has all methods of the adapter, and errors show no values`,
    engine.options,
    async (t) => {
      const tables = await importDefinitions(folder, drizzleModule(engine.database, models))
      const { db } = await makeStore(t, engine, tables)
      const adapter = await opened(db, tables)
      await db.transaction(async (tx) => {
        const within = adapter.within?.(tx) as DatabaseAdapter
        const user = await createUserRow(within, { email: 'a@x.org', credits: 2 ** 40, settings: { a: 1 }, seen_at: new Date(5), is_active: false })
        const row = await createToken(within, user, 'token')
        t.strictSame(await within.findOne(User, { email: 'A@x.org' }), user)
        t.strictSame(await within.findWithUser?.(AccessToken, { token: 'token' }), { row, user })
        t.strictSame(await within.findMany(User, { credits: { gt: 5 } }, { limit: 2, order: 'email' }), [user])
        t.equal(await within.update(User, { id: user['id'] as string }, { credits: { increment: 1 } }), 1)
        const [second] = (await within.createAll?.([[User, { id: randomUUID(), email: 'b@x.org', hashed_password: 'x', is_active: true }]])) ?? []
        t.equal(await within.delete(User, { id: second?.['id'] as string }), 1)
      })
      t.equal((await adapter.findMany(User, { credits: 2 ** 40 + 1 }, { limit: 2 })).length, 1)
      const failure = db.transaction(async (tx) => {
        const within = adapter.within?.(tx) as DatabaseAdapter
        await createUserRow(within, { email: 'A@x.org', hashed_password: 'secret-hash' })
      })
      await t.rejects(failure, { code: 'FST_USERS_UNIQUE_VIOLATION', fields: ['email'] })
      const error = await failure.catch((error: unknown) => error as Error)
      t.notMatch(String((error as Error).cause), /secret-hash/)
      t.throws(() => drizzle(db, tables).within?.({}), { code: 'FST_USERS_NOT_READY' })
    }
  )
}

t.test('drizzle() refuses a lock that lasts longer than its time limit with 503, also in a transaction', postgres.options, async (t) => {
  const tables = await importDefinitions(folder, drizzleModule('postgres', models))
  const { db } = await makeStore(t, postgres, tables)
  const adapter = drizzle(db, tables, { timeoutMs: 300 })
  for (const model of models) adapter.define(model)
  await adapter.open()
  const blocker = await (db.$client as pg.Pool).connect()
  await blocker.query('BEGIN; LOCK TABLE "user"')
  await t.rejects(createUserRow(adapter), { code: 'FST_USERS_STORE_UNAVAILABLE' })
  const late = db.transaction(async (tx) => {
    const within = adapter.within?.(tx) as DatabaseAdapter
    await t.rejects(createUserRow(within), { code: 'FST_USERS_STORE_UNAVAILABLE' })
    await blocker.query('ROLLBACK')
  })
  await late.catch(() => {})
  blocker.release()
  await sleep(0)
  t.match(await createUserRow(adapter), { is_active: true })
})

t.test('drizzle() refuses other values than instances of supported clients', async (t) => {
  const invalid = { code: 'FST_USERS_INVALID_OPTION' }
  const client = new Database(':memory:')
  t.teardown(() => {
    client.close()
  })
  const db = fromSqlite(client)
  for (const wrong of [null, undefined, '', {}, client]) {
    t.throws(() => drizzle(wrong as unknown as DrizzleInstance, {}), invalid)
  }
  t.throws(() => drizzle(db, [] as object), { ...invalid, message: /second argument/ })
  t.throws(() => drizzle(fromPg(new pg.Client()), {}), { ...invalid, message: /Pool/ })
  t.throws(() => drizzle(fromProxy(async () => ({ rows: [] })) as unknown as DrizzleInstance, {}), invalid)
  db.transaction((tx) => {
    t.throws(() => drizzle(tx as unknown as DrizzleInstance, {}), { ...invalid, message: /not a transaction/ })
  })
  await t.rejects(opened(db, {}, []).then(() => drizzle(db, {}, { createTables: true } as object).open()), {
    code: 'FST_USERS_UNKNOWN_OPTION'
  })
})
