import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Document, Int32, ObjectId } from 'mongodb'
import t, { type Test } from 'tap'
import { github, google, oauth, type OauthOptions } from '../../lib/features/oauth/index.js'
import users, {
  bearerTransport,
  cookieTransport,
  jwtStrategy,
  objectIdId,
  userSchemas,
  type DatabaseAdapter,
  type UsersOptions
} from '../../lib/index.js'
import { mongodb } from '../../lib/entries/mongodb.js'
import { postgres } from '../../lib/entries/postgres.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { captureEvents } from '../../lib/testing/index.js'
import { fastPasswords } from '../helpers/build-app.js'
import { freshDbOn, mongoeco } from '../helpers/mongo-stores.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'
import {
  accountOf,
  COOKIE,
  GALAHAD,
  MORDRED,
  openFixture,
  openRowDatabase,
  playRow,
  sessionOf,
  startRowProviders,
  STATE_SECRET,
  type OauthSide,
  type RowProviders
} from './oauth-row-context.js'
import { groups, rows, statusesIn, type OauthRow, type OauthVariant } from './oauth-rows.js'
import { SECRETS } from './rows.js'

const ORIGIN = 'https://app.example.com'
const CLIENT = { clientId: 'client-id', clientSecret: 'client-secret' }
const service = await needsPostgres()
const testFolder = t.testdir()

/** Two test providers and the options of the feature. */
interface Providers extends RowProviders {
  options: OauthOptions
}

async function startProviders (t: Test): Promise<Providers> {
  const started = await startRowProviders(t)
  const { servers } = started
  const providers = [servers.google.stage(google(CLIENT)), servers.github.stage(github(CLIENT))]
  return {
    ...started,
    options: {
      providers,
      insecureOrigins: Object.values(servers).map(({ url }) => url),
      stateSecret: STATE_SECRET,
      timeoutMs: 10_000
    }
  }
}

const jwt = () => jwtStrategy({ secret: SECRETS.auth, lifetimeSeconds: 3600 })

/** Creates an application in compatibility mode with these providers. */
async function serve (
  t: Test,
  adapter: DatabaseAdapter,
  { options }: Providers,
  more: Partial<UsersOptions> = {},
  own: Partial<OauthOptions> = {}
) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, {
    adapter,
    secret: SECRETS.auth,
    compatibility: 'fastapi-users',
    publicUrl: ORIGIN,
    passwords: fastPasswords,
    limits: false,
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwt() },
      { name: 'cookie', transport: cookieTransport(), strategy: jwt() }
    ],
    ...more,
    features: [oauth({ ...options, ...own })]
  })
  const { events, tokenOf } = captureEvents(app)
  await app.ready()
  return { app, events, tokenOf }
}

/** Starts a login or linking. Returns the URL of the callback and the cookie. */
async function begin (
  app: FastifyInstance,
  { servers }: Providers,
  provider: 'google' | 'github',
  session?: { authorization: string }
): Promise<{ url: string; cookie: string }> {
  const path = session === undefined ? `/auth/${provider}` : `/auth/associate/${provider}`
  const reply = await app.inject({ url: `${path}/authorize`, headers: { ...session } })
  if (reply.statusCode !== 200) throw new Error(reply.body)
  const { url } = await servers[provider].visit(reply.json<{ authorization_url: string }>().authorization_url)
  return { url: url.pathname + url.search, cookie: reply.cookies.find(({ name }) => name === COOKIE)?.value ?? '' }
}

/** Runs a complete login. Returns the id of the user. */
async function login (
  t: Test,
  app: FastifyInstance,
  providers: Providers,
  provider: 'google' | 'github'
): Promise<string> {
  const { url, cookie } = await begin(app, providers, provider)
  const reply = await app.inject({ url, headers: { cookie: `${COOKIE}=${cookie}` } })
  t.equal(reply.statusCode, 200, reply.body)
  const me = await app.inject({
    url: '/users/me',
    headers: { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  })
  return me.json<{ id: string }>().id
}

function copyFixture (t: Test, ...changes: string[]): { file: string; python: Database.Database } {
  const file = newFile()
  const python = openFixture(t, file)
  for (const statement of changes) python.exec(statement)
  return { file, python }
}

const newFile = (): string => join(mkdtempSync(join(testFolder, 'database-')), 'users.sqlite')

const variants: Readonly<Record<OauthVariant, [Partial<UsersOptions>, Partial<OauthOptions>]>> = {
  plain: [{}, {}],
  cookie: [{}, { backend: 'cookie' }],
  'associate-by-email': [{}, { associateByEmail: true }],
  'verified-by-default': [{}, { isVerifiedByDefault: true }],
  verified: [{ requireVerification: true }, {}]
}

async function build (t: Test, variant: OauthVariant): Promise<OauthSide> {
  const providers = await startProviders(t)
  const file = newFile()
  const database = openRowDatabase(t, file)
  const { app, events, tokenOf } = await serve(t, sqlite(file), providers, ...variants[variant])
  return {
    providers,
    database,
    get: (url, headers) => app.inject({ url, headers }),
    async resetPassword (email) {
      await app.users.forgotPassword(email)
      await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), 'excalibur-3')
    },
    events: () =>
      events.map((event) => ({ name: event.name, verified: 'user' in event && event.user?.is_verified === true }))
  }
}

