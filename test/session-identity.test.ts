import { createHmac, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  defineStrategy,
  jwtStrategy,
  type DatabaseAdapter,
  type IssuedToken,
  type Session,
  type StrategyDefinition,
  type UserId,
  type UserReader,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { buildApp, ARTHUR, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { pythonTables } from './helpers/python-tables.js'
import { connectRedis } from './helpers/redis.js'

const ID = /^[A-Za-z0-9_-]{22}$/
const LIFETIME = { lifetimeSeconds: 3600 }
const NOW = Date.UTC(2030, 0, 1, 12) + 700
const UNKNOWN = { createdAt: null, authenticatedAt: null, methods: [], details: {} }
const KEY = randomBytes(48).toString('base64url')

const { redis, skip } = await connectRedis()

interface Identified {
  built: TestApp
  /** Logs the user in and returns the token. */
  token(method?: string): Promise<string>
  /** Returns the session that the guard finds for a token, with times as text; null if it refuses the token. */
  session(token: string): Promise<Session | null>
}

/** An application with one backend `own` and a stored user. Its route `/session` replies with the session. */
async function serve (
  t: Test,
  strategy: StrategyDefinition,
  options: Partial<UsersOptions> = {},
  extend: (app: FastifyInstance) => void = () => {}
): Promise<Identified> {
  const built = await buildApp(
    t,
    {
      clock: () => NOW,
      ...options,
      backends: [{ name: 'own', transport: bearerTransport(), strategy }]
    },
    (app) => {
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
      extend(app)
    }
  )
  if ((await built.app.users.getByEmail(ARTHUR)) === null) await built.create()
  return {
    built,
    async token (method = 'password') {
      const user = await built.app.users.getByEmail(ARTHUR)
      const { issued } = await built.app.users.login(user as never, { backend: 'own', method })
      return issued?.token ?? ''
    },
    async session (token) {
      const reply = await built.send('GET', '/session', undefined, { authorization: `Bearer ${token}` })
      return reply.statusCode === 200 ? reply.json<Session>() : null
    }
  }
}

const time = (milliseconds: number): never => new Date(milliseconds).toISOString() as never

/** Checks the sessions of two logins: both are known, differ, and reveal nothing about their tokens. */
async function checkIdentity (t: Test, { built, token, session }: Identified, precision = 1): Promise<void> {
  const at = time(Math.floor(NOW / precision) * precision)
  const [one, other] = [await token(), await token('badge')]
  const [first, second] = [await session(one), await session(other)]
  t.match(first, { id: ID, createdAt: at, authenticatedAt: at, methods: ['password'], details: {} })
  t.match(second, { id: ID, createdAt: at, authenticatedAt: at, methods: ['badge'] })
  t.not(first?.id, second?.id)
  t.equal((await session(one))?.id, first?.id, 'the id is the same in every request')
  t.notOk(one.includes(String(first?.id)), 'the token does not contain the id')
  const login = await built.login('own', ARTHUR)
  t.equal(login.statusCode, 200)
  t.strictSame(Object.keys(login.json()).sort(), ['access_token', 'token_type'], 'the reply has no session')
}

for (const { name, options, open } of everyStore) {
  t.test(`databaseStrategy, ${name}: a session has an id, times and methods`, options, async (t) => {
    const adapterOf = await open(t)
    const one = await serve(t, databaseStrategy(LIFETIME), { adapter: adapterOf() })
    await checkIdentity(t, one)
    const token = await one.token()
    if (name === 'memory') return
    const other = await serve(t, databaseStrategy(LIFETIME), { adapter: adapterOf() })
    t.strictSame(await other.session(token), await one.session(token), 'another process reads the same session')
  })
}

t.test('jwtStrategy: a session has an id, times and methods, in whole seconds', async (t) => {
  const served = await serve(t, jwtStrategy(LIFETIME))
  await checkIdentity(t, served, 1000)
})

t.test('redisStrategy: a session has an id, times and methods', { skip }, async (t) => {
  await checkIdentity(t, await serve(t, redisStrategy({ client: redis, ...LIFETIME, keyPrefix: prefixOf(t) })))
})

function prefixOf (t: Test): string {
  const prefix = `test-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    const keys = await redis.keys(`${prefix}*`)
    if (keys.length > 0) await redis.del(...keys)
  })
  return prefix
}

t.test('redisStrategy: values of earlier versions and plain values are valid sessions with a derived id', { skip }, async (t) => {
  const prefix = prefixOf(t)
  const served = await serve(t, redisStrategy({ client: redis, ...LIFETIME, keyPrefix: prefix }))
  const token = await served.token()
  const [key = ''] = (await redis.keys(`${prefix}*`)).filter((key) => !key.startsWith(`${prefix}user:`))
  const { stamp, id } = JSON.parse((await redis.get(key)) ?? '') as { stamp: string; id: string }
  await redis.set(key, `${stamp}:${id}`)
  const session = await served.session(token)
  t.match(session, { ...UNKNOWN, id: ID })
  t.strictSame(await served.session(token), session)
  for (const value of ['{', '{}', '[]', `{"id":"${id}"}`, `{"id":"${id}","stamp":null}`, `:${id}`, id]) {
    await redis.set(key, value)
    t.equal(await served.session(token), null, value)
  }
  await redis.set(key, JSON.stringify({ stamp, id, sid: 1, created: 'a', authenticated: 1e99, methods: 'a', details: [] }))
  t.strictSame(await served.session(token), session, 'values of other types count as unknown')

  const plain = await serve(t, redisStrategy({ client: redis, ...LIFETIME, keyPrefix: prefixOf(t) }), {
    compatibility: 'fastapi-users'
  })
  const [one, other] = [await plain.token(), await plain.token()]
  t.match(await plain.session(one), { ...UNKNOWN, id: ID })
  t.not((await plain.session(one))?.id, (await plain.session(other))?.id)
})

t.test('databaseStrategy: in a table of FastAPI Users, sessions have a derived id and no stored values', async (t) => {
  const database = new Database(':memory:')
  for (const sql of pythonTables('CHAR(36)', 'BOOLEAN', 'TIMESTAMP', '"')) database.exec(sql)
  for (const tokenStorage of ['plain', 'digest'] as const) {
    const served = await serve(t, databaseStrategy(LIFETIME), {
      adapter: sqlite(database),
      ...(tokenStorage === 'plain' ? { compatibility: 'fastapi-users' } : {})
    })
    const [one, other] = [await served.token(), await served.token()]
    const session = await served.session(one)
    t.strictSame(session, { ...UNKNOWN, id: session?.id, createdAt: time(NOW) })
    t.match(session?.id, ID)
    t.not((await served.session(other))?.id, session?.id)
    const stored = JSON.stringify(database.prepare('SELECT * FROM accesstoken').all())
    t.notOk(stored.includes(String(session?.id)), 'the stored token does not contain the id')
    t.equal(database.prepare('SELECT * FROM accesstoken').columns().length, 3)
  }
  const served = await serve(t, databaseStrategy(LIFETIME), {
    adapter: sqlite(database),
    compatibility: 'fastapi-users'
  })
  const theirs = randomBytes(32).toString('base64url')
  const id = database.prepare('SELECT id FROM user').pluck().get()
  database.prepare('INSERT INTO accesstoken VALUES (?, ?, ?)').run(id, theirs, '2030-01-01 11:59:00.123456')
  t.match(
    await served.session(theirs),
    { ...UNKNOWN, id: ID, createdAt: '2030-01-01T11:59:00.123Z' },
    'a token of FastAPI Users'
  )
})

t.test('databaseStrategy: columns with values of another form count as unknown', async (t) => {
  const database = new Database(':memory:')
  const served = await serve(t, databaseStrategy(LIFETIME), { adapter: sqlite(database) })
  const token = await served.token()
  const { id } = (await served.session(token)) as Session
  for (const [methods, details, wanted] of [
    ['["a",1,null,"b"]', '{"a":{"b":[1]}}', { methods: ['a', 'b'], details: { a: { b: [1] } } }],
    ['"a"', '[1]', { methods: [], details: {} }],
    ['[', '{"a"', { methods: [], details: {} }],
    ['null', 'null', { methods: [], details: {} }],
    [null, null, { methods: [], details: {} }]
  ] as const) {
    database.prepare('UPDATE accesstoken SET methods = ?, details = ?').run(methods, details)
    t.match(await served.session(token), { id, ...wanted }, `${methods} ${details}`)
  }
})

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
function sign (claims: object): string {
  const input = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64(claims)}`
  return `${input}.${createHmac('sha256', KEY).update(input).digest('base64url')}`
}

t.test('jwtStrategy: tokens without the claims, or with claims of another form, are valid and have a session', async (t) => {
  const served = await serve(t, jwtStrategy({ secret: KEY, ...LIFETIME }))
  const { sid, auth_time: authTime, amr, ...claims } = JSON.parse(
    Buffer.from((await served.token()).split('.')[1] ?? '', 'base64url').toString()
  ) as Record<string, unknown>
  t.match({ sid, authTime, amr }, { sid: ID, authTime: Math.floor(NOW / 1000), amr: ['pwd'] })
  const createdAt = time(Math.floor(NOW / 1000) * 1000)
  for (const [more, wanted] of [
    [{}, {}],
    [{ sid: '' }, {}],
    [{ sid: 1, auth_time: 'a', amr: 'pwd', details: [] }, {}],
    [{ auth_time: 1e300, amr: [1, null], details: null }, {}],
    [{ auth_time: -1 }, { authenticatedAt: time(-1000) }],
    [{ sid: 'another issuer', amr: ['pwd', 'otp'], details: { a: 1 } }, { id: 'another issuer', methods: ['password', 'otp'], details: { a: 1 } }]
  ] as const) {
    const token = sign({ ...claims, ...more })
    const session = await served.session(token)
    t.strictSame(session, { ...UNKNOWN, id: session?.id, createdAt, ...wanted }, JSON.stringify(more))
    t.match(session?.id, 'id' in wanted ? wanted.id : ID)
    t.strictSame(await served.session(token), session)
  }

  const compatible = await serve(t, jwtStrategy({ secret: KEY, ...LIFETIME }), { compatibility: 'fastapi-users' })
  t.match(
    await compatible.session(await compatible.token()),
    { id: ID, createdAt: null, authenticatedAt: createdAt, methods: ['password'] },
    'tokens for Python services do not contain the time of their creation'
  )
  const user = await compatible.built.app.users.getByEmail(ARTHUR)
  const theirs = sign({ sub: user?.id, aud: ['fastapi-users:auth'], exp: Math.floor(NOW / 1000) + 60 })
  t.match(await compatible.session(theirs), { ...UNKNOWN, id: ID }, 'a token of FastAPI Users')
})

/** A strategy that was written before sessions had an identity. */
function ticketStrategy (): StrategyDefinition {
  const tickets = new Map<string, { id: UserId; stamp: string }>()
  return defineStrategy({
    name: 'tickets',
    setup: () => ({
      async readToken (token: string, { users }: { users: UserReader }) {
        const ticket = tickets.get(token)
        const row = ticket === undefined ? null : await users.getRow(ticket.id)
        return row === null || ticket === undefined ? null : { row, stamp: ticket.stamp }
      },
      writeToken (row, { stamp }) {
        const token = `ticket-${tickets.size}`
        tickets.set(token, { id: row.id as UserId, stamp })
        return { token, lifetimeSeconds: null }
      }
    })
  })
}

t.test('a strategy that stores no sessions has sessions with an id that is derived from the token', async (t) => {
  const given: IssuedToken[] = []
  const served = await serve(t, ticketStrategy(), {}, (app) => {
    app.users.addHook('onIssueToken', ({ issued }) => {
      given.push(issued)
    })
  })
  const [one, other] = [await served.token(), await served.token()]
  const session = await served.session(one)
  t.strictSame(session, { ...UNKNOWN, id: session?.id })
  t.match(session?.id, ID)
  t.not((await served.session(other))?.id, session?.id)
  t.strictSame(given[0]?.session, session, 'hooks get the same session')
})

t.test('onIssueToken hooks get the session as the guard finds it later', async (t) => {
  for (const strategy of [databaseStrategy(LIFETIME), jwtStrategy(LIFETIME)]) {
    const given: unknown[] = []
    const served = await serve(t, strategy, {}, (app) => {
      app.users.addHook('onIssueToken', ({ issued }) => {
        given.push(JSON.parse(JSON.stringify(issued.session)))
      })
    })
    const token = await served.token()
    t.strictSame(given, [await served.session(token)], strategy.name)
  }
})

t.test('SES-02: printing, serializing or copying an authentication reveals neither the token nor the session', async (t) => {
  const texts: string[] = []
  const served = await serve(t, databaseStrategy(LIFETIME), {}, (app) => {
    app.get('/print', { preHandler: authenticate }, async ({ authentication }) => {
      const read = authentication?.session.id
      texts.push(
        JSON.stringify(authentication),
        inspect(authentication, { depth: 9 }),
        inspect({ ...authentication }, { depth: 9, showHidden: true })
      )
      const session = authentication?.session
      return { read, same: session === authentication?.session }
    })
  })
  const token = await served.token()
  const reply = await served.built.send('GET', '/print', undefined, { authorization: `Bearer ${token}` })
  const { read, same } = reply.json<{ read: string; same: boolean }>()
  t.match(read, ID)
  t.equal(same, true, 'the session is decoded once')
  t.equal(texts.length, 3)
  for (const text of texts) t.notOk(text.includes(token) || text.includes(read), text)
})

/** Counts the calls of an adapter. */
function counted (adapter: DatabaseAdapter): { adapter: DatabaseAdapter; calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    adapter: new Proxy(adapter, {
      get (target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          calls.push(String(name))
          return (value as (...args: unknown[]) => unknown).apply(target, args)
        }
      }
    })
  }
}

