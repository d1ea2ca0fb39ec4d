import { randomBytes } from 'node:crypto'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type Feature,
  type JwtStrategyOptions,
  type Session,
  type SessionSelection,
  type SessionService,
  type User,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisRevocations } from '../lib/entries/redis.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, buildApp, type TestApp } from './helpers/build-app.js'
import { createBus } from './helpers/cache-channel.js'
import { everyStore } from './helpers/every-store.js'
import { connectRedis } from './helpers/redis.js'

const LANCELOT = 'lancelot@camelot.bt'
const LIFETIME = 600

const { redis, skip } = await connectRedis()

const backendsWith = (revocable: JwtStrategyOptions['revocable'], lifetimeSeconds = LIFETIME): BackendOptions[] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds, ...(revocable === undefined ? {} : { revocable }) }) }
]

interface Served extends TestApp {
  sessions: SessionService
  /** The ended sessions that were reported since the last call. */
  ended(): SessionSelection[]
  /** Logs in and returns the token. */
  start(email?: string): Promise<string>
  /** Returns the status of a guarded request. */
  guarded(token: string, url?: string): Promise<number>
  sessionOf(token: string): Promise<string>
  logout(token: string): ReturnType<TestApp['send']>
}

async function serve (t: Test, options: Partial<UsersOptions> = {}): Promise<Served> {
  const reports: SessionSelection[] = []
  const watcher: Feature<SessionService> = {
    name: 'watcher',
    setup: ({ sessions }) => ({
      api: sessions,
      sessions: {
        ended (_user, which) {
          reports.push(which)
        }
      }
    })
  }
  const features = [watcher, ...(options.features ?? [])]
  const built = await buildApp(t, { backends: backendsWith(true), ...options, features }, (app) => {
    app.get('/guarded', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async ({ user }) => ({ user }))
  })
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
  return {
    ...built,
    sessions: built.app.users.feature('watcher') as SessionService,
    ended: () => reports.splice(0),
    start: async (email = ARTHUR) => (await built.bearer(email)).authorization.replace('Bearer ', ''),
    guarded: async (token, url = '/guarded') => (await built.send('GET', url, undefined, bearer(token))).statusCode,
    sessionOf: async (token) => (await built.send('GET', '/guarded', undefined, bearer(token))).json<Session>().id,
    logout: (token) => built.send('POST', '/auth/jwt/logout', undefined, bearer(token))
  }
}

/** Checks that a logout and the end of one session end the tokens of that session, and no others. */
async function checkEndings (t: Test, one: Served, two: Served): Promise<void> {
  const user = await one.create()
  const other = await one.create({ email: LANCELOT })
  const [first, second, third] = [await one.start(), await one.start(), await one.start()]
  const theirs = await one.start(LANCELOT)
  const id = await one.sessionOf(second)
  t.equal((await one.logout(first)).statusCode, 204)
  t.equal(await two.guarded(first), 401, 'logged out')
  t.equal((await two.logout(first)).statusCode, 401, 'a second logout is refused')
  t.equal(await two.guarded(second), 200)

  await two.sessions.end(other, { id })
  t.equal(await one.guarded(second), 200, 'the session of another user')
  one.ended()
  await one.sessions.end(user, { id })
  t.same(one.ended(), [{ id }])
  t.equal(await two.guarded(second), 401, 'one session is ended')
  await two.sessions.end(user, { id })
  t.equal(await two.guarded(second), 401, 'and ended again')
  t.equal(await two.guarded(third), 200)
  t.equal(await two.guarded(theirs), 200)
}

for (const store of everyStore) {
  t.test(`LOG-07, JWT-08: a logout and the end of one session hold in every process, on ${store.name}`, store.options, async (t) => {
    const makeAdapter = await store.open(t)
    const one = await serve(t, { adapter: makeAdapter() })
    const two = await serve(t, { adapter: makeAdapter() })
    await checkEndings(t, one, two)
  })
}