async function play (t: Test, row: OauthRow): Promise<void> {
  const { differences, statuses, reply, context } = await playRow(await build(t, row.variant ?? 'plain'), row)
  t.strictSame(differences, [], 'the replies and the state are right')
  const { upstream = '', shows } = row.differs ?? {}
  if (upstream !== '' && statusesIn(upstream).join() === statuses.join()) {
    t.equal(await shows?.(context, reply), false, `it differs: ${upstream}`)
  }
}

for (const [title, group] of Object.entries(groups)) {
  t.test(`${title}: replies equal those of FastAPI Users, or differ for the stated reason`, async (t) => {
    for (const row of group) {
      await t.test(
        `${row.at} ${row.name}${row.differs === undefined ? '' : ` (differs: ${row.differs.reason})`}`,
        (t) => play(t, row)
      )
    }
  })
}

t.test('row names are unique, and every documented difference of OAuth has a row', async (t) => {
  t.equal(new Set(rows.map(({ at, name }) => `${at} ${name}`)).size, rows.length)
  const reasons = rows.map(({ differs }) => differs?.reason ?? '').join()
  for (const defect of ['D7', 'D8', 'D9', 'D10', 'D11', 'D15', 'D16', 'D19', 'D25', 'D27', 'D32', 'D33']) {
    t.match(reasons, new RegExp(`\\b${defect}\\b`), defect)
  }
  for (const { name, differs } of rows) {
    if (differs !== undefined) t.match(differs.reason, /\b(?:D\d+|[A-Z]+-\d\d)\b/, name)
  }
})

const DEFINITIONS =
  "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT IN ('oauth_issuer', 'single_use', 'fastify_users_schema') ORDER BY name"

t.test(
  'rows 69, 83: with the database of FastAPI Users, a stored account identifies its user, whatever tokens and expiry it contains',
  async (t) => {
    const providers = await startProviders(t)
    const { file, python } = copyFixture(t)
    const schema = python.prepare(DEFINITIONS).all()
    const galahad = python.prepare("SELECT * FROM user WHERE email LIKE 'galahad@%'").get() as { id: string }
    const lancelot = python.prepare("SELECT id FROM user WHERE email LIKE 'lancelot@%'").pluck().get() as string
    python.exec(accountOf(lancelot, 'github', '583231', 'lancelot@camelot.bt'))
    const before = python.prepare('SELECT * FROM oauth_account ORDER BY oauth_name').all() as Document[]
    const { app } = await serve(t, sqlite(file), providers)
    t.equal(
      python
        .prepare(
          "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('oauth_issuer', 'single_use')"
        )
        .pluck()
        .get(),
      2,
      'the missing tables were created'
    )
    t.strictSame(python.prepare(DEFINITIONS).all(), schema, 'the definitions of the tables are unchanged')

    providers.be(GALAHAD)
    t.equal(await login(t, app, providers, 'google'), galahad.id)
    providers.be({ id: '583231', email: 'lancelot@camelot.bt' })
    providers.servers.github.behavior.expiresIn = null
    providers.servers.github.behavior.refreshTokens = false
    t.equal(await login(t, app, providers, 'github'), lancelot)
    const [hub, goog] = python
      .prepare('SELECT *, typeof(expires_at) AS kind FROM oauth_account ORDER BY oauth_name')
      .all() as [Document, Document]
    t.match(
      goog,
      {
        id: before[1]?.['id'],
        access_token: /^access-/,
        refresh_token: /^refresh-/,
        kind: 'integer',
        account_email: GALAHAD.email
      },
      'tokens are unchanged'
    )
    t.ok(Math.abs(goog['expires_at'] - Date.now() / 1000 - 3600) < 60)
    t.match(
      hub,
      { id: before[0]?.['id'], access_token: /^access-/, refresh_token: 'theirs-too', expires_at: null },
      'the refresh token is kept if the provider sends no new one'
    )
    t.strictSame(python.prepare("SELECT * FROM user WHERE email LIKE 'galahad@%'").get(), galahad)
    t.equal(python.prepare('SELECT count(*) FROM single_use').pluck().get(), 0)

    providers.be({ id: '7007', email: 'percival@camelot.bt' })
    const percival = await login(t, app, providers, 'google')
    t.match(
      python.prepare("SELECT * FROM oauth_account WHERE account_id = 'people/7007'").get(),
      {
        id: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
        user_id: percival,
        oauth_name: 'google',
        access_token: /^access-/
      },
      'FastAPI Users can read a new account'
    )
    const admin = python.prepare('SELECT id FROM user WHERE is_superuser = 1').pluck().get() as string
    for (const id of [percival, galahad.id]) {
      t.equal((await app.inject({ method: 'DELETE', url: `/users/${id}`, headers: sessionOf(admin) })).statusCode, 204)
    }
    t.strictSame(
      python.prepare('SELECT account_id FROM oauth_account').pluck().all(),
      ['583231'],
      'the accounts of a user are deleted with the user (D12)'
    )
  }
)

