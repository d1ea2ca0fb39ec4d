import Database from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect, type Dialect } from 'kysely'
import { createPool, type PoolOptions } from 'mysql2'
import pg from 'pg'
import t, { type Test } from 'tap'
import { kysely } from '../lib/entries/kysely.js'
import { memory } from '../lib/entries/memory.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { buildApp, PASSWORD } from './helpers/build-app.js'
import { makeMysqlDatabase, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makeSchema, needsPostgres } from './helpers/postgres.js'

// test/drizzle.test.ts and test/prisma.test.ts check the transactions of these adapters.

interface Engine {
  name: string
  options: { skip?: string | false }
  make(): Promise<{ dialect: Dialect; drop: () => Promise<void> }>
}

const engines: Engine[] = [
  {
    name: 'SQLite',
    options: {},
    make: async () => ({ dialect: new SqliteDialect({ database: new Database(':memory:') }), drop: async () => {} })
  },
  {
    name: 'PostgreSQL',
    options: await needsPostgres(),
    async make () {
      const { schema, drop } = await makeSchema()
      return { dialect: new PostgresDialect({ pool: new pg.Pool(configOf(schema)) }), drop }
    }
  },
  {
    name: 'MySQL',
    options: await needsMysql(),
    async make () {
      const { database, drop } = await makeMysqlDatabase()
      return { dialect: new MysqlDialect({ pool: createPool(mysqlConfigOf(database) as PoolOptions) }), drop }
    }
  }
]

/** Creates a Kysely instance on a new database, which is removed when the test ends. */
async function makeInstance (t: Test, { make }: Engine): Promise<Kysely<unknown>> {
  const { dialect, drop } = await make()
  const db = new Kysely<unknown>({ dialect })
  t.teardown(async () => {
    await db.destroy()
    await drop()
  })
  return db
}

for (const engine of engines) {
  const { name, options } = engine
  for (const tenant of ['users', 'staff']) {
    t.test(`kysely() on ${name} stores a user of "${tenant}" in a transaction, or not at all`, options, async (t) => {
      const db = await makeInstance(t, engine)
      const seen: unknown[] = []
      const { app, login } = await buildApp(t, {
        adapter: kysely(db, { createTables: true }),
        name: tenant,
        hooks: {
          onBeforeRegister (_payload, { transaction }) {
            seen.push(transaction)
          }
        }
      })
      const create = (email: string, transaction: unknown): Promise<unknown> =>
        app.users.create({ email, password: PASSWORD }, { transaction })
      for (const wrong of [null, {}, 'tx', db]) await t.rejects(create('x@x.org', wrong), { code: 'FST_USERS_INVALID_OPTION' })
      const failed = db.transaction().execute(async (transaction) => {
        t.match(await create('lost@x.org', transaction), { email: 'lost@x.org' })
        t.equal(seen.at(-1), transaction, 'hooks have the transaction in their context')
        await t.rejects(create('LOST@x.org', transaction), { code: 'FST_USERS_REGISTER_USER_ALREADY_EXISTS' })
        throw new Error('rolled back')
      })
      await t.rejects(failed, { message: 'rolled back' })
      t.equal(await app.users.getByEmail('lost@x.org'), null)
      await db.transaction().execute((transaction) => create('kept@x.org', transaction))
      t.equal((await login('jwt', 'kept@x.org')).statusCode, 200)
      await app.users.create({ email: 'plain@x.org', password: PASSWORD })
      t.equal(seen.at(-1), undefined)
    })
  }
}

t.test('adapters without transactions refuse one before anything is stored', async (t) => {
  for (const adapter of [memory(), sqlite(new Database(':memory:'))]) {
    const { app, events } = await buildApp(t, { adapter })
    const created = app.users.create({ email: 'a@x.org', password: PASSWORD }, { transaction: {} })
    await t.rejects(created, { code: 'FST_USERS_INVALID_OPTION', message: /transaction/ })
    t.strictSame(events, [])
  }
})
