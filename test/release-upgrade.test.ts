import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect } from 'kysely'
import { BSON, type Db, type Document, type IndexSpecification } from 'mongodb'
import { createPool, type Pool } from 'mysql2'
import type pg from 'pg'
import t, { type Test } from 'tap'
import {
  authenticate,
  currentUser,
  type DatabaseAdapter,
  type Feature,
  type FeatureKit,
  type ModelExtension
} from '../lib/index.js'
import { kysely } from '../lib/entries/kysely.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { github, oauth } from '../lib/features/oauth/index.js'
import { buildApp, type TestApp } from './helpers/build-app.js'
import { createCommandFolder, endPools, library, type CommandFolder, type ConfigParts } from './helpers/command-line.js'
import { completeStores, freshDbOn } from './helpers/mongo-stores.js'
import { makeMysqlPool, mysqlConfigOf, needsMysql } from './helpers/mysql.js'
import { configOf, makePool, needsPostgres } from './helpers/postgres.js'
import { fixturePath } from './helpers/root.js'

// The fixtures are the tables and rows that an application of release 0.1.0 stored. Its clock stood still.

interface OldSessions {
  authorization: string
  cookie: string
}

interface OldApplication {
  /** Milliseconds since 1970. */
  time: number
  secret: string
  encryptionKey: string
  password: string
  arthur: OldSessions & { id: string }
  merlin: OldSessions
}

/** A database with the tables of the release: an adapter for it, and the same adapter in a config file. */
interface OldDatabase {
  adapter: () => DatabaseAdapter
  config: ConfigParts
}

const release = (name: string): string => readFileSync(fixturePath(join('release-0.1.0', name)), 'utf8')
const old = JSON.parse(release('application.json')) as OldApplication
const testFolder = t.testdir()
/** The features of the application now: that of the release, and one that adds columns. */
const columns: ModelExtension = {
  extends: 'user',
  fields: { failed_logins: { type: 'integer', default: 0 }, phone: { type: 'text', maxLength: 40, nullable: true } }
}
const oauthOptions = { publicUrl: 'https://app.example.com', encryptionKey: old.encryptionKey }
const FEATURES = `
  import { github, oauth } from '${library.replace('lib/index.js', 'lib/features/oauth/index.js')}'
  function listFeatures () {
    const providers = [github({ clientId: 'id', clientSecret: 'secret' })]
    const phones = { name: 'phones', models: () => [${JSON.stringify(columns)}], setup: () => ({}) }
    return [oauth({ ...${JSON.stringify(oauthOptions)}, providers }), phones]
  }`
process.env['USERS_SECRET'] = old.secret
t.teardown(endPools)

async function openPostgres (t: Test): Promise<{ pool: pg.Pool; config: string }> {
  const { pool, schema } = await makePool(t)
  await pool.query(release('postgres.sql'))
  return { pool, config: JSON.stringify(configOf(schema)) }
}

async function openMysql (t: Test): Promise<{ pool: Pool; config: string }> {
  const { pool, database } = await makeMysqlPool(t, { multipleStatements: true })
  await pool.query(release('mysql.sql'))
  const own = createPool(mysqlConfigOf(database))
  t.teardown(() => {
    own.end()
  })
  return { pool: own, config: JSON.stringify(mysqlConfigOf(database)) }
}

async function fillMongodb (db: Db): Promise<void> {
  const collections = BSON.EJSON.parse(release('mongodb.json')) as Record<
    string,
    { documents: Document[]; indexes: { key: IndexSpecification }[] }
  >
  for (const [name, { documents, indexes }] of Object.entries(collections)) {
    if (documents.length > 0) await db.collection(name).insertMany(documents)
    for (const { key, ...options } of indexes) await db.collection(name).createIndex(key, options)
  }
}

/** Returns a Kysely instance in the text of a config file. */
function kyselyText (dialect: string): ConfigParts {
  return {
    adapter: `kysely((() => { const db = new Kysely({ dialect: ${dialect} }); keep({ end: () => db.destroy() }); return db })())`,
    rest: "import { Kysely, MysqlDialect, PostgresDialect } from 'kysely'\nimport { createPool } from 'mysql2'"
  }
}

const databases: {
  name: string
  options: { skip: string | false }
  open(t: Test, folder: CommandFolder): Promise<OldDatabase>
}[] = [
  {
    name: 'SQLite',
    options: { skip: false },
    async open (_, { file }) {
      const database = new Database(file)
      database.exec(release('sqlite.sql'))
      database.close()
      return { adapter: () => sqlite(file), config: {} }
    }
  },
  {
    name: 'PostgreSQL',
    options: await needsPostgres(),
    async open (t) {
      const { pool, config } = await openPostgres(t)
      return { adapter: () => postgres(pool), config: { adapter: `postgres(keep(new pg.Pool(${config})))` } }
    }
  },
  {
    name: 'PostgreSQL through Kysely',
    options: await needsPostgres(),
    async open (t) {
      const { pool, config } = await openPostgres(t)
      return {
        adapter: () => kysely(new Kysely({ dialect: new PostgresDialect({ pool }) })),
        config: kyselyText(`new PostgresDialect({ pool: new pg.Pool(${config}) })`)
      }
    }
  },
  {
    name: 'MySQL',
    options: await needsMysql(),
    async open (t) {
      const { pool, config } = await openMysql(t)
      return { adapter: () => mysql(pool), config: { adapter: `mysql(keep(mysql2.createPool(${config})))` } }
    }
  },
  {
    name: 'MySQL through Kysely',
    options: await needsMysql(),
    async open (t) {
      const { pool, config } = await openMysql(t)
      return {
        adapter: () => kysely(new Kysely({ dialect: new MysqlDialect({ pool }) })),
        config: kyselyText(`new MysqlDialect({ pool: createPool(${config}) })`)
      }
    }
  },
  ...completeStores.map((store) => ({
    name: `MongoDB (${store.name})`,
    options: store.options,
    async open (t: Test) {
      const db = freshDbOn(t, store)
      await fillMongodb(db)
      const client = `(() => { const client = new MongoClient('${store.url}'); keep({ end: () => client.close() }); return client })()`
      return {
        adapter: () => mongodb(db),
        config: {
          adapter: `mongodb(${client}.db('${db.databaseName}'))`,
          rest: "import { MongoClient } from 'mongodb'"
        }
      }
    }
  }))
]

