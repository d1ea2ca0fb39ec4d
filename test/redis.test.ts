import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import { Redis, type Cluster } from 'ioredis'
import { createClient, type createCluster } from 'redis'
import t, { type Test } from 'tap'
import { authenticate, bearerTransport, databaseStrategy, integerId, userSchemas, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy, type RedisClient, type RedisStrategyOptions } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { startTcpProxy } from './fixtures/tcp-proxy.js'
import {
  addRoutes,
  ARTHUR,
  buildApp,
  PASSWORD,
  assertErrorReply,
  SECRET,
  storedModel,
  type TestApp
} from './helpers/build-app.js'
import { connectRedis } from './helpers/redis.js'

const url = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
const { hostname, port } = new URL(url)
const LANCELOT = 'lancelot@camelot.bt'
const MERLIN = 'merlin@camelot.bt'
const NEW_PASSWORD = 'guinevere-2'
const LIFETIME = 3600
const MODES = ['digest', 'plain'] as const

/** Returns true if a session that started at most a minute ago can have this time left. */
const isLifetime = (seconds: number): boolean => seconds <= LIFETIME && seconds > LIFETIME - 60

interface Fixture {
  tokens_of_king_arthur: { redis: string }
  redis: Record<string, { value: string; ttl: number }>
}
const fixture = JSON.parse(readFileSync('test/fixtures/fastapi-users.json', 'utf8')) as Fixture

/** Connects each kind of client. A disconnected client reconnects every 20 ms and queues commands until then. */
const clients = {
  async ioredis (t: Test, address = url) {
    const client = new Redis(address, { retryStrategy: () => 20, maxRetriesPerRequest: null }).on('error', () => {})
    t.teardown(() => {
      client.disconnect()
    })
    return client
  },
  async redis (t: Test, address = url) {
    const client = createClient({ url: address, socket: { reconnectStrategy: 20 } }).on('error', () => {})
    t.teardown(() => {
      client.destroy()
    })
    client.connect().catch(() => {})
    return client
  }
} satisfies Record<string, (t: Test, address?: string) => Promise<RedisClient>>
const CLIENTS = Object.keys(clients) as (keyof typeof clients)[]

const { redis: raw, skip } = await connectRedis()

