import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { bearerTransport, type DatabaseAdapter, type Row, type UsersOptions } from '../../lib/index.js'
import { postgres } from '../../lib/entries/postgres.js'
import { redisStrategy } from '../../lib/entries/redis.js'
import { startTcpProxy, type TcpProxy } from '../fixtures/tcp-proxy.js'
import { ARTHUR, backends, buildApp, cookieOf, PASSWORD, type TestApp } from '../helpers/build-app.js'
import {
  addGuarded,
  changesOf,
  checkBroken,
  checkUnavailable,
  flows,
  isWholeChange,
  MERLIN,
  NEW_PASSWORD,
  start
} from '../helpers/flows.js'
import { configOf, makePool, needsPostgres, postgresUrl } from '../helpers/postgres.js'
import { connectRedis } from '../helpers/redis.js'

const service = await needsPostgres()
const createTables = true
const timeoutMs = 1500 // a busy machine answers much faster

/** PostgreSQL behind a proxy: `pool` connects through the proxy, `direct` without it. */
async function behindProxy (
  t: Test,
  config: pg.PoolConfig = {}
): Promise<{ proxy: TcpProxy; pool: pg.Pool; direct: pg.Pool }> {
  const { schema, pool: direct } = await makePool(t)
  const url = new URL(postgresUrl)
  const proxy = await startTcpProxy(url.hostname, Number(url.port || 5432))
  url.host = `127.0.0.1:${proxy.port}`
  const options = `-c search_path=${schema} -c synchronous_commit=off` // the tests do not crash the machine
  const pool = new pg.Pool(
    configOf(schema, { connectionString: url.href, connectionTimeoutMillis: timeoutMs, options, ...config })
  ).on('error', () => {})
  t.teardown(async () => {
    await proxy.refuse()
    await pool.end()
  })
  return { proxy, pool, direct }
}

const redisUrl = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
const { redis: raw, skip: noRedis } = await connectRedis()
const both = { skip: service.skip === false ? noRedis : service.skip }