/** Starts an application with the secret of the release, one minute after its last request. */
async function startAfterwards (t: Test, adapter: DatabaseAdapter, features: Feature[] = []): Promise<TestApp> {
  const options = { adapter, secret: old.secret, clock: () => old.time + 60_000, features }
  return await buildApp(t, options, (app) => {
    app.get('/session', { preHandler: authenticate }, async (request) => ({
      email: currentUser(request).email,
      ...request.authentication?.session
    }))
  })
}

/** Checks that the users of the release are logged in, and that each session has an identity. */
async function checkOldSessions (t: Test, { send }: TestApp): Promise<void> {
  for (const [email, { authorization, cookie }] of [
    ['King.Arthur@camelot.bt', old.arthur],
    ['merlin@camelot.bt', old.merlin]
  ] as const) {
    const ids = new Set<string>()
    for (const headers of [{ authorization }, { cookie }, { authorization }, { cookie }] as Record<string, string>[]) {
      const reply = await send('GET', '/session', undefined, headers)
      t.equal(reply.statusCode, 200, `${Object.keys(headers).join()} of ${email}`)
      const session = reply.json<{ id: string }>()
      t.match(session, { email, createdAt: new Date(old.time).toISOString(), methods: [] })
      ids.add(session.id)
    }
    t.equal(ids.size, 2, 'each session keeps its id')
  }
  const { authorization } = old.merlin
  t.equal((await send('GET', `/users/${old.arthur.id}`, undefined, { authorization })).statusCode, 200, 'a superuser')
}

/** Checks that the application works with its former rows and with new ones. */
async function checkEverything (t: Test, started: TestApp): Promise<void> {
  const { send, login, register, bearer, cookie } = started
  await checkOldSessions(t, started)
  t.equal((await login('jwt', 'king.arthur@CAMELOT.bt', old.password)).statusCode, 200)
  t.equal((await login('jwt', 'mordred@camelot.bt', old.password)).statusCode, 400, 'an inactive user')
  const fresh = await cookie('king.arthur@camelot.bt', old.password)
  t.match((await send('GET', '/session', undefined, fresh)).json(), { methods: ['password'] }, 'all columns are used')

  const duplicate = await send('POST', '/auth/register', { email: 'MERLIN@camelot.bt', password: 'a new password' })
  t.equal(duplicate.statusCode, 400)
  await register({ email: 'lancelot@camelot.bt' })
  await bearer('lancelot@camelot.bt')

  const logout = await send('POST', '/auth/cookie/logout', undefined, { cookie: old.arthur.cookie })
  t.equal(logout.statusCode, 204)
  t.equal((await send('GET', '/users/me', undefined, { cookie: old.arthur.cookie })).statusCode, 401)
  const { authorization } = old.merlin
  const change = { password: 'excalibur-2' }
  t.equal((await send('PATCH', '/users/me', change, { authorization })).statusCode, 200)
  for (const headers of [{ authorization }, { cookie: old.merlin.cookie }] as Record<string, string>[]) {
    t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401, 'a new password ends old sessions')
  }
  const merlin = await bearer('merlin@camelot.bt', 'excalibur-2')
  t.equal((await send('DELETE', `/users/${old.arthur.id}`, undefined, merlin)).statusCode, 204)
  t.equal((await send('GET', '/users/me', undefined, fresh)).statusCode, 401)
}

for (const { name, options, open } of databases) {
  t.test(`${name}: the database of release 0.1.0 works before and after migrate`, options, async (t) => {
    const folder = createCommandFolder(testFolder, { main: '', library: '' })
    const { adapter, config } = await open(t, folder)
    await checkOldSessions(t, await startAfterwards(t, adapter()))

    const parts = { ...config, rest: `${config.rest ?? ''}\n${FEATURES}` }
    const run = (...args: string[]): ReturnType<CommandFolder['run']> => folder.run(args, parts)
    t.match(await run('migrate', '--check'), { code: 1, err: '', out: /^Pending:/ })
    t.match(await run('migrate'), { code: 0, err: '', out: /^Changed:/ })
    t.match(await run('migrate'), { code: 0, err: '', out: /Nothing to do/ })

    const kits: FeatureKit[] = []
    const phones: Feature = {
      name: 'phones',
      models: () => [columns],
      setup (kit) {
        kits.push(kit)
        return {}
      }
    }
    const providers = [github({ clientId: 'id', clientSecret: 'secret' })]
    const started = await startAfterwards(t, adapter(), [oauth({ ...oauthOptions, providers }), phones])
    const accounts = started.app.users.feature('oauth')
    t.match(await accounts.list(old.arthur.id), [{ oauth_name: 'github', account_id: '1' }])
    t.match(await accounts.tokens(old.arthur.id, 'github'), { accessToken: 'the provider token' })
    for (const { store, model } of kits) {
      const users = await store.findMany(model('user'), { failed_logins: 0, phone: null }, { limit: 9 })
      t.equal(users.length, 3, 'the users of the release have the values of the new columns')
    }
    await checkEverything(t, started)
    t.same(await accounts.list(old.arthur.id), [], 'the account is deleted with its user')
  })
}
