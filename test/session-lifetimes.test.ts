import t, { type Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { createRecentTokens } from '../lib/features/sessions/recent-tokens.js'
import { sessions, type SessionPage, type SessionsOptions } from '../lib/features/sessions/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertValidationError, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { connectRedis } from './helpers/redis.js'

type Headers = Record<string, string>

const { redis, skip: noRedis } = await connectRedis()
const MINUTE = 60
const HOUR = 3600
const DAY = 86_400
const OWN = '/users/me/sessions'

const database = (lifetimeSeconds = 30 * DAY): BackendOptions[] => [
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds }) },
  { name: 'bearer', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds }) }
]
const signed = (lifetimeSeconds = 30 * DAY): BackendOptions[] => [
  { name: 'cookie', transport: cookieTransport(), strategy: jwtStrategy({ lifetimeSeconds }) },
  { name: 'bearer', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds }) }
]

interface LifetimeApp extends TestApp {
  enter(backend: string, body?: object): Promise<LightMyRequestResponse>
  /** Logs in with a bearer token. */
  start(body?: object): Promise<Headers>
  status(headers: Headers): Promise<number>
}

async function serve (t: Test, given: SessionsOptions, options: Partial<UsersOptions> = {}): Promise<LifetimeApp> {
  const features = [sessions(given), ...(options.features ?? [])]
  const built = await buildApp(t, { backends: database(), ...options, features }, (app) => {
    app.get('/guarded', { preHandler: authenticate }, async () => 'in')
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async ({ user }) => user === null)
  })
  const { app, send } = built
  const enter: LifetimeApp['enter'] = (backend, body = {}) =>
    send('POST', `/auth/${backend}/login`, { username: ARTHUR, password: PASSWORD, ...body })
  return {
    ...built,
    enter,
    async start (body) {
      const reply = await enter('bearer', body)
      return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
    },
    async status (headers) {
      const { statusCode } = await send('GET', '/guarded', undefined, headers)
      await app.users.settled()
      return statusCode
    }
  }
}

const stores: Record<string, { backends: () => BackendOptions[]; skip: string | false }> = {
  database: { backends: database, skip: false },
  jwt: { backends: signed, skip: false },
  redis: {
    skip: noRedis,
    backends: () => [
      {
        name: 'bearer',
        transport: bearerTransport(),
        strategy: redisStrategy({ client: redis, lifetimeSeconds: 30 * DAY, keyPrefix: `test-lifetimes-${process.pid}:` })
      }
    ]
  }
}

for (const [name, { backends, skip }] of Object.entries(stores)) {
  t.test(`SES-04, SES-05: an unused session ends, and a used one at its absolute end, with the strategy ${name}`, { skip }, async (t) => {
    const { create, start, status, tick, send } = await serve(
      t, { idleSeconds: HOUR, absoluteSeconds: 8 * HOUR }, { backends: backends() }
    )
    await create()
    const unused = await start()
    const used = await start()
    for (let minutes = 0; minutes < 8 * 60; minutes += 40) {
      t.equal(await status(used), 200, `used after ${minutes} minutes`)
      tick(40 * MINUTE)
    }
    tick(1)
    t.equal(await status(used), 401, 'use does not move the absolute end')
    t.equal(await status(unused), 401)
    t.equal((await send('GET', '/optional', undefined, unused)).body, 'true', 'an optional guard sees no user')
    t.equal(await status(await start()), 200)
    const late = await start()
    tick(HOUR - 30)
    t.equal(await status(late), 200, 'before the end of the idle time')
    tick(HOUR + 1)
    t.equal(await status(late), 401)
    t.equal(await status(late), 401, 'it stays over')
    tick(-2 * HOUR)
    if (name !== 'jwt') t.equal(await status(late), 401, 'also after the clock was set back')
  })
}

