// The real FastAPI Users, from PyPI, and this package serve one database at the same time.
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import { hash as hashBcrypt } from '@node-rs/bcrypt'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { MongoClient } from 'mongodb'
import t, { type Test } from 'tap'
import users, {
  argon2Passwords,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  objectIdId,
  userSchemas,
  type DatabaseAdapter,
  type UsersOptions
} from '../lib/index.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { postgres } from '../lib/entries/postgres.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { oauth, openidConnect } from '../lib/features/oauth/index.js'
import { captureEvents } from '../lib/testing/index.js'
import { entryOf, library, runIn } from './helpers/command-line.js'
import { startOidcProvider, type OidcProvider } from './helpers/oidc-provider.js'
import { makePool, needsPostgres, postgresUrl } from './helpers/postgres.js'
import { python, serviceAt, startPython, type Service } from './helpers/python-service.js'
import { connectRedis } from './helpers/redis.js'
import { root } from './helpers/root.js'

const PASSWORD = 'guinevere-1'
const SECRETS = {
  AUTH_SECRET: 'live-auth-secret-0123456789-abcdefghij',
  RESET_SECRET: 'live-reset-secret-0123456789-abcdefghi',
  VERIFY_SECRET: 'live-verify-secret-0123456789-abcdefg',
  STATE_SECRET: 'live-state-secret-0123456789-abcdefgh'
}
const BACKENDS = ['jwt', 'cookie', 'db', 'redis'] as const
type BackendName = (typeof BACKENDS)[number]
const REDIRECT_URL = 'http://127.0.0.1:1/auth/camelot/callback'

/**
 * Production hashes are compared on one store. On the others, both services use hashes of a low cost, with the
 * parameters of the option `cheap_hashes` of the Python service.
 */
const PRODUCTION_HASH = /^\$argon2id\$v=19\$m=65536,t=3,p=4\$/
const CHEAP_HASH = /^\$argon2id\$v=19\$m=8,t=1,p=1\$/
const CHEAP_SETTINGS = { SETTINGS: JSON.stringify({ cheap_hashes: true }) }
const passwords = argon2Passwords({ memoryCost: 8, timeCost: 1, parallelism: 1, insecureFastHashing: true })

const { skip: noPostgres } = await needsPostgres()
const { redis, skip: noRedis } = await connectRedis()

/** A database that both services use. */
interface SharedStore {
  /** Environment of the Python service. */
  environment: Record<string, string>
  adapter: DatabaseAdapter
  options: Partial<UsersOptions>
  /** The form of hashes that both services create. */
  hashPattern: RegExp
  /** Replaces the stored hash of a user. */
  setHash(email: string, hash: string): Promise<void>
  hashOf(email: string): Promise<string>
}

/** A service with the functions that only its own process or code has. */
interface Side extends Service {
  /** Waits until the newest mail to this e-mail exists, and returns its token. */
  mailToken(purpose: 'reset' | 'verify', email: string): Promise<string>
}

const stores: Record<string, { skip: string | false; create(t: Test): Promise<SharedStore> }> = {
  SQLite: {
    skip: false,
    async create (t) {
      const file = join(t.testdir(), 'users.sqlite')
      const database = new Database(file)
      database.pragma('journal_mode = WAL')
      t.teardown(() => database.close())
      return {
        environment: { DATABASE_URL: `sqlite+aiosqlite:///${file}` },
        adapter: sqlite(file),
        options: {},
        hashPattern: PRODUCTION_HASH,
        async setHash (email, hash) {
          database.prepare('UPDATE user SET hashed_password = ? WHERE email = ?').run(hash, email)
        },
        hashOf: async (email) =>
          String(database.prepare('SELECT hashed_password FROM user WHERE email = ?').pluck().get(email))
      }
    }
  },
  PostgreSQL: {
    skip: noPostgres,
    async create (t) {
      const { pool, schema } = await makePool(t)
      return {
        environment: {
          DATABASE_URL: postgresUrl.replace(/^postgres(ql)?:/, 'postgresql+asyncpg:'),
          DATABASE_SCHEMA: schema,
          ...CHEAP_SETTINGS
        },
        adapter: postgres(pool, { createTables: true }), // the tables that only this package has
        options: { passwords },
        hashPattern: CHEAP_HASH,
        async setHash (email, hash) {
          await pool.query('UPDATE "user" SET hashed_password = $1 WHERE email = $2', [hash, email])
        },
        async hashOf (email) {
          const { rows } = await pool.query<{ hashed_password: string }>(
            'SELECT hashed_password FROM "user" WHERE email = $1',
            [email]
          )
          return String(rows[0]?.hashed_password)
        }
      }
    }
  }
}