t.test('LOG-07, JWT-08: revocations in Redis, with both clients', { skip }, async (t) => {
  const nodeRedis = createClient({ url: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379' })
  await nodeRedis.connect()
  t.teardown(() => nodeRedis.destroy())
  for (const [name, client] of Object.entries({ ioredis: redis, redis: nodeRedis })) {
    await t.test(name, async (t) => {
      const keyPrefix = `test-${randomBytes(6).toString('hex')}:`
      const backends = (): BackendOptions[] => backendsWith(redisRevocations({ client: client as never, keyPrefix }))
      const adapter = memory()
      const one = await serve(t, { adapter, backends: backends() })
      await checkEndings(t, one, await serve(t, { adapter, backends: backends() }))
      const keys = await redis.keys(`${keyPrefix}*`)
      t.equal(keys.length, 3)
      for (const key of keys) {
        t.match(key.slice(keyPrefix.length), /^[\w-]{43}$/, 'a key is a digest')
        const seconds = await redis.ttl(key)
        t.ok(seconds > LIFETIME && seconds <= LIFETIME + 300, `it expires after ${seconds} seconds`)
      }
      await redis.del(...keys)
    })
  }
})

t.test('JWT-08: the reply of a logout says whether the token is refused from then on', async (t) => {
  const transport = cookieTransport()
  const cookie = (strategy: BackendOptions['strategy']): BackendOptions => ({ name: 'cookie', transport, strategy })
  interface Case { backends: BackendOptions[]; header: string | undefined; options?: Partial<UsersOptions> }
  const cases: Record<string, Case> = {
    'a JWT': { backends: backendsWith(undefined), header: '?0' },
    'a revocable JWT': { backends: backendsWith(true), header: '?1' },
    'a JWT in a cookie': { backends: [cookie(jwtStrategy())], header: '?0' },
    'a stored session': { backends: [cookie(databaseStrategy({ lifetimeSeconds: LIFETIME }))], header: '?1' },
    'a JWT with the replies of FastAPI Users': {
      backends: backendsWith(true), header: undefined, options: { compatibility: 'fastapi-users' }
    }
  }
  for (const [name, { backends, header, options = {} }] of Object.entries(cases)) {
    const { create, bearer, cookie, send, app } = await buildApp(t, { backends, ...options })
    await create()
    const isCookie = backends[0]?.name === 'cookie'
    const headers: Record<string, string> = isCookie ? await cookie(ARTHUR) : await bearer(ARTHUR)
    const reply = await send('POST', `/auth/${isCookie ? 'cookie' : 'jwt'}/logout`, undefined, headers)
    t.same([reply.statusCode, reply.headers['session-revoked']], [204, header], name)
    const status = (await send('GET', '/guarded', undefined, headers)).statusCode
    t.equal(status, header === '?0' ? 200 : 401, `${name}: the token afterwards`)
    const [{ revocable } = { revocable: null }] = app.users.securityProfile().backends
    t.equal(revocable, status === 401, `${name}: the security profile`)
  }
})

t.test('JWT-08, RT-04: a logout and a revocation end the access tokens and the refresh token of a session', async (t) => {
  const served = await serve(t, { features: [refreshTokens()] })
  const { create, login, send, guarded, sessionOf, app, events, ended, tick } = served
  await create()
  const start = async (): Promise<{ access_token: string; refresh_token: string }> => (await login('jwt', ARTHUR)).json()
  const refresh = (token: string): ReturnType<TestApp['send']> => send('POST', '/auth/jwt/refresh', { refresh_token: token })

  const ends: Record<string, (tokens: Awaited<ReturnType<typeof start>>) => Promise<unknown>> = {
    logout: ({ access_token: token }) => send('POST', '/auth/jwt/logout', undefined, { authorization: `Bearer ${token}` }),
    revocation: ({ refresh_token: token }) => send('POST', '/auth/jwt/revoke', { token }),
    reuse: async (tokens) => {
      tick(11)
      const replies = await Promise.all([refresh(tokens.refresh_token), refresh(tokens.refresh_token)])
      t.same(replies.map(({ statusCode }) => statusCode), [400, 400])
    }
  }
  for (const [name, end] of Object.entries(ends)) {
    const first = await start()
    const second = (await refresh(first.refresh_token)).json<typeof first>()
    const id = await sessionOf(second.access_token)
    t.equal(await guarded(first.access_token), 200, `${name}: both access tokens belong to the session`)
    ended()
    await end(name === 'reuse' ? first : second)
    t.ok(ended().some((which) => which !== 'all' && 'id' in which && which.id === id), `${name}: the end is reported`)
    t.equal(await guarded(first.access_token), 401, `${name}: the older access token`)
    t.equal(await guarded(second.access_token), 401, `${name}: the newer one`)
    assertErrorReply(t, await refresh(second.refresh_token), 400, 'REFRESH_TOKEN_INVALID', undefined, name)
  }
  await app.users.settled()
  t.equal(events.filter(({ name }) => name === 'onRefreshTokenReused').length, 1, 'two parallel uses fire one event')
})

t.test('SES-08: a revocation is kept until no token of its session can be valid, whatever the clocks say', async (t) => {
  const adapter = memory()
  const store = watchedAdapter(adapter)
  const one = await serve(t, { adapter: store.adapter })
  await one.create()
  // a process whose clock is a minute ahead signs the token and another one, a minute behind, checks it
  const clockOf = (seconds: number) => () => Date.now() + seconds * 1000
  const ahead = await serve(t, { adapter, clock: clockOf(60) })
  const token = await ahead.start()
  t.equal((await one.logout(token)).statusCode, 204)
  for (const seconds of [0, LIFETIME, LIFETIME + 119]) {
    const behind = await serve(t, { adapter, clock: clockOf(seconds - 60) })
    t.equal(await behind.guarded(token), 401, `after ${seconds} seconds`)
  }
  const late = await serve(t, { adapter, clock: clockOf(LIFETIME + 361) })
  await late.logout(await late.start()) // deletes expired rows
  await late.app.users.settled()
  t.equal((await store.rows('revoked_session')).length, 1, 'the expired row is deleted')
})

t.test('SES-04: a shorter lifetime also ends tokens that were signed before', async (t) => {
  const adapter = memory()
  const before = await serve(t, { adapter, backends: backendsWith(true, 86_400) })
  await before.create()
  const token = await before.start()
  const after = await serve(t, { adapter })
  t.equal(await after.guarded(token), 200)
  after.tick(LIFETIME + 1)
  t.equal(await after.guarded(token), 401)
})

t.test('LOG-07: while the store of the revocations fails, requests and logouts are refused with 503', async (t) => {
  const store = watchedAdapter(memory())
  const { create, start, guarded, logout } = await serve(t, { adapter: store.adapter })
  await create()
  const token = await start()
  const fail = (methods: readonly string[], isSynchronous: boolean): void => {
    store.watch(({ method, model, proceed }) => {
      if (model.name !== 'revoked_session' || !methods.includes(method)) return proceed()
      const error = Object.assign(new Error('gone'), { code: 'ECONNRESET' })
      if (isSynchronous) throw error
      return Promise.reject(error)
    })
  }
  for (const isSynchronous of [true, false]) {
    fail(['findOne'], isSynchronous)
    t.equal(await guarded(token), 503)
    t.equal(await guarded(token, '/optional'), 503, 'also if the user is optional')
    t.equal((await logout(token)).statusCode, 503)
    fail(['create'], isSynchronous)
    t.match((await logout(token)).json(), { statusCode: 503, code: 'FST_USERS_STORE_UNAVAILABLE' })
    store.watch()
    t.equal(await guarded(token), 200, 'the client can try again')
  }
  t.equal((await logout(token)).statusCode, 204)
  t.equal(await guarded(token), 401)

  const down = { ...Object.fromEntries(['set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore'].map((name) => [name, async () => null])), get: async () => await Promise.reject(new Error('Connection is closed.')) }
  const redisDown = await serve(t, { backends: backendsWith(redisRevocations({ client: down as never })) })
  await redisDown.create()
  t.equal(await redisDown.guarded(await redisDown.start()), 503, 'Redis')
})

t.test('SES-09: the user cache saves the read only if every revocation is reported to this process', async (t) => {
  const adapter = memory()
  const bus = createBus()
  const stores = [watchedAdapter(adapter), watchedAdapter(adapter)] as const
  const [one, two] = [
    await serve(t, { adapter: stores[0].adapter, cache: { channel: bus.channel } }),
    await serve(t, { adapter: stores[1].adapter, cache: { channel: bus.channel } })
  ]
  const user: User = await one.create()
  const readsOf = async (served: Served, token: string): Promise<[number, number]> => {
    const store = stores[served === one ? 0 : 1]
    store.watch()
    return [await served.guarded(token), store.calls]
  }
  const [token, second] = [await one.start(), await one.start()]
  const id = await one.sessionOf(second)
  await two.guarded(token)
  await two.guarded(token)
  t.same(await readsOf(two, token), [200, 0], 'neither the user nor the revocation is read')
  t.same(await readsOf(two, second), [200, 1], 'another session of the user: only the revocation')
  t.same(await readsOf(two, second), [200, 0])
  t.equal((await one.logout(token)).statusCode, 204)
  t.same((await readsOf(two, token))[0], 401, 'refused by the other process')
  t.same((await readsOf(two, second))[0], 200)
  await one.sessions.end(user, { id })
  t.same((await readsOf(two, second))[0], 401)

  const alone = watchedAdapter(memory())
  const quiet = await serve(t, { adapter: alone.adapter, cache: {} })
  await quiet.create()
  const own = await quiet.start()
  await quiet.guarded(own)
  alone.watch()
  t.equal(await quiet.guarded(own), 200)
  t.equal(alone.calls, 1, 'without a channel, the revocation is read on each request')
})

t.test('a guarded request without the option reads no revocation, and with it the reads run at the same time', async (t) => {
  const store = watchedAdapter(memory())
  const running = { now: 0, most: 0 }
  const calls: string[] = []
  const { create, start, guarded } = await serve(t, { adapter: store.adapter })
  await create()
  const token = await start()
  store.watch(async ({ method, model, proceed }) => {
    calls.push(`${method} ${model.name}`)
    running.most = Math.max(running.most, ++running.now)
    const result = await proceed()
    running.now--
    return result
  })
  t.equal(await guarded(token), 200)
  t.same(calls, ['findOne user', 'findOne revoked_session'])
  t.equal(running.most, 2)

  const plainStore = watchedAdapter(memory())
  const plain = await serve(t, { adapter: plainStore.adapter, backends: backendsWith(false) })
  await plain.create()
  const plainToken = await plain.start()
  plainStore.watch()
  t.equal(await plain.guarded(plainToken), 200)
  t.equal(plainStore.calls, 1)
})

t.test('SES-06: with a revocable JWT, the end of all other sessions still ends every token', async (t) => {
  const { create, start, guarded, sessionOf, sessions } = await serve(t)
  const user = await create()
  const [kept, other] = [await start(), await start()]
  await sessions.end(user, { except: await sessionOf(kept) })
  t.same([await guarded(kept), await guarded(other)], [401, 401])
})

t.test('wrong values of the option are refused', async (t) => {
  for (const revocable of [1, 'redis', null, {}, [], { kind: 'counters' }]) {
    t.throws(() => jwtStrategy({ revocable: revocable as never }), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(revocable))
  }
  for (const options of [{}, { client: {} }, { client: redis, keyPrefix: 1 }, { client: redis, timeoutMs: 0 }]) {
    t.throws(() => redisRevocations(options as never), { code: 'FST_USERS_INVALID_OPTION' }, Object.keys(options).join())
  }
  t.throws(() => redisRevocations({ client: redis, prefix: '' } as never), { code: 'FST_USERS_UNKNOWN_OPTION' })
})