/** Returns a key prefix for one test and deletes its keys after the test. */
function makePrefix (t: Test): string {
  const prefix = `test-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    for (const key of await keysOf(prefix)) await raw.del(key)
  })
  return prefix
}

async function keysOf (prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const found of raw.scanStream({ match: `${prefix.replaceAll(/[[*?\\]/g, '\\$&')}*`, count: 1000 })) {
    keys.push(...(found as string[]))
  }
  return [...new Set(keys)].sort()
}

const tokenKeys = async (prefix: string): Promise<string[]> =>
  (await keysOf(prefix)).filter((key) => !key.startsWith(`${prefix}user:`))
const setKeys = async (prefix: string): Promise<string[]> =>
  (await keysOf(prefix)).filter((key) => key.startsWith(`${prefix}user:`))

/** Returns all keys with a prefix and their values as text. */
async function readAllText (prefix: string): Promise<string> {
  const parts = []
  for (const key of await keysOf(prefix)) {
    parts.push(key, (await raw.type(key)) === 'zset' ? (await raw.zrange(key, 0, '-1')).join(' ') : await raw.get(key))
  }
  return parts.join('\n')
}

interface Service extends TestApp {
  /** Logs in and returns the token of the new session. */
  token(email?: string, backend?: string): Promise<string>
  status(token: string): Promise<number>
}

const bearerHeader = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

async function serve (
  t: Test,
  strategy: Omit<RedisStrategyOptions, 'lifetimeSeconds'> & { lifetimeSeconds?: number | null },
  options: Partial<UsersOptions> = {}
): Promise<Service> {
  const backends = ['redis', 'other'].map((name) => ({
    name,
    transport: bearerTransport(),
    strategy: redisStrategy({ lifetimeSeconds: LIFETIME, ...strategy })
  }))
  const app = await buildApp(t, { backends, ...options }, (instance) => {
    addRoutes(instance)
    instance.get('/optional', { preHandler: authenticate({ optional: true }) }, async ({ user }) =>
      user === null ? 'anonymous' : 'known'
    )
    instance.get('/first', { preHandler: authenticate({ backends: ['redis'] }) }, async () => 'in')
    instance.get('/second', { preHandler: authenticate({ backends: ['other'] }) }, async () => 'in')
  })
  return {
    ...app,
    async token (email = ARTHUR, backend = 'redis') {
      const reply = await app.login(backend, email)
      if (reply.statusCode !== 200) throw new Error(`login: ${reply.statusCode} ${reply.body}`)
      return reply.json<{ access_token: string }>().access_token
    },
    status: async (token) => (await app.send('GET', '/guarded', undefined, bearerHeader(token))).statusCode
  }
}

function unavailable (t: Test, reply: LightMyRequestResponse, name = '503'): void {
  const { code } = reply.json<{ code: string }>()
  t.same(
    { statusCode: reply.statusCode, code, after: reply.headers['retry-after'] },
    { statusCode: 503, code: 'FST_USERS_STORE_UNAVAILABLE', after: '1' },
    name
  )
}

/** Returns a client that records each command with its arguments. */
function recordCommands (client: Redis): { client: RedisClient; commands: [string, ...unknown[]][] } {
  const commands: [string, ...unknown[]][] = []
  const call = (name: string, args: unknown[]): unknown => {
    commands.push([name, ...args])
    return (client as unknown as Record<string, (...args: unknown[]) => unknown>)[name]?.(...args)
  }
  const methods = ['get', 'set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore'].map(
    (name) => [name, (...args: unknown[]) => call(name, args)]
  )
  return { commands, client: Object.fromEntries(methods) as RedisClient }
}

for (const kind of CLIENTS) {
  t.test(`row 24: with ${kind}`, { skip }, async (t) => {
    await t.test(
      'row 24: plain tokens have the key, value and lifetime that FastAPI Users uses; logout deletes the key',
      async (t) => {
        const prefix = makePrefix(t)
        const app = await serve(t, { client: await clients[kind](t), keyPrefix: prefix }, { compatibility: { tokenStorage: 'plain' } })
        const { id } = await app.create()
        const token = await app.token()
        t.match(token, /^[A-Za-z0-9_-]{43}$/)
        t.strictSame(await tokenKeys(prefix), [prefix + token])
        t.equal(await raw.get(prefix + token), id)
        t.ok(isLifetime(await raw.ttl(prefix + token)))
        t.equal(await app.status(token), 200)
        const other = await app.token()
        t.equal((await app.send('POST', '/auth/redis/logout', undefined, bearerHeader(token))).statusCode, 204)
        t.strictSame(await tokenKeys(prefix), [prefix + other])
        t.strictSame(
          await raw.zrange(`${prefix}user:${String(id)}`, 0, '-1'),
          [other],
          "the token is removed from the user's set too"
        )
        t.strictSame([await app.status(token), await app.status(other)], [401, 200])
      }
    )

    await t.test(
      'row 24, SES-02: digests have the same lifetime, and no key or value contains the token',
      async (t) => {
        const prefix = makePrefix(t)
        const app = await serve(t, { client: await clients[kind](t), keyPrefix: prefix })
        const { id } = await app.create()
        const token = await app.token()
        const [key = ''] = await tokenKeys(prefix)
        t.equal(key, prefix + createHash('sha256').update(`users:redis\n${token}`).digest('base64url'))
        t.match(JSON.parse((await raw.get(key)) ?? ''), {
          stamp: /^[A-Za-z0-9_-]{22}$/,
          id,
          sid: /^[A-Za-z0-9_-]{22}$/,
          created: Number,
          authenticated: Number,
          methods: ['password'],
          details: {}
        })
        t.ok(isLifetime(await raw.ttl(key)))
        const all = await readAllText(prefix)
        const bytes = Buffer.from(token, 'base64url')
        for (const form of [
          token,
          bytes.toString('base64'),
          bytes.toString('hex'),
          Buffer.from(token).toString('hex'),
          Buffer.from(token).toString('base64')
        ]) {
          t.notOk(all.includes(form))
        }
        t.equal(await app.status(token), 200)
        t.equal((await app.send('POST', '/auth/redis/logout', undefined, bearerHeader(token))).statusCode, 204)
        t.strictSame(await keysOf(prefix), [])
        t.equal(await app.status(token), 401)
      }
    )

    await t.test('row 24: with lifetimeSeconds: null the keys never expire', async (t) => {
      const prefix = makePrefix(t)
      const app = await serve(
        t,
        { client: await clients[kind](t), keyPrefix: prefix, lifetimeSeconds: null },
        { compatibility: { endlessTokens: true } }
      )
      const user = await app.create()
      const tokens = [await app.token(), await app.token()]
      for (const key of await keysOf(prefix)) t.equal(await raw.ttl(key), -1)
      for (const token of tokens) t.equal(await app.status(token), 200)
      await app.app.users.endSessions(user)
      t.strictSame(await keysOf(prefix), [])
    })

    await t.test(
      'endSessions deletes many sessions in one call, and a login removes all expired tokens from the set',
      async (t) => {
        const prefix = makePrefix(t)
        const app = await serve(t, { client: await clients[kind](t), keyPrefix: prefix })
        const user = await app.create()
        await app.token()
        const [setKey = ''] = await setKeys(prefix)
        t.equal(setKey, `${prefix}user:users:redis:${String(user.id)}`)
        const ended = raw.pipeline()
        for (let n = 0; n < 1150; n++) ended.zadd(setKey, n, `ended-${n}`)
        await ended.exec()
        await app.token()
        await app.app.users.settled()
        t.equal(await raw.zcard(setKey), 2)
        await app.token()
        t.equal(await raw.zcard(setKey), 3)
        const pipeline = raw.pipeline()
        for (let n = 0; n < 1200; n++) {
          pipeline.zadd(setKey, Date.now() + 1e6, `more-${n}`).set(`${prefix}more-${n}`, 'x')
        }
        await pipeline.exec()
        await app.app.users.endSessions(user)
        t.strictSame(await keysOf(prefix), [])
      }
    )
  })
}

t.test('row 24: the default prefix is that of FastAPI Users', { skip }, async (t) => {
  const app = await serve(t, { client: raw }, { compatibility: { tokenStorage: 'plain' } })
  const user = await app.create()
  t.teardown(() => app.app.users.endSessions(user))
  const token = await app.token()
  t.equal(await raw.get(`fastapi_users_token:${token}`), user.id)
})

t.test('rows 24, 90: a token of FastAPI Users is accepted, and logout deletes it', { skip }, async (t) => {
  const file = join(t.testdir(), 'users.sqlite')
  copyFileSync('test/fixtures/fastapi-users.sqlite', file)
  chmodSync(file, 0o644)
  const prefix = makePrefix(t)
  const { redis: token } = fixture.tokens_of_king_arthur
  const stored = fixture.redis[`fastapi_users_token:${token}`]
  await raw.set(prefix + token, stored?.value ?? '')
  const app = await serve(
    t,
    { client: raw, keyPrefix: prefix, lifetimeSeconds: null },
    { adapter: sqlite(file), compatibility: 'fastapi-users' }
  )
  const me = await app.send('GET', '/users/me', undefined, bearerHeader(token))
  t.match({ status: me.statusCode, id: me.json<{ id: string }>().id }, { status: 200, id: stored?.value ?? 'none' })
  const own = await app.login('redis', 'king.arthur@camelot.bt', 'guinevere')
  const { access_token: ours } = own.json<{ access_token: string }>()
  t.strictSame(
    [await raw.get(prefix + ours), await raw.ttl(prefix + ours)],
    [stored?.value, stored?.ttl],
    'FastAPI Users can read the token'
  )
  t.equal((await app.send('POST', '/auth/redis/logout', undefined, bearerHeader(token))).statusCode, 204)
  t.equal(await raw.exists(prefix + token), 0)
})

t.test('a guarded request costs one GET', { skip }, async (t) => {
  const { client, commands } = recordCommands(raw)
  const app = await serve(t, { client, keyPrefix: makePrefix(t) })
  await app.create()
  const token = await app.token()
  commands.length = 0
  t.equal((await app.send('GET', '/first', undefined, bearerHeader(token))).statusCode, 200)
  t.strictSame(
    commands.map(([name]) => name),
    ['get']
  )
})

t.test('each command names one key, as Redis Cluster requires', { skip }, async (t) => {
  const { client, commands } = recordCommands(raw)
  const prefix = makePrefix(t)
  const app = await serve(t, { client, keyPrefix: prefix })
  const user = await app.create()
  const token = await app.token()
  for (let n = 0; n < 3; n++) await app.token()
  await app.send('POST', '/auth/redis/logout', undefined, bearerHeader(token))
  await app.app.users.endSessions(user)
  t.ok(commands.filter(([name]) => name === 'del').length >= 4)
  for (const [name, ...args] of commands) {
    t.strictSame(args.filter((arg) => String(arg).startsWith(prefix)).length, 1, name)
  }
  t.strictSame(await keysOf(prefix), [])
})

// the clients of ioredis and redis for clusters must be assignable to the option's type
export const clusters = (one: Cluster, other: ReturnType<typeof createCluster>): RedisClient[] => [one, other]

t.test(
  'SES-14: text that does not have the form of a token is refused without a command, with any prefix',
  { skip },
  async (t) => {
    const { client, commands } = recordCommands(raw)
    const prefix = `${makePrefix(t)}[a*?`
    for (const tokenStorage of MODES) {
      const app = await serve(t, { client, keyPrefix: prefix }, { compatibility: { tokenStorage } })
      const { id } = await app.create()
      const token = await app.token()
      t.equal(await app.status(token), 200)
      commands.length = 0
      for (const text of [
        '*',
        'a:b',
        `user:${String(id)}`,
        '[a-z]'.padEnd(43, '*'),
        '*'.repeat(43),
        `${token}a`,
        token.slice(1),
        `${token.slice(1)}*`,
        `${token.slice(2)}:b`,
        `${token.slice(1)}%`
      ]) {
        t.equal(await app.status(text), 401, text)
      }
      t.strictSame(commands, [])
    }
  }
)

t.test('an unknown token, a deleted user and foreign values authenticate no user', { skip }, async (t) => {
  for (const tokenStorage of MODES) {
    const prefix = makePrefix(t)
    const adapter = memory()
    const app = await serve(t, { client: raw, keyPrefix: prefix }, { compatibility: { tokenStorage }, adapter })
    const user = await app.create()
    t.equal(await app.status(randomBytes(32).toString('base64url')), 401)
    const token = await app.token()
    const [key = ''] = await tokenKeys(prefix)
    const good = (await raw.get(key)) ?? ''
    const id = String(user.id)
    const bad = [
      '',
      ':',
      'x',
      'null',
      '{}',
      `${good}\n`,
      `${good} `,
      good.toUpperCase(),
      `x${good}`,
      `${id}:${id}`,
      ...(tokenStorage === 'digest' ? [id, `:${id}`] : [`stamp:${id}`])
    ]
    for (const value of bad) {
      await raw.set(key, value)
      t.equal(await app.status(token), 401, `${tokenStorage} ${value}`)
    }
    await raw.set(key, good)
    t.equal(await app.status(token), 200)
    await adapter.delete(storedModel('user'), { id })
    t.equal(await app.status(token), 401, 'the user was deleted')
  }
  const prefix = makePrefix(t)
  const app = await serve(
    t,
    { client: raw, keyPrefix: prefix },
    { compatibility: { tokenStorage: 'plain' }, schemas: userSchemas({}, { id: integerId() }) }
  )
  await app.create()
  const token = await app.token()
  t.equal(await app.status(token), 200, 'integer ids')
  for (const value of ['01', '1.0', '1e0', ' 1', '0']) {
    await raw.set(prefix + token, value)
    t.equal(await app.status(token), 401, value)
  }
})

t.test(
  'a stored digest is not accepted as a token, and backends with one prefix accept only their own tokens',
  { skip },
  async (t) => {
    const prefix = makePrefix(t)
    const adapter = memory()
    const app = await serve(t, { client: raw, keyPrefix: prefix }, { adapter })
    await app.create()
    const token = await app.token()
    t.strictSame(
      [
        (await app.send('GET', '/first', undefined, bearerHeader(token))).statusCode,
        (await app.send('GET', '/second', undefined, bearerHeader(token))).statusCode
      ],
      [200, 401]
    )
    const [key = ''] = await tokenKeys(prefix)
    const plain = await serve(t, { client: raw, keyPrefix: prefix }, { adapter, compatibility: { tokenStorage: 'plain' } })
    for (const service of [app, plain]) t.equal(await service.status(key.slice(prefix.length)), 401)
  }
)

t.test('events that end sessions', { skip }, async (t) => {
  type Act = (app: Service, id: string, token: string) => Promise<unknown>
  const acts: Record<string, Act> = {
    endSessions: (app, id) => app.app.users.endSessions(id),
    'a password change by the user': (app, _id, token) =>
      app.send('PATCH', '/users/me', { password: NEW_PASSWORD }, bearerHeader(token)),
    'a password change by app.users.update': (app, id) => app.app.users.update(id, { password: NEW_PASSWORD }),
    async 'a password reset' (app) {
      await app.send('POST', '/auth/forgot-password', { email: ARTHUR })
      await app.send('POST', '/auth/reset-password', {
        token: await app.tokenOf('onAfterForgotPassword'),
        password: NEW_PASSWORD
      })
    },
    deactivation: (app, id) => app.app.users.update(id, { is_active: false }),
    async 'deactivation and reactivation' (app, id) {
      await app.app.users.update(id, { is_active: false })
      await app.app.users.update(id, { is_active: true })
    },
    deletion: (app, id) => app.app.users.delete(id)
  }
  for (const tokenStorage of MODES) {
    for (const [name, act] of Object.entries(acts)) {
      await t.test(`${tokenStorage}: ${name}`, async (t) => {
        const prefix = makePrefix(t)
        const app = await serve(t, { client: raw, keyPrefix: prefix }, { compatibility: { tokenStorage } })
        const { id } = await app.create()
        await app.create({ email: LANCELOT })
        const own = [await app.token(), await app.token(), await app.token(ARTHUR, 'other')]
        const other = await app.token(LANCELOT)
        await act(app, String(id), own[0] ?? '')
        for (const token of own) t.equal(await app.status(token), 401)
        t.equal(await app.status(other), 200)
        t.equal((await tokenKeys(prefix)).length, 1, 'no key of the user is left')
      })
    }
  }

  await t.test('a new session stamp alone ends a session, even if its key exists', async (t) => {
    const prefix = makePrefix(t)
    const adapter = memory()
    const app = await serve(t, { client: raw, keyPrefix: prefix }, { adapter })
    const { id } = await app.create()
    const token = await app.token()
    await adapter.update(storedModel('user'), { id: String(id) }, { session_stamp: 'another' })
    t.equal((await tokenKeys(prefix)).length, 1)
    t.equal(await app.status(token), 401)
  })
})

t.test('sessions end after their lifetime, by the clock of Redis', { skip }, async (t) => {
  const prefix = makePrefix(t)
  const app = await serve(t, { client: raw, keyPrefix: prefix, lifetimeSeconds: 3 })
  await app.create()
  const token = await app.token()
  t.equal(await app.status(token), 200)
  for (const key of await tokenKeys(prefix)) await sleep((await raw.pttl(key)) + 10)
  t.equal(await app.status(token), 401)
  t.strictSame(await tokenKeys(prefix), [])
})

t.test('the set of a user outlives its tokens, even if the lifetime was shortened', { skip }, async (t) => {
  const prefix = makePrefix(t)
  const adapter = memory()
  const app = await serve(t, { client: raw, keyPrefix: prefix }, { adapter })
  const user = await app.create()
  await app.token()
  const [key = ''] = await setKeys(prefix)
  const left = await raw.ttl(key)
  t.ok(left > LIFETIME && left <= 2 * LIFETIME)
  const shorter = await serve(t, { client: raw, keyPrefix: prefix, lifetimeSeconds: 10 }, { adapter })
  await shorter.token()
  t.ok((await raw.ttl(key)) > LIFETIME)
  await raw.persist(key)
  await shorter.token()
  t.equal(await raw.ttl(key), -1, 'a set with tokens that never expire is kept')
  await app.app.users.endSessions(user)
  t.strictSame(await keysOf(prefix), [])
})

t.test(
  'DEP-04: if Redis loses all data, sessions end; users, passwords and used tokens are unaffected',
  { skip },
  async (t) => {
    const prefix = makePrefix(t)
    const app = await serve(t, { client: raw, keyPrefix: prefix })
    const user = await app.create()
    await app.send('POST', '/auth/forgot-password', { email: ARTHUR })
    const spent = await app.tokenOf('onAfterForgotPassword')
    t.equal((await app.send('POST', '/auth/reset-password', { token: spent, password: PASSWORD })).statusCode, 200)
    const token = await app.token()
    for (const key of await keysOf(prefix)) await raw.del(key)
    t.equal(await app.status(token), 401)
    assertErrorReply(
      t,
      await app.send('POST', '/auth/reset-password', { token: spent, password: NEW_PASSWORD }),
      400,
      'RESET_PASSWORD_BAD_TOKEN'
    )
    t.strictSame(await app.app.users.getByEmail(ARTHUR), { ...user, is_verified: true }, 'a reset verifies the e-mail')
    t.equal(await app.status(await app.token()), 200)
  }
)

t.test('a revocation in one application applies at once in another one with the same Redis', { skip }, async (t) => {
  const prefix = makePrefix(t)
  const adapter = memory()
  const options = { adapter, secret: SECRET }
  const first = await serve(t, { client: await clients.ioredis(t), keyPrefix: prefix }, options)
  const second = await serve(t, { client: await clients.redis(t), keyPrefix: prefix }, options)
  const user = await first.create()
  const [one, two, three] = [await first.token(), await second.token(), await first.token()]
  for (const token of [one, two, three]) {
    t.strictSame([await first.status(token), await second.status(token)], [200, 200])
  }
  await second.send('POST', '/auth/redis/logout', undefined, bearerHeader(one))
  t.strictSame([await first.status(one), await first.status(two)], [401, 200])
  await first.app.users.endSessions(user)
  t.strictSame([await second.status(two), await second.status(three), (await keysOf(prefix)).length], [401, 401, 0])
})

for (const kind of CLIENTS) {
  t.test(
    `DEP-01, DEP-02: ${kind}: requests reply 503 in time, never anonymous, while Redis is down or silent, and then succeed again`,
    { skip },
    async (t) => {
      const proxy = await startTcpProxy(hostname, Number(port || 6379))
      t.teardown(() => proxy.refuse())
      const prefix = makePrefix(t)
      const app = await serve(t, {
        client: await clients[kind](t, `redis://127.0.0.1:${proxy.port}`),
        keyPrefix: prefix,
        timeoutMs: 1000
      })
      await app.create()
      await app.create({ email: MERLIN, is_superuser: true, is_verified: true })
      const token = await app.token()
      const kept = await app.token()
      const calls: Record<string, () => ReturnType<TestApp['send']>> = {
        guarded: () => app.send('GET', '/guarded', undefined, bearerHeader(token)),
        optional: () => app.send('GET', '/optional', undefined, bearerHeader(token)),
        'an unknown token on an optional route': () =>
          app.send('GET', '/optional', undefined, bearerHeader(randomBytes(32).toString('base64url'))),
        'the profile': () => app.send('GET', '/users/me', undefined, bearerHeader(token)),
        login: () => app.login('redis', ARTHUR),
        logout: () => app.send('POST', '/auth/redis/logout', undefined, bearerHeader(token))
      }
      for (const [fault, begin] of Object.entries({ silent: proxy.blackHole, gone: proxy.refuse })) {
        await begin()
        for (const [name, call] of Object.entries(calls)) {
          unavailable(t, await call(), `${fault}: ${name}`) // without the time limit the client would wait forever
        }
        t.equal((await app.send('GET', '/optional')).body, 'anonymous', 'a request without a token needs no Redis')
        t.equal(await app.status('*'), 401)
        await proxy.refuse() // discards commands that wait in a socket or a queue
        await proxy.pass()
        let fresh = 0
        for (let n = 0; n < 50 && fresh !== 200; n++) {
          fresh = (await app.login('redis', MERLIN)).statusCode
          if (fresh !== 200) await sleep(50)
        }
        t.equal(fresh, 200, `${fault}: works again without a restart`)
        t.strictSame(
          [await app.status(await app.token()), await app.status(kept)],
          [200, 200],
          'earlier sessions stay valid'
        )
      }
    }
  )
}