/** Collections of Beanie on a server with collations. */
const COLLATING_MONGODB = process.env['MONGODB_URL'] ?? 'mongodb://127.0.0.1:27018/?directConnection=true'

async function noMongodb (): Promise<string | false> {
  const client = new MongoClient(COLLATING_MONGODB, { serverSelectionTimeoutMS: 3000 })
  try {
    await client.connect()
    return false
  } catch (error) {
    if (process.env['REQUIRE_SERVICES'] === '1') throw error
    return `no MongoDB answers: ${String(error)}`
  } finally {
    await client.close()
  }
}

stores['MongoDB with Beanie'] = {
  skip: await noMongodb(),
  async create (t) {
    const client = new MongoClient(COLLATING_MONGODB)
    const name = `users_test_${randomBytes(6).toString('hex')}`
    const db = client.db(name)
    t.teardown(async () => {
      await db.dropDatabase()
      await client.close()
    })
    const collection = db.collection('User')
    return {
      environment: { MONGODB_URL: COLLATING_MONGODB, MONGODB_DATABASE: name, ...CHEAP_SETTINGS },
      adapter: mongodb(db, { createTables: true }),
      options: { schemas: userSchemas({}, { id: objectIdId() }), passwords },
      hashPattern: CHEAP_HASH,
      async setHash (email, hash) {
        await collection.updateOne({ email }, { $set: { hashed_password: hash } })
      },
      hashOf: async (email) => String((await collection.findOne({ email }))?.['hashed_password'])
    }
  }
}

/** Starts both services on a store. The tables are those of FastAPI Users. */
async function startBoth (t: Test, store: SharedStore): Promise<[Side, Side]> {
  const prefix = `live-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    for (const key of await redis.keys(`${prefix}*`)) await redis.del(key)
  })
  const provider = await startOidcProvider(t, [REDIRECT_URL], { pkce: { required: () => false } })
  const service = await startPython(t, {
    ...SECRETS,
    ...store.environment,
    REDIS_URL: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
    REDIS_PREFIX: prefix,
    ISSUER: provider.issuer,
    CLIENT_ID: provider.clientId,
    CLIENT_SECRET: provider.clientSecret,
    REDIRECT_URL
  })
  const ours = await startOurs(t, { adapter: store.adapter, ...store.options }, prefix, provider)
  return [{ ...service, mailToken: (...mail) => mailTokenOfPython(service, ...mail) }, ours]
}

async function mailTokenOfPython (service: Service, purpose: 'reset' | 'verify', email: string): Promise<string> {
  const name = purpose === 'reset' ? 'onAfterForgotPassword' : 'onAfterRequestVerify'
  const { body } = await service.request('GET', '/_test/events')
  const event = (body as { name: string; email: string; token: string }[]).findLast(
    (one) => one.name === name && one.email === email
  )
  return String(event?.token)
}

async function startOurs (
  t: Test,
  options: Partial<UsersOptions> & { adapter: DatabaseAdapter },
  prefix: string,
  provider: OidcProvider
): Promise<Side> {
  const app = Fastify()
  const jwt = jwtStrategy({ secret: SECRETS.AUTH_SECRET, lifetimeSeconds: 3600 })
  await app.register(users, {
    secret: SECRETS.AUTH_SECRET,
    compatibility: 'fastapi-users',
    tokens: { reset: { secret: SECRETS.RESET_SECRET }, verify: { secret: SECRETS.VERIFY_SECRET } },
    publicUrl: 'http://127.0.0.1:1',
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwt },
      { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: jwt },
      {
        name: 'redis',
        transport: bearerTransport(),
        strategy: redisStrategy({ client: redis, keyPrefix: prefix, lifetimeSeconds: 3600 })
      }
    ],
    features: [
      oauth({
        providers: [
          openidConnect({
            name: 'camelot',
            issuer: provider.issuer,
            clientId: provider.clientId,
            clientSecret: provider.clientSecret
          })
        ],
        backend: 'jwt',
        stateSecret: SECRETS.STATE_SECRET,
        insecureOrigins: [provider.issuer]
      })
    ],
    ...options
  })
  const { tokenOf } = captureEvents(app)
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return {
    ...serviceAt('fastify-users', `http://127.0.0.1:${port}`),
    mailToken: (purpose) => tokenOf(purpose === 'reset' ? 'onAfterForgotPassword' : 'onAfterRequestVerify')
  }
}