/** Returns a backend with tokens in Redis. Its client closes a silent connection and retries soon. */
function redisBackend (t: Test, url: string): UsersOptions['backends'] {
  const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null, socketTimeout: timeoutMs }).on(
    'error',
    () => {}
  )
  const keyPrefix = `test-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    client.disconnect()
    for await (const keys of raw.scanStream({ match: `${keyPrefix}*`, count: 1000 })) {
      for (const key of keys as string[]) await raw.del(key)
    }
  })
  return [
    {
      name: 'redis',
      transport: bearerTransport(),
      strategy: redisStrategy({ client, keyPrefix, lifetimeSeconds: 3600, timeoutMs })
    }
  ]
}

/** A request of a flow. It is prepared while the servers work, sent during the fault, and sent again afterwards. */
interface Step {
  run(): Promise<LightMyRequestResponse>
  success: number
  backend?: string
}

const BACKENDS = ['jwt', 'cookie', 'redis']
const EVENTS = {
  onAfterRegister: 1,
  onAfterForgotPassword: 1,
  onAfterResetPassword: 1,
  onAfterVerify: 2,
  onAfterUpdate: 3,
  onAfterLogin: 3,
  onAfterDelete: 3,
  onAfterLogout: 3
}

/** Returns the steps of every flow. Steps that need a session exist for each backend and have their own users. */
async function makeSteps ({ app, create, login, send, tokenOf }: TestApp): Promise<Record<string, Step>> {
  const session = async (backend: string, email: string): Promise<Record<string, string>> => {
    const reply = await login(backend, email)
    return reply.statusCode === 204
      ? { cookie: cookieOf(reply) }
      : { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  }
  await create()
  await create({ email: MERLIN, is_superuser: true })
  await app.users.forgotPassword(ARTHUR)
  const reset = await tokenOf('onAfterForgotPassword')
  await create({ email: 'galahad@camelot.bt' })
  await app.users.requestVerify('galahad@camelot.bt')
  const verify = await tokenOf('onAfterRequestVerify')
  const steps: Record<string, Step> = {
    register: {
      run: () => send('POST', '/auth/register', { email: 'lancelot@camelot.bt', password: PASSWORD }),
      success: 201
    },
    'ask for a reset': { run: () => send('POST', '/auth/forgot-password', { email: MERLIN }), success: 202 },
    reset: { run: () => send('POST', '/auth/reset-password', { token: reset, password: NEW_PASSWORD }), success: 200 },
    verify: { run: () => send('POST', '/auth/verify', { token: verify }), success: 200 }
  }
  for (const backend of BACKENDS) {
    const email = `${backend}@camelot.bt`
    // each step that revokes sessions has its own user, so that the other steps are unaffected
    for (const name of ['', 'change.', 'leave.']) await create({ email: `${name}${email}` })
    const { id: victim } = await create({ email: `victim.${email}` })
    const [own, changing, leaving, admin] = [
      await session(backend, email),
      await session(backend, `change.${email}`),
      await session(backend, `leave.${email}`),
      await session(backend, MERLIN)
    ]
    const add = (name: string, success: number, run: Step['run']): void => {
      steps[`${name} by ${backend}`] = { run, success, backend }
    }
    add('log in', backend === 'cookie' ? 204 : 200, () => login(backend, email))
    add('read me', 200, () => send('GET', '/users/me', undefined, own))
    add('optional', 200, () => send('GET', '/optional', undefined, own))
    add('optional in a handler', 200, () => send('GET', '/inside', undefined, own))
    add('change', 200, () => send('PATCH', '/users/me', { email: `new.${email}` }, changing))
    add('delete', 204, () => send('DELETE', `/users/${victim}`, undefined, admin))
    add('log out', 204, () => send('POST', `/auth/${backend}/logout`, undefined, leaving))
  }
  return steps
}

/** Returns all stored rows as text. */
async function dump (pool: pg.Pool): Promise<string> {
  const all = await Promise.all(
    ['"user" t ORDER BY id', 'accesstoken t ORDER BY token'].map(
      async (from) => (await pool.query(`SELECT t::text FROM ${from}`)).rows as Row[]
    )
  )
  return JSON.stringify(all)
}

const kinds: Record<string, (proxy: TcpProxy) => Promise<void>> = {
  refuses: (proxy) => proxy.refuse(),
  'swallows everything': (proxy) => proxy.blackHole(),
  'is too slow': (proxy) => proxy.slow(timeoutMs * 3),
  'breaks off its answers': (proxy) => proxy.cutAfter(5)
}

for (const [kind, begin] of Object.entries(kinds)) {
  t.test(
    `DEP-01, DEP-02: while a server ${kind}, every flow with every backend replies 503 and changes nothing; afterwards it succeeds`,
    both,
    async (t) => {
      const { proxy, pool, direct } = await behindProxy(t)
      const { hostname, port } = new URL(redisUrl)
      const redisProxy = await startTcpProxy(hostname, Number(port || 6379))
      t.teardown(redisProxy.refuse)
      const list = [...backends(), ...redisBackend(t, `redis://127.0.0.1:${redisProxy.port}`)]
      const built = await buildApp(
        t,
        { adapter: postgres(pool, { createTables, timeoutMs }), backends: list },
        addGuarded
      )
      const { app, events, send } = built
      const steps = await makeSteps(built)
      const before = await dump(direct)
      events.length = 0

      for (const [store, faulty, needs] of [
        ['PostgreSQL', proxy, () => true],
        ['Redis', redisProxy, ({ backend }: Step) => backend === 'redis']
      ] as const) {
        await begin(faulty)
        const touched = Object.entries(steps).filter(([, step]) => needs(step))
        for (let round = 0; round < 2; round++) {
          await Promise.all(
            touched.map(async ([name, { run }]) => {
              checkUnavailable(t, await run(), `${store}: ${name}`)
            })
          )
        }
        await app.users.settled()
        t.equal(
          (await send('GET', '/optional')).body,
          'anonymous',
          'a request without a token is anonymous, even if the store is down'
        )
        t.equal(
          (await send('GET', '/users/me', undefined, { authorization: 'Bearer junk' })).statusCode,
          401,
          'a malformed token is refused without the store'
        )
        t.equal(await dump(direct), before, `${store}: nothing changed`)
        t.same(
          events.filter(({ name }) => name.startsWith('onAfter')),
          [],
          `${store}: no event is fired`
        )
        events.length = 0
        await faulty.slow(5)
        await settle(
          async () =>
            (
              await send('GET', '/users/me', undefined, {
                authorization: `Bearer ${randomBytes(32).toString('base64url')}`
              })
            ).statusCode === 401
        )
      }

      for (const [name, { run, success }] of Object.entries(steps)) {
        const reply = await run()
        t.equal(reply.statusCode, success, `${name}: works again`)
        if (name.startsWith('optional')) t.equal(reply.body, 'known')
      }
      await app.users.settled()
      const counts = Object.fromEntries(
        Object.keys(EVENTS).map((name) => [name, events.filter((event) => event.name === name).length])
      )
      t.same(counts, EVENTS, 'each event is fired once')
    }
  )
}

/** Waits until a condition is true that depends on the retries of a client. */
async function settle (isDone: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < 100 && !(await isDone()); n++) await sleep(20)
}

