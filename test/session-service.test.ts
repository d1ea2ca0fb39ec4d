import { randomBytes } from 'node:crypto'
import Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type Feature,
  type Session,
  type SessionObserver,
  type SessionSelection,
  type SessionService,
  type User,
  type UserRow,
  type UsersOptions
} from '../lib/index.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { pythonTables } from './helpers/python-tables.js'
import { connectRedis } from './helpers/redis.js'

const LIFETIME = { lifetimeSeconds: 3600 }
const LANCELOT = 'lancelot@camelot.bt'

const { redis, skip } = await connectRedis()

function prefixOf (t: Test): string {
  const prefix = `test-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    const keys = await redis.keys(`${prefix}*`)
    if (keys.length > 0) await redis.del(...keys)
  })
  return prefix
}

interface Served extends TestApp {
  sessions: SessionService
  /** Returns the reports to the observer since the last call, as text. */
  reported(): string[]
  rowOf(email?: string): Promise<UserRow>
  /** Sends a request with a token of the backend `own`; returns the id of its session, or null if it is refused. */
  idOf(token: string): Promise<string | null>
}

const textOf = (which: SessionSelection): string =>
  which === 'all' ? 'all' : 'id' in which ? which.id : `all but ${which.except}`

/** Returns a feature that passes the service to a test and records what it observes. */
function watcher (log: string[], more: SessionObserver = {}): Feature<SessionService> {
  return {
    name: 'watcher',
    setup: ({ sessions }) => ({
      api: sessions,
      sessions: {
        async issued (session, created) {
          log.push(`issued ${session.id} ${created.backend} ${created.user.email}`)
          await more.issued?.(session, created)
        },
        async ended (user, which) {
          log.push(`ended ${textOf(which)} ${user.email}`)
          await more.ended?.(user, which)
        }
      }
    })
  }
}

const own = (strategy: BackendOptions['strategy']): BackendOptions[] => [
  { name: 'own', transport: bearerTransport(), strategy }
]

async function serve (
  t: Test,
  backends: BackendOptions[],
  options: Partial<UsersOptions> = {},
  extend: (app: FastifyInstance) => void = () => {},
  observer?: SessionObserver
): Promise<Served> {
  const log: string[] = []
  const built = await buildApp(
    t,
    { ...options, backends, features: [watcher(log, observer), ...(options.features ?? [])] },
    (app) => {
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
      extend(app)
    }
  )
  const sessions = built.app.users.feature('watcher') as SessionService
  return {
    ...built,
    sessions,
    reported: () => log.splice(0),
    async rowOf (email = ARTHUR) {
      const row = await built.app.users.checkCredentials({ username: email, password: PASSWORD })
      if (row === null) throw new Error(`no user ${email}`)
      return row
    },
    async idOf (token) {
      const reply = await built.send('GET', '/session', undefined, { authorization: `Bearer ${token}` })
      return reply.statusCode === 200 ? reply.json<Session>().id : null
    }
  }
}

/** Checks the service with a strategy that stores its sessions. */
async function checkService (t: Test, served: Served, isPlain = false): Promise<void> {
  const { app, create, sessions, rowOf, idOf, reported } = served
  await create()
  await create({ email: LANCELOT })
  const row = await rowOf()
  const user = (await app.users.getByEmail(ARTHUR)) as User
  const other = await rowOf(LANCELOT)
  t.strictSame(await sessions.list(user), [])

  const { issued } = await app.users.login(row, { backend: 'own' })
  const authenticatedAt = new Date('2026-01-01T00:00:00.000Z')
  const values = { backend: 'own', authenticatedAt, methods: ['badge'], details: { device: 'a "b"', n: [1, null] } }
  const made = await sessions.create(row, values)
  const bare = await sessions.create(row, { backend: 'own' })
  const theirs = await sessions.create(other, { backend: 'own' })
  const first = String(issued?.session?.id)
  t.strictSame(reported(), [
    `issued ${first} own ${ARTHUR}`,
    `issued ${made.session.id} own ${ARTHUR}`,
    `issued ${bare.session.id} own ${ARTHUR}`,
    `issued ${theirs.session.id} own ${LANCELOT}`
  ])
  t.equal(await idOf(made.token), made.session.id)
  const list = await sessions.list(user)
  t.same(new Set(list.map(({ id }) => id)), new Set([first, made.session.id, bare.session.id]))
  if (!isPlain) {
    t.match(made.session, { authenticatedAt, methods: ['badge'], details: { device: 'a "b"', n: [1, null] } })
    t.match(bare.session, { authenticatedAt: null, methods: [], details: {} })
    t.strictSame(list.find(({ id }) => id === made.session.id), made.session, 'a listed session has all values')
  }

  t.equal(await sessions.end(user, { id: theirs.session.id }), false, 'a session of another user is not found')
  t.equal(await sessions.end(user, { id: 'unknown' }), false)
  t.strictSame(reported(), [])
  t.equal(await idOf(theirs.token), theirs.session.id)
  t.equal(await sessions.end(user, { id: made.session.id }), true)
  t.equal(await idOf(made.token), null)
  t.equal(await idOf(bare.token), bare.session.id)
  t.equal(await sessions.end(user, { id: made.session.id }), false)

  t.equal(await sessions.end(user, { except: bare.session.id }), true)
  t.strictSame([await idOf(String(issued?.token)), await idOf(bare.token)], [null, bare.session.id])
  t.strictSame((await sessions.list(user)).map(({ id }) => id), [bare.session.id])
  t.equal(await sessions.end(user, 'all'), true)
  t.equal(await idOf(bare.token), null)
  t.strictSame(await sessions.list(user), [])
  t.equal(await idOf(theirs.token), theirs.session.id, 'the sessions of other users stay valid')
  t.strictSame(
    reported(),
    [`ended ${made.session.id} ${ARTHUR}`, `ended all but ${bare.session.id} ${ARTHUR}`, `ended all ${ARTHUR}`]
  )
}

/** Checks that all sessions but one end, if there are more than one read returns. */
async function checkMany (t: Test, { app, sessions, rowOf, idOf }: Served, count: number): Promise<void> {
  const row = await rowOf()
  const user = (await app.users.getByEmail(ARTHUR)) as User
  const made = []
  for (let i = 0; i < count; i++) made.push(await sessions.create(row, { backend: 'own' }))
  const [kept] = made.slice(count / 2)
  t.equal((await sessions.list(user)).length, Math.min(count, 1000))
  await sessions.end(user, { except: String(kept?.session.id) })
  t.strictSame((await sessions.list(user)).map(({ id }) => id), [kept?.session.id])
  t.equal(await idOf(String(kept?.token)), kept?.session.id)
}

for (const { name, options, open } of everyStore) {
  t.test(`SES-05: ${name}: one session, all but one, or all end, and those of other users stay`, options, async (t) => {
    const served = await serve(t, own(databaseStrategy(LIFETIME)), { adapter: (await open(t))() })
    await checkService(t, served)
    await checkMany(t, served, 300)
  })
}

for (const tokenStorage of ['digest', 'plain'] as const) {
  t.test(`SES-05: Redis, ${tokenStorage}: one session, all but one, or all end`, { skip }, async (t) => {
    const strategy = redisStrategy({ client: redis, ...LIFETIME, keyPrefix: prefixOf(t) })
    const served = await serve(t, own(strategy), { compatibility: { tokenStorage } })
    await checkService(t, served, tokenStorage === 'plain')
    await checkMany(t, served, 1100)
  })
}

t.test('SES-05: with a table of FastAPI Users, one session, all but one, or all can be ended', async (t) => {
  const database = new Database(':memory:')
  for (const sql of pythonTables('CHAR(36)', 'BOOLEAN', 'TIMESTAMP', '"')) database.exec(sql)
  const served = await serve(t, own(databaseStrategy(LIFETIME)), { adapter: sqlite(database) })
  await checkService(t, served, true)
  const id = database.prepare("SELECT id FROM user WHERE email = 'lancelot@camelot.bt'").pluck().get()
  const time = '2030-01-01 11:59:00.123456' // has microseconds, which are lost when the time is read
  const insert = database.prepare('INSERT INTO accesstoken VALUES (?, ?, ?)')
  for (let i = 0; i < 300; i++) insert.run(id, randomBytes(32).toString('base64url'), time)
  const user = (await served.app.users.getByEmail(LANCELOT)) as User
  t.equal((await served.sessions.list(user)).length, 301)
})

t.test('a list of sessions has the newest 1000 that are valid, the oldest first', async (t) => {
  const now = Date.UTC(2030, 0, 1)
  let ahead = 0
  const served = await serve(t, own(databaseStrategy(LIFETIME)), { clock: () => now + ahead })
  await served.create()
  const row = await served.rowOf()
  for (; ahead < 1010; ahead++) await served.sessions.create(row, { backend: 'own' })
  const times = async (): Promise<number[]> =>
    (await served.sessions.list(row)).map(({ createdAt }) => Number(createdAt) - now)
  const newest = Array.from({ length: 1000 }, (_, position) => position + 10)
  t.strictSame(await times(), newest)
  ahead += 3_600_000 - 1010 + 1000
  t.strictSame(await times(), newest.slice(-10), 'expired sessions are not listed')
})

t.test('SES-07: sessions with an outdated security stamp are not listed', async (t) => {
  const database = new Database(':memory:')
  const strategy = databaseStrategy(LIFETIME)
  const { app, sessions, create, rowOf } = await serve(t, own(strategy), { adapter: sqlite(database) })
  const user = await create()
  await sessions.create(await rowOf(), { backend: 'own' })
  t.equal((await sessions.list(user)).length, 1)
  database.exec("UPDATE user SET session_stamp = 'another'")
  t.strictSame(await sessions.list(user), [])
  t.ok(await app.users.get(user.id))
})

t.test('SES-07: create refuses a user that has changed since the row was read', async (t) => {
  for (const strategy of [databaseStrategy(LIFETIME), jwtStrategy(LIFETIME)]) {
    const { app, sessions, create, rowOf, reported } = await serve(t, own(strategy))
    const user = await create()
    const row = await rowOf()
    const refused = { code: 'FST_USERS_UNAUTHENTICATED' }
    await app.users.endSessions(user)
    await t.rejects(sessions.create(row, { backend: 'own' }), refused)
    t.match(
      reported().slice(1),
      [/^issued /, /^ended [\w-]{22} /],
      'observers are notified that the session has ended'
    )
    await app.users.update(user, { is_active: false })
    await t.rejects(sessions.create({ ...(await rowOf()) }, { backend: 'own' }), refused)
    t.strictSame(await sessions.list(user), [])
    await t.rejects(sessions.create(row, { backend: 'none' }), { code: 'FST_USERS_UNKNOWN_BACKEND' })
    await app.users.delete(user)
    await t.rejects(sessions.create(row, { backend: 'own' }), refused)
    await t.rejects(sessions.list(user), { code: 'FST_USERS_NOT_FOUND' })
  }
})

t.test('a session can continue with a new token, and both tokens end with it', async (t) => {
  const { sessions, create, rowOf, idOf } = await serve(t, own(databaseStrategy(LIFETIME)))
  const user = await create()
  const row = await rowOf()
  const first = await sessions.create(row, { backend: 'own', methods: ['password'] })
  const { id, methods, authenticatedAt, details } = first.session
  const second = await sessions.create(row, { backend: 'own', id, methods, authenticatedAt, details })
  t.strictSame([await idOf(first.token), await idOf(second.token)], [id, id])
  t.equal((await sessions.list(user)).length, 1)
  t.equal(await sessions.end(user, { id }), true)
  t.strictSame([await idOf(first.token), await idOf(second.token)], [null, null])
})

t.test('SES-05: with JWTs, all sessions but one end by a new security stamp, and a cookie is renewed', async (t) => {
  const backends: BackendOptions[] = [
    { name: 'own', transport: bearerTransport(), strategy: jwtStrategy(LIFETIME) },
    { name: 'cookie', transport: cookieTransport({ name: 'own' }), strategy: databaseStrategy(LIFETIME) }
  ]
  const served = await serve(t, backends, {}, (app) => {
    app.post('/end-others', { preHandler: authenticate }, async (request, reply) => {
      const { user, session } = request.authentication ?? {}
      const service = app.users.feature('watcher') as SessionService
      await service.end(user as User, { except: String(session?.id) }, { request, reply })
      return {}
    })
  })
  const { create, login, send, sessions, idOf, rowOf, reported } = served
  const user = await create()
  const bearer = await sessions.create(await rowOf(), { backend: 'own' })
  t.equal(await sessions.end(user, { id: bearer.session.id }), false, 'a JWT cannot be ended alone')
  t.equal(await idOf(bearer.token), bearer.session.id)
  const cookieOf = (reply: { cookies: readonly { value: string }[] }): string => `own=${reply.cookies[0]?.value ?? ''}`
  const [mine, another] = [cookieOf(await login('cookie', ARTHUR)), cookieOf(await login('cookie', ARTHUR))]
  t.equal((await sessions.list(user)).length, 2, 'JWTs are not listed')
  reported()
  const reply = await send('POST', '/end-others', {}, { cookie: mine })
  t.equal(reply.statusCode, 200)
  const renewed = cookieOf(reply)
  const status = async (cookie: string): Promise<number> =>
    (await send('GET', '/session', undefined, { cookie })).statusCode
  t.strictSame([await status(mine), await status(another), await status(renewed)], [401, 401, 200])
  t.equal(await idOf(bearer.token), null)
  const [{ id } = { id: '' }] = await sessions.list(user)
  t.strictSame(reported(), [`ended all ${ARTHUR}`, `issued ${id} cookie ${ARTHUR}`])

  const last = await sessions.create(await rowOf(), { backend: 'own' })
  await send('POST', '/end-others', {}, { authorization: `Bearer ${last.token}` })
  t.strictSame([await idOf(last.token), await status(renewed)], [null, 401], 'a token in a header cannot be renewed')
})

const COOKIE: BackendOptions[] = [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy(LIFETIME) },
  { name: 'cookie', transport: cookieTransport({ name: 'own' }), strategy: databaseStrategy(LIFETIME) }
]

type Way = (served: Served, session: { cookie: string; id: string }) => Promise<unknown>

/** Every way in which a session of a user ends, with the reports of its end. */
const ways: Record<string, { act: Way; ended: readonly string[] }> = {
  'a logout': {
    act: ({ send }, { cookie }) => send('POST', '/auth/cookie/logout', undefined, { cookie }),
    ended: ['own']
  },
  'a logout of a JWT': {
    act: async ({ app, send }) => {
      const user = (await app.users.getByEmail(ARTHUR)) as User
      const { issued } = await app.users.login(user, { backend: 'jwt' })
      return await send('POST', '/auth/jwt/logout', undefined, { authorization: `Bearer ${issued?.token ?? ''}` })
    },
    ended: ['another']
  },
  'a logout with two cookies': {
    act: async ({ send, login }, { cookie }) => {
      const other = `own=${(await login('cookie', ARTHUR)).cookies[0]?.value ?? ''}`
      return await send('POST', '/auth/cookie/logout', undefined, { cookie: `${cookie}; ${other}` })
    },
    ended: ['own', 'another']
  },
  'another login in the same browser': {
    act: ({ app }, { cookie }) =>
      app.inject({
        method: 'POST',
        url: '/auth/cookie/login',
        headers: { cookie, 'sec-fetch-site': 'same-origin' },
        payload: { username: ARTHUR, password: PASSWORD }
      }),
    ended: ['own']
  },
  endSessions: {
    act: async ({ app }) => {
      await app.users.endSessions((await app.users.getByEmail(ARTHUR)) as User)
    },
    ended: ['all']
  },
  'a new password': {
    act: ({ send }, { cookie }) => send('PATCH', '/users/me', { password: `${PASSWORD}-2` }, { cookie }),
    ended: ['all']
  },
  'a new e-mail': {
    act: async ({ app }) =>
      app.users.update((await app.users.getByEmail(ARTHUR)) as User, { email: 'arthur@avalon.example' }),
    ended: ['all']
  },
  'a deactivation': {
    act: async ({ app }) => app.users.update((await app.users.getByEmail(ARTHUR)) as User, { is_active: false }),
    ended: ['all']
  },
  'a password reset': {
    act: async ({ app, send, tokenOf }) => {
      await app.users.forgotPassword(ARTHUR)
      const token = await tokenOf('onAfterForgotPassword')
      return await send('POST', '/auth/reset-password', { token, password: `${PASSWORD}-2` })
    },
    ended: ['all']
  },
  'a verification': {
    act: async ({ app, send, tokenOf }) => {
      await app.users.requestVerify(ARTHUR)
      return await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })
    },
    ended: ['all']
  },
  confirmEmail: {
    act: async ({ app }) => app.users.confirmEmail((await app.users.getByEmail(ARTHUR)) as User),
    ended: ['all']
  },
  'a verification by code': {
    act: async ({ app }) => app.users.update((await app.users.getByEmail(ARTHUR)) as User, { is_verified: true }),
    ended: ['all']
  },
  'a deletion': {
    act: async ({ app }) => app.users.delete((await app.users.getByEmail(ARTHUR)) as User),
    ended: ['all']
  },
  'the service of features': {
    act: async ({ app, sessions }, { id }) => sessions.end((await app.users.getByEmail(ARTHUR)) as User, { id }),
    ended: ['own']
  }
}

for (const [name, { act, ended }] of Object.entries(ways)) {
  t.test(`SES-07: observers learn that a session ends: ${name}`, async (t) => {
    const served = await serve(t, COOKIE)
    await served.create()
    const token = (await served.login('cookie', ARTHUR)).cookies[0]?.value ?? ''
    const cookie = `own=${token}`
    const { id } = (await served.send('GET', '/session', undefined, { cookie })).json<Session>()
    t.strictSame(served.reported(), [`issued ${id} cookie ${ARTHUR}`])
    const reply = (await act(served, { cookie, id })) as { statusCode?: number } | undefined
    t.ok((reply?.statusCode ?? 200) < 300, name)
    const which = served
      .reported()
      .filter((text) => text.startsWith('ended'))
      .map((text) => text.split(' ')[1])
    t.strictSame(
      which.map((text) => (text === id ? 'own' : text === 'all' ? 'all' : 'another')).sort(),
      [...ended].sort()
    )
    t.equal((await served.send('GET', '/session', undefined, { cookie })).statusCode, name.endsWith('JWT') ? 200 : 401)
  })
}

t.test('observers learn that a session ends: a login that a hook refuses', async (t) => {
  for (const event of ['onIssueToken', 'onAfterLogin'] as const) {
    const { create, login, reported, sessions } = await serve(t, COOKIE, {}, (app) => {
      app.users.addHook(event, () => {
        throw new Error('refused')
      })
    })
    const user = await create()
    t.equal((await login('cookie', ARTHUR)).statusCode, 500)
    t.match(reported(), [/^issued /, /^ended [\w-]{22} /], event)
    t.strictSame(await sessions.list(user), [])
  }
})

t.test('an observer can add a refresh token to a login, and refuse the session', async (t) => {
  let refuses = false
  const { create, login, sessions, reported } = await serve(t, COOKIE, {}, () => {}, {
    issued (session, { issued, context }) {
      if (refuses) throw new Error('no more sessions')
      issued.refresh_token = `refresh ${session.methods.join()} ${context.request?.url}`
    }
  })
  const user = await create()
  t.match((await login('jwt', ARTHUR)).json(), { refresh_token: 'refresh password /auth/jwt/login' })
  refuses = true
  t.equal((await login('cookie', ARTHUR)).statusCode, 500)
  t.strictSame(await sessions.list(user), [])
  t.match(reported().at(-1), /^ended /)
})

t.test('an observer that fails cannot keep a session alive, and does not hide its end from others', async (t) => {
  const log: string[] = []
  const { create, login, send } = await serve(
    t,
    COOKIE,
    { features: [watcher(log)].map((feature) => ({ ...feature, name: 'second' })) },
    () => {},
    {
      ended () {
        throw new Error('no connection')
      }
    }
  )
  await create()
  const cookie = `own=${(await login('cookie', ARTHUR)).cookies[0]?.value ?? ''}`
  t.equal((await send('POST', '/auth/cookie/logout', undefined, { cookie })).statusCode, 500)
  t.equal((await send('GET', '/session', undefined, { cookie })).statusCode, 401)
  t.match(log, [/^issued /, /^ended /], 'the second observer is called, too')
})