t.test('SES-04: the end of an unused session is decided by stored times, and reported', async (t) => {
  const adapter = memory()
  const ended: unknown[] = []
  const observer = { name: 'observer', setup: () => ({ sessions: { ended: (_user: unknown, which: unknown) => { ended.push(which) } } }) }
  const options = { adapter, features: [observer] }
  const one = await serve(t, { idleSeconds: HOUR }, options)
  const two = await serve(t, { idleSeconds: HOUR }, { adapter })
  await one.create()
  const headers = await one.start()
  for (const minutes of [50, 50, 50]) {
    one.tick(minutes * MINUTE)
    two.tick(minutes * MINUTE)
    t.equal(await two.status(headers), 200, 'another process knows of the use')
  }
  one.tick(50 * MINUTE)
  two.tick(50 * MINUTE)
  t.equal(await one.status(headers), 200)
  one.tick(HOUR + 1)
  t.equal(await one.status(headers), 401)
  t.match(ended, [{ id: String }], 'features learn of the end, for example to close connections')
  t.equal(await two.status(headers), 401, 'it ends for all processes')
})

t.test('SES-05: a cookie that is renewed keeps the time of its login', async (t) => {
  const { create, enter, status, tick, send } = await serve(t, { absoluteSeconds: 8 * HOUR })
  await create()
  const cookieOf = (reply: LightMyRequestResponse): Headers => ({ cookie: String(reply.headers['set-cookie']).split(';')[0] ?? '' })
  const first = cookieOf(await enter('cookie'))
  tick(7 * HOUR)
  const changed = await send('PATCH', '/users/me', { password: 'excalibur-2' }, first)
  const renewed = cookieOf(changed)
  t.equal(await status(renewed), 200)
  tick(HOUR + 1)
  t.equal(await status(renewed), 401)
})

t.test('SES-04, SES-05: refreshing is a use, and passes neither the idle nor the absolute end', async (t) => {
  const backends: BackendOptions[] = [{ name: 'bearer', transport: bearerTransport(), strategy: jwtStrategy() }]
  const limits = { idleSeconds: HOUR, absoluteSeconds: 8 * HOUR }
  for (const order of ['before', 'after'] as const) {
    const built = await buildApp(t, {
      backends,
      features: order === 'before' ? [sessions(limits), refreshTokens()] : [refreshTokens(), sessions(limits)]
    })
    const { create, send, login, tick } = built
    await create()
    const start = async (): Promise<string> => (await login('bearer', ARTHUR)).json<{ refresh_token: string }>().refresh_token
    const refresh = (token: string): Promise<LightMyRequestResponse> => send('POST', '/auth/bearer/refresh', { refresh_token: token })
    let token = await start()
    for (let minutes = 50; minutes < 8 * 60; minutes += 50) {
      tick(50 * MINUTE)
      const reply = await refresh(token)
      t.equal(reply.statusCode, 200, `${order}: after ${minutes} minutes`)
      token = reply.json<{ refresh_token: string }>().refresh_token
    }
    tick(50 * MINUTE)
    t.equal((await refresh(token)).statusCode, 401, `${order}: the absolute end`)
    t.equal((await refresh(token)).statusCode, 400, `${order}: the family is deleted`)
    const unused = await start()
    tick(HOUR + 1)
    t.equal((await refresh(unused)).statusCode, 401, `${order}: unused`)
  }
})

