import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, LimitsOptions, Row, UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { postgres } from '../lib/entries/postgres.js'
import { redisCounters, type RedisCountersOptions } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { counterModel } from '../lib/attempts/index.js'
import { manualClock } from '../lib/testing/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import {
  ARTHUR,
  assertErrorReply,
  buildApp,
  countedPasswords,
  PASSWORD,
  type TestApp
} from './helpers/build-app.js'
import { failLogins } from './helpers/fail-logins.js'
import { everyStore } from './helpers/every-store.js'
import { makePool, makeSchema, needsPostgres } from './helpers/postgres.js'
import { connectRedis } from './helpers/redis.js'
import { startLimitedProcess } from './helpers/server-process.js'

const { redis, skip: noRedis } = await connectRedis()
const REDIS_URL = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
const needsServers = await needsPostgres()
const UNKNOWN = 'mordred@camelot.bt'
const ACCOUNTS: LimitsOptions = { client: { login: false } }
const IN_A_ROW: LimitsOptions = { client: { login: false }, account: { failures: false, delay: false, stopAfter: 3 } }

interface LimitedApp extends TestApp {
  fail(times: number, email?: string): Promise<number[]>
}

async function start (t: Test, options: Partial<UsersOptions>, log: string[] = []): Promise<LimitedApp> {
  const clock = manualClock()
  const stream = { write: (line: string) => { log.push(line) } }
  const built = await buildApp(t, { clock, ...options }, undefined, { logger: { level: 'warn', stream } })
  return {
    ...built,
    tick: clock.tick,
    fail: (times, email = ARTHUR) => failLogins(built, times, email)
  }
}

/** Checks that counters are atomic, shared by two registrations, and reset by a login and by a reset. */
async function checkCounters (t: Test, options: () => Partial<UsersOptions>): Promise<void> {
  const { passwords, calls } = countedPasswords()
  const apps = [await start(t, { passwords, ...options() }), await start(t, { passwords, ...options() })] as const
  const [one, other] = apps
  await one.create()
  calls.length = 0
  const replies = await Promise.all(
    Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? one : other).login('jwt', ARTHUR, 'wrong'))
  )
  t.equal(calls.length, 5, 'RL-02: five passwords are checked')
  t.equal(replies.filter(({ statusCode }) => statusCode === 429).length, 55)
  assertErrorReply(t, await other.login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')

  for (const app of apps) app.tick(300)
  t.equal((await one.login('jwt', ARTHUR)).statusCode, 200)
  await one.app.users.settled()
  t.strictSame(await other.fail(6), [400, 400, 400, 400, 400, 429], 'the login has reset the account for both')

  await one.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const payload = { token: await one.tokenOf('onAfterForgotPassword'), password: 'excalibur-9' }
  t.equal((await one.send('POST', '/auth/reset-password', payload)).statusCode, 200)
  t.equal((await other.login('jwt', ARTHUR, 'excalibur-9')).statusCode, 200, 'the reset has lifted the limit for both')
}

for (const store of everyStore) {
  t.test(`RL-02, RL-07, RL-14: counters in the database are exact: ${store.name}`, store.options, async (t) => {
    const open = await store.open(t)
    await checkCounters(t, () => ({ adapter: open(), limits: { ...ACCOUNTS, store: 'database' } }))
  })
}

const redisClients: Record<string, (t: Test) => Promise<RedisCountersOptions['client']>> = {
  ioredis: async () => redis,
  'node-redis': async (t) => {
    const client = createClient({ url: REDIS_URL })
    await client.connect()
    t.teardown(() => {
      client.destroy()
    })
    return client
  }
}
for (const [name, connect] of Object.entries(redisClients)) {
  t.test(`RL-02, RL-07, RL-14: counters in Redis are exact: ${name}`, { skip: noRedis }, async (t) => {
    const client = await connect(t)
    const keyPrefix = `${randomUUID()}:`
    const adapter = memory()
    await checkCounters(t, () => ({
      adapter,
      limits: { ...ACCOUNTS, store: redisCounters({ client, keyPrefix }) }
    }))
    const keys = await redis.keys(`${keyPrefix}*`)
    t.ok(keys.length > 0)
    for (const key of keys) t.not(await redis.pttl(key), -1, 'every counter ends')
    t.notMatch(keys.join(), /camelot|127\.0\.0\.1/, 'keys contain neither e-mails nor IP addresses')
  })
}