t.test('a guarded request that reads its session costs one read of the store', async (t) => {
  for (const [strategy, call] of [
    [databaseStrategy(LIFETIME), 'findWithUser'],
    [jwtStrategy(LIFETIME), 'findOne']
  ] as const) {
    const { adapter, calls } = counted(sqlite(':memory:'))
    const served = await serve(t, strategy, { adapter })
    const token = await served.token()
    await served.built.app.users.settled() // the first login deletes expired tokens
    calls.length = 0
    t.match(await served.session(token), { id: ID })
    t.strictSame(calls, [call], strategy.name)
  }
})

t.test('SES-07: a cookie that is renewed has a new session with the methods and the time of the login', async (t) => {
  let now = NOW
  for (const strategy of [databaseStrategy(LIFETIME), jwtStrategy(LIFETIME)]) {
    now = NOW
    const built = await buildApp(
      t,
      {
        adapter: memory(),
        clock: () => now,
        backends: [{ name: 'own', transport: cookieTransport({ name: 'own' }), strategy }]
      },
      (app) => {
        app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
      }
    )
    await built.create()
    const cookieOf = (reply: { cookies: readonly { name: string; value: string }[] }): string =>
      `own=${reply.cookies.find(({ name }) => name === 'own')?.value ?? ''}`
    const sessionOf = async (cookie: string): Promise<Session> =>
      (await built.send('GET', '/session', undefined, { cookie })).json()
    const before = cookieOf(await built.login('own', ARTHUR))
    const first = await sessionOf(before)
    now += 60_000
    const after = cookieOf(await built.send('PATCH', '/users/me', { password: `${PASSWORD}-new` }, { cookie: before }))
    const second = await sessionOf(after)
    t.equal((await built.send('GET', '/session', undefined, { cookie: before })).statusCode, 401)
    t.match(second, { id: ID, authenticatedAt: first.authenticatedAt, methods: ['password'] }, strategy.name)
    t.not(second.id, first.id)
    t.equal(Date.parse(String(second.createdAt)) - Date.parse(String(first.createdAt)), 60_000)
  }
})