/** Logs in and returns the headers of the session. */
async function logIn (
  side: Service,
  backend: BackendName,
  username: string,
  password = PASSWORD
): Promise<Record<string, string>> {
  const reply = await side.request('POST', `/auth/${backend}/login`, new URLSearchParams({ username, password }))
  if (backend === 'cookie') return { cookie: reply.headers.get('set-cookie')?.split(';')[0] ?? '' }
  return { authorization: `Bearer ${(reply.body as { access_token: string }).access_token}` }
}

const statusOf = async (side: Service, headers: Record<string, string>): Promise<number> =>
  (await side.request('GET', '/users/me', undefined, headers)).status

/** Follows the login of a provider from its authorization URL to the callback. Returns the query of the callback. */
async function loginAtProvider (authorizationUrl: string): Promise<string> {
  const cookies = new Map<string, string>()
  let url = authorizationUrl
  for (;;) {
    if (url.startsWith(REDIRECT_URL)) return new URL(url).search
    const reply = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
    })
    for (const cookie of reply.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      cookies.set(name, value)
    }
    const location = reply.headers.get('location')
    if (location === null) throw new Error(`${reply.status} ${await reply.text()}`)
    url = new URL(location, url).href
  }
}

for (const [storeName, { skip: noStore, create }] of Object.entries(stores)) {
  const skip = python.skip !== false ? python.skip : noStore !== false ? noStore : noRedis
  t.test(`row 90: FastAPI Users and this package on one database: ${storeName}`, { skip }, async (t) => {
    const store = await create(t)
    const sides = await startBoth(t, store)
    const [theirs, ours] = sides
    const directions = [
      [theirs, ours],
      [ours, theirs]
    ] as const

    for (const [n, [first, second]] of directions.entries()) {
      const direction = `${first.name} → ${second.name}`
      const email = `king.arthur.${n}@camelot.bt`

      await t.test(`${direction}: users, sessions and logout`, async (t) => {
        const registered = await first.request('POST', '/auth/register', { email, password: PASSWORD })
        t.equal(registered.status, 201)
        for (const backend of BACKENDS) {
          const session = await logIn(first, backend, email.toUpperCase())
          t.equal(await statusOf(first, session), 200, `${backend} where it was created`)
          t.equal(await statusOf(second, session), 200, `${backend} at the other service`)
          const back = await logIn(second, backend, email)
          t.equal(await statusOf(first, back), 200, `a user registered by one logs in at the other: ${backend}`)
          if (backend === 'db' || backend === 'redis') {
            t.equal((await second.request('POST', `/auth/${backend}/logout`, undefined, session)).status, 204)
            t.equal(await statusOf(first, session), 401, `${backend}: the logout holds at both`)
            t.equal(await statusOf(first, back), 200, `${backend}: other sessions stay`)
          }
        }
        const taken = await second.request('POST', '/auth/register', { email, password: PASSWORD })
        t.same([taken.status, taken.body], [400, { detail: 'REGISTER_USER_ALREADY_EXISTS' }])
      })

      await t.test(`${direction}: verify and reset tokens`, async (t) => {
        t.equal((await first.request('POST', '/auth/request-verify-token', { email })).status, 202)
        const token = await first.mailToken('verify', email)
        const verified = await second.request('POST', '/auth/verify', { token })
        t.match([verified.status, verified.body], [200, { email, is_verified: true }])
        const again = await first.request('POST', '/auth/verify', { token })
        t.equal(again.status, 400, 'a token that verified is refused by both')
        t.equal((await second.request('POST', '/auth/verify', { token })).status, 400)

        t.equal((await first.request('POST', '/auth/forgot-password', { email })).status, 202)
        const reset = await first.mailToken('reset', email)
        const password = 'excalibur-2'
        t.equal((await second.request('POST', '/auth/reset-password', { token: reset, password })).status, 200)
        const reused = await first.request('POST', '/auth/reset-password', { token: reset, password })
        t.same([reused.status, reused.body], [400, { detail: 'RESET_PASSWORD_BAD_TOKEN' }], 'the password changed')
        for (const side of sides) {
          const session = await logIn(side, 'jwt', email, password)
          t.equal(await statusOf(first, session), 200, `the new password works at ${side.name}`)
        }
        const form = new URLSearchParams({ username: email, password: PASSWORD })
        const old = await first.request('POST', '/auth/jwt/login', form)
        t.same([old.status, old.body], [400, { detail: 'LOGIN_BAD_CREDENTIALS' }])
      })

      await t.test(`${direction}: a hash that one upgrades verifies at the other`, async (t) => {
        const oldHash = await hashBcrypt('excalibur-3', 10)
        await store.setHash(email, oldHash.replace('$2y$', '$2b$'))
        t.equal(await statusOf(first, await logIn(first, 'jwt', email, 'excalibur-3')), 200)
        t.match(await store.hashOf(email), store.hashPattern, 'the bcrypt hash is replaced')
        t.equal(await statusOf(second, await logIn(second, 'jwt', email, 'excalibur-3')), 200)
      })

      await t.test(`${direction}: the state of a login with a provider`, async (t) => {
        const started = await first.request('GET', '/auth/camelot/authorize')
        t.equal(started.status, 200)
        const cookie = started.headers.get('set-cookie')?.split(';')[0] ?? ''
        const query = await loginAtProvider((started.body as { authorization_url: string }).authorization_url)
        const elsewhere = await second.request('GET', `/auth/camelot/callback${query}`, undefined, { cookie })
        // our login sends a PKCE challenge, so FastAPI Users cannot exchange the code, and replies 500
        const refused = second === ours ? 400 : 500
        t.equal(elsewhere.status, refused, 'a login that the other service started must be started again')
      })
    }

    await t.test('the service that started a login with a provider finishes it, and both find the account', async (t) => {
      const ids: unknown[] = []
      for (const side of [theirs, ours]) {
        const started = await side.request('GET', '/auth/camelot/authorize')
        const cookie = started.headers.get('set-cookie')?.split(';')[0] ?? ''
        const query = await loginAtProvider((started.body as { authorization_url: string }).authorization_url)
        const finished = await side.request('GET', `/auth/camelot/callback${query}`, undefined, { cookie })
        t.equal(finished.status, 200, `${side.name}: ${finished.text}`)
        const { access_token: token } = finished.body as { access_token: string }
        const me = await ours.request('GET', '/users/me', undefined, { authorization: `Bearer ${token}` })
        ids.push((me.body as { id: string }).id)
      }
      t.equal(ids[0], ids[1], 'one user')
    })

    await t.test('both serve the database under parallel load', async (t) => {
      const differences: string[] = []
      const expect = async (status: number, side: Service, ...call: Parameters<Service['request']>): Promise<void> => {
        let reply = await side.request(...call)
        // Python may lock SQLite for seconds while it hashes; a client tries again
        while (reply.status === 503) reply = await side.request(...call)
        if (reply.status !== status) differences.push(`${side.name} ${call[0]} ${call[1]}: ${reply.status} ${reply.text}`)
      }
      await Promise.all(
        Array.from({ length: 8 }, async (_, n) => {
          const [first, second] = directions[n % 2] ?? [theirs, ours]
          const email = `knight.${n}@camelot.bt`
          await expect(201, first, 'POST', '/auth/register', { email, password: PASSWORD })
          const backend = BACKENDS[n % 4] ?? 'jwt'
          const session = await logIn(second, backend, email)
          for (let k = 0; k < 5; k++) {
            await Promise.all([
              expect(200, first, 'GET', '/users/me', undefined, session),
              expect(200, second, 'GET', '/users/me', undefined, session)
            ])
          }
          if (backend === 'db' || backend === 'redis') {
            await expect(204, first, 'POST', `/auth/${backend}/logout`, undefined, session)
            await expect(401, second, 'GET', '/users/me', undefined, session)
          }
        })
      )
      t.same(differences, [])
    })
  })
}