t.test('DEP-01: a closed port and a client that throws cause 503', async (t) => {
  const closedProxy = await startTcpProxy('127.0.0.1', 1)
  await closedProxy.refuse()
  const never = (): never => {
    throw new Error('closed')
  }
  const broken = Object.fromEntries(
    ['get', 'set', 'setex', 'del', 'ttl', 'expire', 'zadd', 'zrem', 'zrange', 'zrangebyscore'].map((name) => [
      name,
      never
    ])
  ) as unknown as RedisClient
  for (const client of [
    await clients.ioredis(t, `redis://127.0.0.1:${closedProxy.port}`),
    await clients.redis(t, `redis://127.0.0.1:${closedProxy.port}`),
    broken
  ]) {
    const app = await serve(t, { client, timeoutMs: 400 })
    await app.create()
    const headers = bearerHeader(randomBytes(32).toString('base64url'))
    for (const reply of [
      await app.send('GET', '/guarded', undefined, headers),
      await app.send('GET', '/optional', undefined, headers),
      await app.login('redis', ARTHUR)
    ]) {
      unavailable(t, reply)
    }
  }
})

t.test(
  'DEP-01: a client of the package redis without an error listener survives an outage, and gets no lasting listener',
  { skip },
  async (t) => {
    const proxy = await startTcpProxy(hostname, Number(port || 6379))
    const client = createClient({ url: `redis://127.0.0.1:${proxy.port}`, socket: { reconnectStrategy: 20 } })
    await client.connect()
    t.teardown(async () => {
      client.destroy()
      await proxy.refuse()
    })
    const app = await serve(t, { client, keyPrefix: makePrefix(t), timeoutMs: 400 })
    await app.create()
    const kept = await app.token()
    await proxy.refuse()
    unavailable(t, await app.send('GET', '/guarded', undefined, bearerHeader(kept)))
    await proxy.pass()
    while ((await app.status(kept)) !== 200) await sleep(20)
    await app.app.close()
    t.equal(client.listenerCount('error'), 0)
  }
)