t.test('row 83: account tables of older versions work: other column names, and a required expiry', async (t) => {
  const providers = await startProviders(t)
  const { file, python } = copyFixture(t, 'ALTER TABLE oauth_account RENAME TO oauthaccount')
  const { app } = await serve(t, sqlite(file, { tables: { oauth_account: { table: 'oauthaccount' } } }), providers)
  providers.be(GALAHAD)
  t.equal(
    await login(t, app, providers, 'google'),
    python.prepare("SELECT id FROM user WHERE email LIKE 'galahad@%'").pluck().get()
  )
  t.match(python.prepare('SELECT access_token FROM oauthaccount').pluck().all(), [/^access-/])

  const older = copyFixture(
    t,
    'DROP TABLE oauth_account',
    'CREATE TABLE oauth_account (id CHAR(36) NOT NULL PRIMARY KEY, user_id CHAR(36) NOT NULL, oauth_name VARCHAR(100) NOT NULL, access_token VARCHAR(1024) NOT NULL, expires_at INTEGER NOT NULL, refresh_token VARCHAR(1024), account_id VARCHAR(320) NOT NULL, account_email VARCHAR(320) NOT NULL)'
  )
  const second = await serve(t, sqlite(older.file), providers)
  t.match(await login(t, second.app, providers, 'google'), /^[0-9a-f-]{36}$/)
  providers.servers.github.behavior.expiresIn = null
  providers.be({ id: '9', email: 'bors@camelot.bt' })
  const { url, cookie } = await begin(second.app, providers, 'github')
  const reply = await second.app.inject({ url, headers: { cookie: `${COOKIE}=${cookie}` } })
  t.equal(
    reply.statusCode,
    500,
    'a provider without an expiry needs a column that may be null, as FastAPI Users does since 4.0'
  )
})

/** Returns the tables that SQLAlchemy creates on PostgreSQL. */
const ON_POSTGRES = `
  CREATE TABLE "user" (id UUID NOT NULL, email VARCHAR(320) NOT NULL, hashed_password VARCHAR(1024) NOT NULL, is_active BOOLEAN NOT NULL, is_superuser BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, PRIMARY KEY (id));
  CREATE UNIQUE INDEX ix_user_email ON "user" (email);
  CREATE TABLE oauth_account (id UUID NOT NULL, user_id UUID NOT NULL, oauth_name VARCHAR(100) NOT NULL, access_token VARCHAR(1024) NOT NULL, expires_at INTEGER, refresh_token VARCHAR(1024), account_id VARCHAR(320) NOT NULL, account_email VARCHAR(320) NOT NULL, PRIMARY KEY (id), FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE);
  INSERT INTO "user" VALUES ('${MORDRED}', 'galahad@camelot.bt', 'x', true, false, true)`

t.test(
  'rows 69, 83: on PostgreSQL the start is refused without the one additional table, and the statements of the error create it',
  service,
  async (t) => {
    const providers = await startProviders(t)
    const { pool } = await makePool(t)
    await pool.query(`${ON_POSTGRES}; ${accountOf(MORDRED, 'google', 'people/1001', GALAHAD.email)}`)
    const refusal = (await serve(t, postgres(pool), providers).catch((error: Error) => error.message)) as string
    t.match(refusal, /"oauth_issuer", "single_use"[^]*run `npx fastify-users migrate`/)
    t.notMatch(refusal, /CREATE TABLE "(?:user|oauth_account)"/)
    await pool.query(refusal.slice(refusal.indexOf('CREATE ')))
    const { app } = await serve(t, postgres(pool), providers)
    providers.be(GALAHAD)
    t.equal(await login(t, app, providers, 'google'), MORDRED)
    providers.be({ id: '7007', email: 'percival@camelot.bt' })
    const percival = await login(t, app, providers, 'google')
    const { rows } = await pool.query(
      'SELECT user_id, account_id, access_token, expires_at FROM oauth_account ORDER BY account_id'
    )
    t.match(rows, [
      { user_id: MORDRED, account_id: 'people/1001', access_token: /^access-/, expires_at: Number },
      { user_id: percival, account_id: 'people/7007', access_token: /^access-/ }
    ])
    for (const id of [MORDRED, percival]) await app.users.delete(id as never)
    t.equal((await pool.query('SELECT 1 FROM oauth_account')).rowCount, 0)
  }
)