t.test(
  'row 90: the documented steps of the move, with FastAPI Users running until step 3, log out no user',
  { skip: python.skip },
  async (t) => {
    const folder = t.testdir()
    const file = join(folder, 'users.sqlite')
    const service = await startPython(t, {
      ...SECRETS,
      DATABASE_URL: `sqlite+aiosqlite:///${file}`,
      REDIS_URL: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
      REDIS_PREFIX: 'unused:'
    })
    const page = readFileSync(join(root, 'docs/moving-from-fastapi-users.md'), 'utf8')
    const configs = [...page.matchAll(/```js\n([^]*?)```/g)].map(([, block = '']) =>
      block
        // the service of the tests calls this backend `db`
        .replace("name: 'database'", "name: 'db'")
        .replaceAll(/'fastify-users(?:\/(\w+))?'/g, (_match, entry?: string) =>
          JSON.stringify(entry === undefined ? library : entryOf(library, entry))
        )
    )
    const [first = '', third = '', last = ''] = configs
    const files = { first, third, digests: third.replace("    tokenStorage: 'plain',\n", ''), last }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, `${name}.config.js`), text)
    const { AUTH_SECRET, RESET_SECRET, VERIFY_SECRET } = SECRETS
    Object.assign(process.env, { USERS_DB: file, USERS_SECRET: AUTH_SECRET, AUTH_SECRET, RESET_SECRET, VERIFY_SECRET })

    const email = 'percival@camelot.bt'
    t.equal((await service.request('POST', '/auth/register', { email, password: PASSWORD })).status, 201)
    const sessions: { name: string; headers: Record<string, string> }[] = []
    const addSessions = async (step: string, side: Service): Promise<void> => {
      for (const backend of ['jwt', 'cookie', 'db'] as const) {
        sessions.push({ name: `${step}: ${side.name}, ${backend}`, headers: await logIn(side, backend, email) })
      }
    }
    const checkSessions = async (step: string, side: Service): Promise<void> => {
      for (const { name, headers } of sessions) t.equal(await statusOf(side, headers), 200, `${step}, ${name}`)
    }
    /** Runs the application of a step. */
    const serve = async (name: keyof typeof files, step: string, others: readonly Service[]): Promise<void> => {
      const url = `${pathToFileURL(join(folder, `${name}.config.js`)).href}?${step}`
      const { default: options } = (await import(url)) as { default: UsersOptions }
      const app = Fastify()
      await app.register(users, options)
      await app.listen({ port: 0, host: '127.0.0.1' })
      const ours = serviceAt('fastify-users', `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
      for (const side of [ours, ...others]) await checkSessions(step, side)
      for (const side of [ours, ...others]) await addSessions(step, side)
      for (const side of [ours, ...others]) await checkSessions(step, side)
      await app.close()
    }
    const migrate = async (config: string, ...more: string[]): Promise<void> => {
      const args = ['migrate', '--from', 'fastapi-users', '--config', `${config}.config.js`, '--yes', ...more]
      const { code, err } = await runIn(folder, args)
      t.equal(code, 0, err)
    }

    await addSessions('before', service)
    await serve('first', 'step 1', [service])
    await migrate('first')
    await serve('first', 'step 2', [service])
    await service.stop()
    await serve('third', 'step 3', [])
    await migrate('digests', '--hash-tokens')
    await serve('digests', 'step 4', [])
    t.equal(sessions.length, 21)
  }
)