t.test(
  'a set that never expires is kept so with an ioredis client that returns numbers as text',
  { skip },
  async (t) => {
    const prefix = makePrefix(t)
    const client = new Redis(url, { stringNumbers: true })
    t.teardown(() => {
      client.disconnect()
    })
    const options = { compatibility: { endlessTokens: true }, adapter: memory() }
    const endless = await serve(t, { client, keyPrefix: prefix, lifetimeSeconds: null }, options)
    const user = await endless.create()
    await endless.token()
    const [setKey = ''] = await setKeys(prefix)
    t.equal(setKey, `${prefix}user:users:redis:${String(user.id)}`)
    const ending = await serve(t, { client, keyPrefix: prefix }, options)
    await ending.token()
    t.equal(await raw.ttl(setKey), -1)
  }
)

for (const kind of CLIENTS) {
  t.test(`${kind}: simultaneous requests share one command, and each gets its own session`, { skip }, async (t) => {
    const client = await clients[kind](t)
    const counts = countCalls(client, ['get', 'mget', 'mGet'])
    const app = await serve(t, { client, keyPrefix: makePrefix(t) }, { adapter: memory() })
    await app.create()
    const tokens = await Promise.all(Array.from({ length: 10 }, () => app.token()))
    const before = { get: 0, ...counts }
    const all = [...tokens, randomBytes(32).toString('base64url')]
    t.strictSame(await Promise.all(all.map((token) => app.status(token))), [...tokens.map(() => 200), 401])
    const { get = 0, mget = 0, mGet = 0 } = counts
    t.ok(mget + mGet > 0 && get - before.get < tokens.length, JSON.stringify(counts))
  })

  t.test(`${kind}: a user of Redis without the right to run MGET reads each session alone`, { skip }, async (t) => {
    const name = `test-${randomBytes(6).toString('hex')}`
    await raw.call('ACL', 'SETUSER', name, 'on', '>secret', '~*', '&*', '+@all', '-mget')
    t.teardown(() => raw.call('ACL', 'DELUSER', name))
    const address = new URL(url)
    address.username = name
    address.password = 'secret'
    const app = await serve(t, { client: await clients[kind](t, address.href), keyPrefix: makePrefix(t) })
    await app.create()
    const tokens = await Promise.all(Array.from({ length: 5 }, () => app.token()))
    for (let round = 0; round < 2; round++) {
      t.strictSame(await Promise.all(tokens.map((token) => app.status(token))), tokens.map(() => 200))
    }
  })
}