for (const counters of ['database', 'redis'] as const) {
  t.test(
    `RL-02, RL-14: of 200 simultaneous wrong logins at two processes, 5 are checked: counters in ${counters}`,
    { skip: needsServers.skip === false ? noRedis : needsServers.skip },
    async (t) => {
      const { schema, drop } = await makeSchema()
      t.teardown(drop)
      const prefix = counters === 'redis' ? `${randomUUID()}:` : undefined
      const one = await startLimitedProcess(t, schema, prefix)
      const other = await startLimitedProcess(t, schema, prefix)
      t.equal((await one.post('/auth/register', { email: ARTHUR, password: PASSWORD })).status, 201)
      const replies = await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          (n % 2 === 0 ? one : other).post('/auth/jwt/login', { username: ARTHUR, password: 'wrong' })
        )
      )
      const statuses = replies.map(({ status }) => status)
      t.equal(statuses.filter((status) => status === 400).length, 5)
      t.equal(statuses.filter((status) => status === 429).length, 195)
      const checked = await Promise.all(
        [one, other].map(async (process) => {
          const reply = await process.post('/checked', undefined, {}, 'GET')
          return ((await reply.json()) as { checked: number }).checked
        })
      )
      t.equal(checked.reduce((sum, count) => sum + count, 0), 5)
    }
  )
}

t.test('a login calls the counters once per client and once per account before the hash', async (t) => {
  const store = watchedAdapter(sqlite(':memory:'))
  let isChecked = false
  const { passwords } = countedPasswords()
  const verifyAndUpdate: typeof passwords.verifyAndUpdate = (...args) => {
    isChecked = true
    return passwords.verifyAndUpdate(...args)
  }
  const { create, login, app } = await start(t, {
    adapter: store.adapter,
    passwords: { ...passwords, verifyAndUpdate },
    limits: {}
  })
  await create()
  for (const [password, status] of [[PASSWORD, 200], ['wrong', 400], ['wrong', 400], [PASSWORD, 200]] as const) {
    const calls = { before: 0, after: 0 }
    isChecked = false
    store.watch(({ model, proceed }) => {
      if (model.name === counterModel.name) calls[isChecked ? 'after' : 'before']++
      return proceed()
    })
    t.equal((await login('jwt', ARTHUR, password)).statusCode, status)
    t.equal(calls.before, 2, 'one for the client, one for the account')
    if (status === 400) t.equal(calls.after, 0)
    await app.users.settled()
    if (status === 200) t.equal(calls.after, 2, 'after the reply, one for the client and one for the account')
    store.watch()
  }
})

t.test('a guarded request calls no counter', async (t) => {
  const store = watchedAdapter(sqlite(':memory:'))
  const { create, bearer, send, app } = await start(t, { adapter: store.adapter, limits: {} })
  await create()
  const headers = await bearer(ARTHUR)
  await app.users.settled()
  const models: string[] = []
  store.watch(({ model, proceed }) => {
    models.push(model.name)
    return proceed()
  })
  t.equal((await send('GET', '/guarded', undefined, headers)).statusCode, 200)
  t.notOk(models.includes(counterModel.name))
})

t.test('the table contains neither e-mails nor IP addresses, and loses rows whose time is over', async (t) => {
  const adapter = sqlite(':memory:')
  const { fail, tick, login, app } = await start(t, { adapter, limits: {} })
  await fail(3, UNKNOWN)
  const rows = (): Promise<Row[]> => adapter.findMany(counterModel, {}, { limit: 100 })
  t.equal((await rows()).length, 2)
  t.notMatch(JSON.stringify(await rows()), /mordred|camelot|127\.0/)
  tick(31 * 86_400)
  await login('jwt', ARTHUR, 'wrong')
  await app.users.settled()
  t.equal((await rows()).length, 2, 'only the two new rows are left')
})