/** Returns the log lines of an application. */
function logged (): { logger: object; lines: { level: number; msg: string; err?: { message: string } }[] } {
  const lines: { level: number; msg: string; err?: { message: string } }[] = []
  return {
    lines,
    logger: {
      level: 'info',
      stream: {
        write: (line: string) => {
          lines.push(JSON.parse(line) as (typeof lines)[number])
        }
      }
    }
  }
}

for (const [kind, begin] of Object.entries(kinds)) {
  t.test(
    `DEP-01, DEP-02: an application starts while its PostgreSQL ${kind}, replies 503, and works as soon as the server is available`,
    service,
    async (t) => {
      const { proxy, pool, direct } = await behindProxy(t)
      const adapter = (): DatabaseAdapter => postgres(pool, { createTables, timeoutMs })
      await begin(proxy)
      const { logger, lines } = logged()
      const { app, send, login, register } = await buildApp(t, { adapter: adapter() }, addGuarded, { logger })
      t.match(
        lines.find(({ level }) => level === 50),
        { msg: /the database does not answer/ }
      )
      const opaque = { cookie: `__Host-users-cookie=${randomBytes(32).toString('base64url')}` }
      const asked = (): Promise<LightMyRequestResponse>[] => [
        login('jwt', ARTHUR),
        send('GET', '/optional', undefined, opaque),
        send('GET', '/users/me', undefined, opaque),
        send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      ]
      for (const reply of await Promise.all(asked())) checkUnavailable(t, reply, kind)
      t.equal((await send('GET', '/optional')).body, 'anonymous')
      t.equal((await send('GET', '/users/me')).statusCode, 401)
      await t.rejects(app.users.getByEmail(ARTHUR), { code: 'FST_USERS_STORE_UNAVAILABLE' })
      await proxy.pass()
      const [first, ...others] = await Promise.all([
        register(),
        ...Array.from({ length: 5 }, () => login('jwt', 'nobody@camelot.bt'))
      ])
      t.equal(first.email, ARTHUR, 'the first request opens the store')
      for (const { statusCode } of others) t.equal(statusCode, 400, 'the requests at the same time succeed, too')
      t.equal(lines.filter(({ msg }) => msg.includes('the database can be reached again')).length, 1, 'once')

      await begin(proxy)
      const later = await buildApp(t, { adapter: adapter() }, addGuarded)
      await later.app.close()
      await proxy.pass()
      t.same(
        (await direct.query('SELECT email FROM "user"')).rows,
        [{ email: ARTHUR }],
        'an application that closes before its store opens leaves nothing open'
      )
    }
  )
}

t.test(
  'DEP-01, DEP-02: wrong tables refuse to start; detected after the start, they cause 500 and a log entry until they are repaired',
  service,
  async (t) => {
    const { proxy, pool, direct } = await behindProxy(t)
    await direct.query('CREATE TABLE "user" (id UUID PRIMARY KEY, email TEXT, hashed_password TEXT)')
    await t.rejects(buildApp(t, { adapter: postgres(pool, { timeoutMs }) }), { code: 'FST_USERS_TABLE_MISMATCH' })
    const wrong = new pg.Pool({ connectionString: String(new URL('/no_such_database', postgresUrl)) })
    t.teardown(() => wrong.end())
    await t.rejects(
      buildApp(t, { adapter: postgres(wrong) }),
      {
        code: 'FST_USERS_INVALID_OPTION',
        message: /"no_such_database" does not exist; check the database name/
      },
      'a server that refuses a statement is not reported as unreachable'
    )
    await proxy.refuse()
    const { logger, lines } = logged()
    const { login, send, register } = await buildApp(
      t,
      { adapter: postgres(pool, { createTables, timeoutMs }) },
      addGuarded,
      { logger }
    )
    await proxy.pass()
    for (const reply of await Promise.all([
      login('jwt', ARTHUR),
      send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
    ])) {
      checkBroken(t, reply, 'tables that do not fit')
    }
    t.match(
      lines.filter(({ msg }) => msg.includes('opening it failed')),
      [{ level: 50, err: { message: /columns are missing: "is_active"/ } }]
    )
    await direct.query('DROP TABLE "user"')
    await t.resolves(register())
  }
)

t.test('DEP-01: an application closes while it still tries to open its store', service, async (t) => {
  const { proxy, pool } = await behindProxy(t)
  await proxy.blackHole()
  const { app } = await buildApp(t, { adapter: postgres(pool, { createTables, timeoutMs }) })
  const waiting = t.rejects(app.users.getByEmail(ARTHUR), { code: 'FST_USERS_STORE_UNAVAILABLE' })
  await app.close()
  await waiting
  await t.rejects(app.users.getByEmail(ARTHUR), { code: 'FST_USERS_NOT_READY' })
})