/** Counts the calls of methods from now on. Call it before a strategy receives the client. */
function countCalls (client: object, names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  const methods = client as Record<string, ((...args: unknown[]) => unknown) | undefined>
  for (const name of names) {
    const method = methods[name]?.bind(client)
    if (method === undefined) continue
    methods[name] = (...args) => {
      counts[name] = (counts[name] ?? 0) + 1
      return method(...args)
    }
  }
  return counts
}

t.test('a token of another backend is not looked up in Redis', { skip }, async (t) => {
  const client = await clients.ioredis(t)
  const looked: string[] = []
  const get = client.get.bind(client)
  client.get = ((key: string) => {
    looked.push(key)
    return get(key)
  }) as typeof client.get
  const transport = bearerTransport()
  const built = await buildApp(t, {
    backends: [
      {
        name: 'redis',
        transport,
        strategy: redisStrategy({ client, lifetimeSeconds: LIFETIME, keyPrefix: makePrefix(t) })
      },
      { name: 'db', transport, strategy: databaseStrategy({ lifetimeSeconds: LIFETIME }) }
    ]
  })
  await built.create()
  const lookUpsOf = async (token: string): Promise<[number, number]> => {
    looked.length = 0
    const headers = { authorization: `Bearer ${token}` }
    return [(await built.send('GET', '/users/me', undefined, headers)).statusCode, looked.length]
  }
  for (const [name, lookUps] of [['redis', 1], ['db', 0]] as const) {
    const { access_token: token } = (await built.login(name, ARTHUR)).json<{ access_token: string }>()
    t.match(token, /^[\w-]{6}~[\w-]{43}$/)
    t.same(await lookUpsOf(token), [200, lookUps], name)
  }
  t.same(await lookUpsOf('a'.repeat(43)), [401, 1], 'a token without a marker may belong to every backend')
})