t.test('DEP-04: the stop after failures in a row survives the loss of the counters in Redis', { skip: noRedis }, async (t) => {
  const keyPrefix = `${randomUUID()}:`
  const adapter = sqlite(':memory:')
  const { create, fail, login, send, tokenOf } = await start(t, {
    adapter,
    limits: { ...IN_A_ROW, store: redisCounters({ client: redis, keyPrefix }) }
  })
  const flush = async (): Promise<void> => {
    await redis.del(...(await redis.keys(`${keyPrefix}*`)))
  }
  await create()
  for (const email of [ARTHUR, UNKNOWN]) {
    t.strictSame(await fail(4, email), [400, 400, 400, 429])
    await flush()
    t.strictSame(await fail(2, email), [429, 429], email)
    await flush()
  }
  assertErrorReply(t, await login('jwt', ARTHUR), 429, 'TOO_MANY_ATTEMPTS')
  await send('POST', '/auth/forgot-password', { email: ARTHUR })
  const payload = { token: await tokenOf('onAfterForgotPassword'), password: 'excalibur-9' }
  t.equal((await send('POST', '/auth/reset-password', payload)).statusCode, 200)
  await flush()
  t.equal((await login('jwt', ARTHUR, 'excalibur-9')).statusCode, 200)
})

t.test('RL-13: if the counters cannot be reached, attempts get 503 or are counted in memory, and no password is checked', async (t) => {
  const { passwords, calls } = countedPasswords()
  for (const whenUnavailable of ['refuse', 'memory'] as const) {
    const client = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null, enableOfflineQueue: false })
    client.on('error', () => {})
    t.teardown(() => {
      client.disconnect()
    })
    const log: string[] = []
    const { create, fail, send } = await start(t, {
      adapter: memory(),
      passwords,
      limits: { store: redisCounters({ client, timeoutMs: 1000 }), whenUnavailable }
    }, log)
    await create()
    calls.length = 0
    if (whenUnavailable === 'refuse') {
      t.strictSame(await fail(2), [503, 503])
      t.equal(calls.length, 0)
      for (const url of ['/auth/forgot-password', '/auth/request-verify-token']) {
        assertErrorReply(t, await send('POST', url, { email: ARTHUR }), 503, 'STORE_UNAVAILABLE', 'Service Unavailable')
      }
    } else {
      t.strictSame(await fail(6), [400, 400, 400, 400, 400, 429])
      t.equal(calls.length, 5)
      t.equal(log.filter((line) => line.includes('the counters cannot be reached')).length, 1)
    }
  }
})

t.test('RL-13: if the database with the counters fails, a login gets 503 and no password is checked', async (t) => {
  const { passwords, calls } = countedPasswords()
  const store = watchedAdapter(sqlite(':memory:'))
  const { create, login } = await start(t, { adapter: store.adapter, passwords, limits: {} })
  await create()
  calls.length = 0
  store.watch(({ model, proceed }) => {
    if (model.name === counterModel.name) throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
    return proceed()
  })
  t.equal((await login('jwt', ARTHUR)).statusCode, 503)
  t.equal(calls.length, 0)
})

t.test('RL-14: counters in memory on a database server log one warning', needsServers, async (t) => {
  const cases: [string, () => Promise<[DatabaseAdapter, Partial<UsersOptions>]>, number][] = [
    ['on PostgreSQL', async () => [postgres((await makePool(t)).pool, { createTables: true }), { limits: { store: 'memory' } }], 1],
    ['with FastAPI Users on PostgreSQL', async () => [postgres((await makePool(t)).pool, { createTables: true }), { limits: {}, compatibility: 'fastapi-users' }], 1],
    ['in the database', async () => [postgres((await makePool(t)).pool, { createTables: true }), { limits: {} }], 0],
    ['on SQLite', async () => [sqlite(':memory:'), { limits: { store: 'memory' } }], 0],
    ['in memory', async () => [memory(), { limits: {} }], 0]
  ]
  for (const [what, open, count] of cases) {
    const [adapter, options] = await open()
    const log: string[] = []
    await start(t, { adapter, ...options }, log)
    t.equal(log.filter((line) => line.includes('limits are counted in the memory')).length, count, what)
  }
})