t.test('SES-04: sessions from before the feature count as unused since their login', async (t) => {
  const adapter = memory()
  const before = await buildApp(t, { adapter, backends: database() })
  await before.create()
  const reply = await before.login('bearer', ARTHUR)
  const headers = { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  const after = await serve(t, { idleSeconds: HOUR }, { adapter })
  after.tick(50 * MINUTE)
  t.equal(await after.status(headers), 200)
  after.tick(50 * MINUTE)
  t.equal(await after.status(headers), 200, 'its use is stored from now on')
  const late = await serve(t, { idleSeconds: HOUR }, { adapter: memory() })
  await late.create()
  const unused = await late.start()
  await late.app.users.settled()
  late.tick(HOUR + 1)
  t.equal(await late.status(unused), 401)
})

t.test('SES-13: rows are deleted only when no token of the session can be valid, so no ended session comes back', async (t) => {
  const store = watchedAdapter(memory())
  const { create, start, status, tick } = await serve(
    t, { idleSeconds: HOUR }, { adapter: store.adapter, backends: signed(DAY) }
  )
  await create()
  const unused = await start()
  tick(2 * HOUR)
  t.equal(await status(unused), 401)
  await start() // deletes expired rows in the background
  for (const { expires_at: expires } of await store.rows('user_session')) {
    t.ok((expires as Date).getTime() >= Date.now() + DAY * 1000)
  }
  t.equal(await status(unused), 401, 'the signed token is valid, but the session has ended')
  tick(DAY)
  t.equal(await status(unused), 401)
})

t.test('the time of the last use is written at most once per minute and session, in the background', async (t) => {
  for (const given of [{}, { idleSeconds: HOUR }]) {
    const store = watchedAdapter(memory())
    const { app, create, start, status, tick, send } = await serve(t, given, { adapter: store.adapter })
    await create()
    const headers = await start()
    await app.users.settled()
    const methods: string[] = []
    store.watch(({ method, model, proceed }) => {
      if (model.name === 'user_session') methods.push(method)
      return proceed()
    })
    for (let i = 0; i < 5; i++) t.equal(await status(headers), 200)
    t.same(methods, [], 'not in the minute after the login')
    tick(61)
    await Promise.all(Array.from({ length: 20 }, () => send('GET', '/guarded', undefined, headers)))
    await app.users.settled()
    t.equal(methods.filter((method) => method === 'update').length, 1, '20 parallel requests, one write')
    methods.length = 0
    tick(59)
    t.equal(await status(headers), 200)
    t.same(methods, [])
    tick(1)
    t.equal(await status(headers), 200)
    t.equal(methods.filter((method) => method === 'update').length, 1)
  }
})

t.test('a failing write of the last use fails no request; a failing read of a limited session refuses it', async (t) => {
  const fail = (): never => {
    throw Object.assign(new Error('canary'), { code: 'ECONNREFUSED' })
  }
  for (const method of ['update', 'findOne'] as const) {
    const store = watchedAdapter(memory())
    const { app, create, start, send, tick, status } = await serve(t, { idleSeconds: HOUR }, { adapter: store.adapter })
    await create()
    const headers = await start()
    await app.users.settled()
    tick(61)
    store.watch((call) => (call.model.name === 'user_session' && call.method === method ? fail() : call.proceed()))
    const reply = await send('GET', '/guarded', undefined, headers)
    await app.users.settled()
    t.equal(reply.statusCode, method === 'update' ? 200 : 503, method)
    store.watch()
    t.equal(await status(headers), 200)
  }
})

t.test('SES-04: remember_me makes a session longer and its cookie persistent', async (t) => {
  const { create, enter, start, status, tick, send, app } = await serve(t, {
    idleSeconds: HOUR,
    absoluteSeconds: DAY,
    rememberMe: { idleSeconds: 14 * DAY, absoluteSeconds: 30 * DAY }
  })
  await create()
  const plain = await enter('cookie')
  t.notMatch(String(plain.headers['set-cookie']), /max-age/i)
  for (const value of [true, 'true', 'on']) {
    const reply = await enter('cookie', { remember_me: value })
    t.match(String(reply.headers['set-cookie']), /Max-Age=2592000;/, JSON.stringify(value))
  }
  const form = await app.inject({
    method: 'POST',
    url: '/auth/cookie/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ username: ARTHUR, password: PASSWORD, remember_me: 'on' }).toString()
  })
  t.match(String(form.headers['set-cookie']), /Max-Age=2592000;/, 'a form')
  for (const value of [false, 'false']) {
    t.notMatch(String((await enter('cookie', { remember_me: value })).headers['set-cookie']), /max-age/i)
  }
  for (const value of [1, 'yes', null, [], {}]) {
    assertValidationError(t, await enter('cookie', { remember_me: value }), ['/remember_me'], JSON.stringify(value))
  }
  const [remembered, short] = [await start({ remember_me: true }), await start()]
  const page = (await send('GET', OWN, undefined, remembered)).json<SessionPage>()
  t.equal(page.sessions.find((one) => one.is_current)?.is_remembered, true)
  tick(13 * DAY)
  t.same([await status(remembered), await status(short)], [200, 401])
  tick(13 * DAY)
  t.equal(await status(remembered), 200)
  tick(4 * DAY + 1)
  t.equal(await status(remembered), 401)
})

t.test('SES-04: a cookie whose lifetime the client has changed, and remember_me without the option, make no session longer', async (t) => {
  const { create, enter, status, tick } = await serve(t, {
    absoluteSeconds: DAY,
    backends: { cookie: { absoluteSeconds: HOUR } }
  }, { backends: [{ name: 'cookie', transport: cookieTransport({ maxAge: 7 * DAY }), strategy: databaseStrategy({ lifetimeSeconds: 30 * DAY }) }, ...database().slice(1)] })
  await create()
  const reply = await enter('cookie', { remember_me: true })
  t.match(String(reply.headers['set-cookie']), /Max-Age=604800;/, 'the option of the transport')
  const headers = { cookie: String(reply.headers['set-cookie']).split(';')[0] ?? '' }
  t.equal(await status(headers), 200)
  tick(HOUR + 1)
  t.equal(await status(headers), 401, 'the browser still sends the cookie')
})

t.test('remember_me is kept over a login step, a renewed cookie and refresh tokens', async (t) => {
  const step = {
    name: 'code',
    loginSteps: ['code'],
    setup: () => ({
      loginSteps: [{ name: 'code', body: { type: 'object', properties: {} } as never, needed: () => true, verify: () => {} }]
    })
  }
  const built = await serve(t, { rememberMe: {} }, { features: [step], backends: database(10 * DAY) })
  await built.create()
  for (const [rememberMe, pattern] of [[true, /Max-Age=864000;/], [false, /Path=\/;/]] as const) {
    const pending = await built.enter('cookie', { remember_me: rememberMe })
    const { ticket } = pending.json<{ detail: { ticket: string } }>().detail
    const cookie = String(pending.headers['set-cookie']).split(';')[0] ?? ''
    const reply = await built.send('POST', '/auth/cookie/login/code', { ticket }, { cookie })
    t.equal(reply.statusCode, 204)
    const set = [reply.headers['set-cookie']].flat().find((header) => String(header).includes('users-cookie')) ?? ''
    t.match(set, pattern)
    t.equal(/max-age/i.test(set), rememberMe)
    if (!rememberMe) continue
    const change = await built.send('PATCH', '/users/me', { password: PASSWORD.repeat(2) }, { cookie: set.split(';')[0] ?? '' })
    t.match(String(change.headers['set-cookie']), /Max-Age=864000;/, 'the new cookie too')
    await built.send('PATCH', '/users/me', { password: PASSWORD }, { cookie: String(change.headers['set-cookie']).split(';')[0] ?? '' })
  }

  const backends: BackendOptions[] = [{ name: 'bearer', transport: bearerTransport(), strategy: jwtStrategy() }]
  for (const first of [true, false]) {
    const both = [sessions({ rememberMe: {} }), refreshTokens({ backends: [{ name: 'bearer', cookie: true }] })]
    const { create, send } = await buildApp(t, { backends, features: first ? both : both.reverse() })
    await create()
    for (const rememberMe of [true, false]) {
      const reply = await send('POST', '/auth/bearer/login', { username: ARTHUR, password: PASSWORD, remember_me: rememberMe })
      const cookie = String(reply.headers['set-cookie'])
      t.equal(/max-age/i.test(cookie), rememberMe, 'the cookie of the refresh token')
      const refreshed = await send('POST', '/auth/bearer/refresh', undefined, { cookie: cookie.split(';')[0] ?? '' })
      t.equal(refreshed.statusCode, 200)
      t.equal(/max-age/i.test(String(refreshed.headers['set-cookie'])), rememberMe, 'and its successor')
    }
  }
})

for (const { name, options, open } of everyStore) {
  t.test(`SES-12: a login beyond the largest number of sessions ends the oldest one, on ${name}`, options, async (t) => {
    const makeAdapter = await open(t)
    const one = await serve(t, { maxSessions: 3 }, { adapter: makeAdapter() })
    const two = await serve(t, { maxSessions: 3 }, { adapter: makeAdapter() })
    await one.create()
    const all: Headers[] = []
    for (let i = 0; i < 5; i++) {
      for (const { tick } of [one, two]) tick(1)
      all.push(await (i % 2 === 0 ? one : two).start())
    }
    t.same(await Promise.all(all.map(two.status)), [401, 401, 200, 200, 200])
    const parallel = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? one : two).start()))
    const open3 = (await Promise.all(parallel.map(one.status))).filter((status) => status === 200)
    t.ok(open3.length <= 3, 'also for parallel logins')
    const last = await two.start()
    t.equal(await one.status(last), 200, 'the new session stays')
  })
}