t.test('wrong and unknown options are refused', async (t) => {
  const client = raw
  const make = redisStrategy as (options: object) => unknown
  const wrong: [object, string][] = [
    [{ lifetimeSeconds: 1 }, 'INVALID_OPTION'],
    ...[null, {}, 'redis://127.0.0.1', () => {}, { get () {} }].map((value): [object, string] => [
      { client: value, lifetimeSeconds: 1 },
      'INVALID_OPTION'
    ]),
    [{ client, lifetimeSeconds: 1, keyPrefix: 1 }, 'INVALID_OPTION'],
    ...[0, -1, 1.5, NaN, Infinity, '1', null, 2 ** 31].map((timeoutMs): [object, string] => [
      { client, lifetimeSeconds: 1, timeoutMs },
      'INVALID_OPTION'
    ]),
    [{ client, lifetimeSeconds: 1, prefix: 'a' }, 'UNKNOWN_OPTION']
  ]
  for (const [options, word] of wrong) t.throws(() => make(options), { code: `FST_USERS_${word}` })
  for (const lifetimeSeconds of [undefined, 0, -1, 1.5, null]) {
    const backends = [
      { name: 'redis', transport: bearerTransport(), strategy: make({ client, lifetimeSeconds }) }
    ] as UsersOptions['backends']
    await t.rejects(buildApp(t, { backends }), { code: 'FST_USERS_INVALID_OPTION' })
  }
})