t.test(
  'RACE-05, DEP-01, DEP-02: a pool with one connection serves all flows in parallel; while the connection is in use elsewhere, they get 503',
  both,
  async (t) => {
    const { pool, direct } = await behindProxy(t, { max: 1, connectionTimeoutMillis: 0 })
    const built = await buildApp(
      t,
      {
        adapter: postgres(pool, { createTables, timeoutMs: timeoutMs * 3 }),
        backends: [...backends(), ...redisBackend(t, redisUrl)]
      },
      addGuarded
    )
    const steps = await makeSteps(built)
    const before = await dump(direct)
    const lent = await pool.connect()
    for (let round = 0; round < 2; round++) {
      await Promise.all(
        Object.entries(steps).map(async ([name, { run }]) => {
          checkUnavailable(t, await run(), name)
        })
      )
    }
    t.equal(await dump(direct), before, 'nothing changed')
    lent.release()
    await Promise.all(
      Object.entries(steps).map(async ([name, { run, success }]) => {
        t.equal((await run()).statusCode, success, `${name}: waits for the connection`)
      })
    )
  }
)

// flows with further tables store tokens or devices, partly after the reply: `npm run faults` runs them on PostgreSQL
const further = ['registration', 'tokens', 'detectNewDevices', 'features']
const flowsOfCoreTables = Object.entries(flows).filter(
  ([, { options = {} }]) => !further.some((name) => name in options)
)

for (const when of ['before', 'after'] as const) {
  t.test(
    `ERR-01, DEP-01, DEP-02, DEP-03: PostgreSQL: if a connection breaks ${when} any statement of any flow, no change is incomplete`,
    service,
    async (t) => {
      const { proxy, pool } = await behindProxy(t, { max: 1 })
      await start(t, {}, () => postgres(pool, { createTables }))
      for (const [flowName, flow] of flowsOfCoreTables) {
        let complete: string[] = []
        for (let k = 0; ; k++) {
          await pool.query('DELETE FROM "user"')
          const round = await start(t, flow.options, () => postgres(pool))
          const { app, store, own, session, send, login } = round
          const run = await flow.prepare(round)
          await app.users.settled()
          const before = { users: await store.rows('user'), tokens: await store.rows('accesstoken') }
          if (k > 0) proxy.cutAt(k, when)
          const reply = await run()
          const wasCut = k > 0 && proxy.hasCut
          proxy.cutAt(Infinity, when)
          await app.users.settled()
          const label = `${flowName}, statement ${k}`
          const changed = changesOf(before.users, await store.rows('user'))
          const tokens = changesOf(before.tokens, await store.rows('accesstoken'))
          if (k === 0) {
            complete = changed
            t.equal(reply.statusCode, flow.success, `${label}: succeeds without a fault`)
            // a lost reply to a read has no effect
            if (when === 'after' && changed.length + tokens.length === 0) break
            continue
          }
          if (!wasCut) {
            t.equal(reply.statusCode, flow.success, `${label}: succeeds without a fault`)
            t.ok(k > 1, `${label}: each earlier call failed once`)
            break
          }
          if (flow.bestEffort?.includes(k) === true) {
            t.equal(reply.statusCode, flow.success, `${label}: succeeds in spite of the fault`)
            continue
          }
          checkUnavailable(t, reply, label)
          t.ok(isWholeChange(changed, complete), `${label}: the change is complete or absent: ${changed.join(', ')}`)
          if (when === 'before') {
            t.notOk(
              tokens.includes('a new row'),
            `${label}: no session is stored whose token was not sent`
            )
          }
          const over = changed.some((name) => /session_stamp|no /.test(name))
          for (const headers of tokens.length === 0 ? [own, session] : [own]) {
            t.equal(
              (await send('GET', '/users/me', undefined, headers)).statusCode,
              over ? 401 : 200,
              `${label}: the sessions are all valid afterwards, or have all ended`
            )
          }
          const works = [
            (await login('jwt', ARTHUR)).statusCode === 200,
            (await login('jwt', ARTHUR, NEW_PASSWORD)).statusCode === 200
          ]
          t.notOk(works[0] === true && works[1] === true, `${label}: only one password is valid`)
          const again = await run()
          t.ok(
            again.statusCode === flow.success || changed.length > 0 || flow.success >= 400 || tokens.length > 0,
            `${label}: succeeds when the store works again (${again.statusCode})`
          )
        }
      }
    }
  )
}