t.test('SES-12: a session that is renewed by a reauthentication replaces the old one', async (t) => {
  const revocable = [{ name: 'bearer', transport: bearerTransport(), strategy: jwtStrategy({ revocable: true }) }]
  for (const backends of [database(), revocable]) {
    const { create, start, send, status } = await serve(t, { maxSessions: 1, rememberMe: {} }, { backends })
    await create()
    const headers = await start({ remember_me: true })
    const reply = await send('POST', '/auth/bearer/reauthenticate', { password: PASSWORD }, headers)
    t.equal(reply.statusCode, 200, reply.body)
    const renewed = { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
    t.same([await status(headers), await status(renewed)], [401, 200])
    const { sessions: left } = (await send('GET', OWN, undefined, renewed)).json<SessionPage>()
    t.match(left, [{ is_current: true, is_remembered: true, can_end: true }])
    t.equal(left.length, 1)
    t.same([await status(await start()), await status(renewed)], [200, 401], 'another login ends the oldest one')
  }
})

t.test('wrong options of sessions refuse to start', async (t) => {
  const wrong: unknown[] = [
    null,
    { idle: 1 },
    { idleSeconds: 299 },
    { idleSeconds: 300.5 },
    { idleSeconds: '3600' },
    { idleSeconds: 7200, absoluteSeconds: 3600 },
    { absoluteSeconds: 0 },
    { rememberMe: true },
    { rememberMe: { lifetimeSeconds: 1 } },
    { idleSeconds: 7200, rememberMe: { idleSeconds: 3600 } },
    { absoluteSeconds: 7200, rememberMe: { absoluteSeconds: 3600 } },
    { backends: [] },
    { backends: { cookie: { maxSessions: 1 } } },
    { backends: { cookie: { idleSeconds: 1 } } },
    { maxSessions: 0 },
    { maxSessions: 1001 },
    { routes: { own: 'off' } },
    { routes: { users: false } }
  ]
  for (const options of wrong) {
    t.throws(() => sessions(options as SessionsOptions), { code: /^FST_USERS_(INVALID|UNKNOWN)_OPTION$/ }, JSON.stringify(options))
  }
  const refused: [SessionsOptions, string][] = [
    [{ backends: { other: {} } }, 'FST_USERS_UNKNOWN_BACKEND'],
    [{ absoluteSeconds: 2 * DAY }, 'FST_USERS_INVALID_OPTION'],
    [{ rememberMe: { absoluteSeconds: 2 * DAY } }, 'FST_USERS_INVALID_OPTION'],
    [{ backends: { cookie: { idleSeconds: 2 * DAY } } }, 'FST_USERS_INVALID_OPTION']
  ]
  for (const [options, code] of refused) {
    const started = buildApp(t, { backends: database(DAY), features: [sessions(options)] })
    await t.rejects(started, { code }, JSON.stringify(options))
  }
  await t.rejects(buildApp(t, { backends: signed(), features: [sessions({ idleSeconds: 31 * DAY })] }), { code: 'FST_USERS_INVALID_OPTION' })
  const { app } = await buildApp(t, {
    backends: signed(),
    allowInsecure: ['longSessions'],
    features: [sessions({ idleSeconds: 31 * DAY })]
  })
  t.ok(app.users.feature('sessions'))
})

t.test('recent tokens are remembered for one interval, and a bounded number of them', async (t) => {
  const tokens = createRecentTokens(60)
  tokens.add('a', 1000, Infinity)
  tokens.add('b', 1000, 1010)
  t.same([tokens.has('a', 1059), tokens.has('a', 1060), tokens.has('a', 990)], [true, false, false])
  t.same([tokens.has('b', 1009), tokens.has('b', 1010)], [true, false], 'not beyond the end of the session')
  tokens.add('c', 1059, Infinity)
  tokens.add('d', 1061, Infinity)
  t.ok(tokens.has('c', 1100), 'a new generation keeps the tokens of the last one')
  for (let i = 0; i < 200_000; i++) tokens.add(String(i), 1062, Infinity)
  t.notOk(tokens.has('c', 1100), 'the oldest are forgotten')
  t.ok(tokens.has('199999', 1100))
})