t.test(
  'documents of Beanie, with accounts in their lists: a stored account leads to its user',
  mongoeco.options,
  async (t) => {
    const providers = await startProviders(t)
    const db = freshDbOn(t, mongoeco)
    const collection = db.collection('User')
    const [galahad, account] = [new ObjectId('6650f1c2a7b3d4e5f6a7b8c9'), new ObjectId('6650f1c2a7b3d4e5f6a7b8d0')]
    await collection.createIndexes([
      {
        key: { email: 1 },
        name: 'case_insensitive_email_index',
        unique: true,
        collation: { locale: 'en', strength: 2 }
      }
    ])
    await collection.insertOne({
      _id: galahad,
      email: 'galahad@camelot.bt',
      hashed_password: 'x',
      is_active: true,
      is_superuser: false,
      is_verified: true,
      nick: 'kept',
      oauth_accounts: [
        {
          id: new ObjectId('6650f1c2a7b3d4e5f6a7b8cf'),
          oauth_name: 'github',
          access_token: 'theirs',
          account_id: 'people/1001',
          account_email: 'g@x.bt',
          expires_at: null,
          refresh_token: null
        },
        {
          id: account,
          oauth_name: 'google',
          access_token: 'theirs',
          account_id: 'people/1001',
          account_email: 'old@x.bt',
          expires_at: new Int32(1_700_000_000),
          refresh_token: 'theirs-too',
          more: 'kept'
        }
      ]
    })
    const schemas = userSchemas({}, { id: objectIdId() }) as never
    const refusal = (): Promise<unknown> =>
      serve(t, mongodb(db), providers, { schemas }, { accountsInReplies: true }).catch((error: Error) => error.message)
    t.match(
      await refusal(),
      /"oauth_issuer"[^]*createIndex\(\{"oauth_name":1\}/,
      'the error contains the index of issuers'
    )
    await db.collection('oauth_issuer').createIndex({ oauth_name: 1 }, { name: 'oauth_name_1', unique: true })
    t.match(
      await refusal(),
      /createIndex\(\{"oauth_accounts\.oauth_name":1,"oauth_accounts\.account_id":1\}/,
      'the error contains the index of accounts'
    )
    const store = mongodb(db, { createTables: true })
    const { app } = await serve(t, store, providers, { schemas }, { accountsInReplies: true })
    providers.be(GALAHAD)
    t.equal(await login(t, app, providers, 'google'), String(galahad))
    const before = (await collection.findOne({})) as Document
    t.match(
      before,
      {
        nick: 'kept',
        oauth_accounts: [
          { access_token: 'theirs' },
          {
            id: account,
            access_token: /^access-/,
            refresh_token: /^refresh-/,
            account_email: GALAHAD.email,
            expires_at: Number,
            more: 'kept'
          }
        ]
      },
      'only the tokens and the e-mail of one element change'
    )

    providers.be({ id: '7007', email: 'lance@gmail.example' })
    const session = sessionOf(String(galahad))
    const { url, cookie } = await begin(app, providers, 'github', session)
    const reply = await app.inject({ url, headers: { ...session, cookie: `${COOKIE}=${cookie}` } })
    t.match(
      [reply.statusCode, reply.json()],
      [200, { id: String(galahad), oauth_accounts: [{}, {}, { oauth_name: 'github', account_id: '7007' }] }]
    )
    const after = (await collection.findOne({})) as Document
    t.strictSame(Object.keys((after['oauth_accounts'] as Document[])[2] ?? {}).sort(), [
      'access_token',
      'account_email',
      'account_id',
      'email_verified',
      'expires_at',
      'id',
      'oauth_name',
      'refresh_token'
    ])
    t.ok((after['oauth_accounts'] as Document[])[2]?.['id'] instanceof ObjectId)

    providers.be({ id: '8008', email: 'percival@camelot.bt' })
    const percival = await login(t, app, providers, 'google')
    await app.users.delete(String(galahad) as never)
    t.match(await collection.find({}).toArray(), [
      { _id: new ObjectId(percival), oauth_accounts: [{ account_id: 'people/8008' }] }
    ])
    t.strictSame(await db.collection('single_use').find({}).toArray(), [])
  }
)
