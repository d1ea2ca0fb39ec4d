import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type DatabaseAdapter,
  type UserId,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { mysql } from '../lib/entries/mysql.js'
import { postgres } from '../lib/entries/postgres.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { sessions, type SessionPage, type SessionsOptions, type UserSession } from '../lib/features/sessions/index.js'
import { userSessionModel } from '../lib/features/sessions/model.js'
import { accessTokenModel } from '../lib/strategies/database/access-token-model.js'
import { uuidId } from '../schemas/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { addRoutes, ARTHUR, assertErrorReply, assertValidationError, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { makeMysqlPool, needsMysql } from './helpers/mysql.js'
import { makePool, needsPostgres } from './helpers/postgres.js'
import { connectRedis } from './helpers/redis.js'
import { root } from './helpers/root.js'

type Headers = Record<string, string>

const { redis, skip: noRedis } = await connectRedis()
const OWN = '/users/me/sessions'
const LANCELOT = 'lancelot@camelot.bt'
const GARETH = 'gareth@camelot.bt'
const MERLIN = 'merlin@camelot.bt'
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'
const model = userSessionModel(uuidId())

const stored = (): BackendOptions[] => [
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) },
  { name: 'bearer', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
]
const jwt = (): BackendOptions => ({ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 600 }) })

interface ListApp extends TestApp {
  /** Logs in and returns the headers of the new session. */
  enter(backend: string, email?: string, headers?: Headers, remoteAddress?: string): Promise<Headers>
  list(headers: Headers, query?: string): Promise<UserSession[]>
  status(headers: Headers): Promise<number>
  /** Returns the id of the session of a request. */
  idOf(headers: Headers): Promise<string>
}

async function serve (
  t: Test,
  options: Partial<UsersOptions> = {},
  given: SessionsOptions | null = {}
): Promise<ListApp> {
  const features = [...(given === null ? [] : [sessions(given)]), ...(options.features ?? [])]
  const built = await buildApp(t, { backends: stored(), ...options, features }, (app) => {
    addRoutes(app)
    app.get('/session', { preHandler: app.authenticate }, async ({ authentication }) => authentication?.session)
  })
  const { app, send } = built
  const read = async (headers: Headers, query = ''): Promise<LightMyRequestResponse> => {
    await app.users.settled()
    return await send('GET', OWN + query, undefined, headers)
  }
  return {
    ...built,
    async enter (backend, email = ARTHUR, headers = {}, remoteAddress = '127.0.0.1') {
      const payload = { username: email, password: PASSWORD }
      const reply = await app.inject({ method: 'POST', url: `/auth/${backend}/login`, payload, headers, remoteAddress })
      if (reply.statusCode === 204) return { cookie: String(reply.headers['set-cookie']).split(';')[0] ?? '' }
      return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
    },
    list: async (headers, query) => (await read(headers, query)).json<SessionPage>().sessions,
    status: async (headers) => (await send('GET', '/guarded', undefined, headers)).statusCode,
    idOf: async (headers) => (await send('GET', '/session', undefined, headers)).json<{ id: string }>().id
  }
}

for (const { name, options, open } of everyStore) {
  t.test(`SL-01, SL-02: users list their sessions and end them, in two processes, on ${name}`, options, async (t) => {
    const makeAdapter = await open(t)
    const backends = (): BackendOptions[] => [...stored(), jwt()]
    const one = await serve(t, { adapter: makeAdapter(), backends: backends() })
    const two = await serve(t, { adapter: makeAdapter(), backends: backends() })
    const user = await one.create()
    await one.create({ email: LANCELOT })
    const browser = await one.enter('cookie', ARTHUR, { 'user-agent': FIREFOX }, '2001:db8::7')
    one.tick(1)
    two.tick(1)
    const phone = await two.enter('bearer', ARTHUR, { 'user-agent': IPHONE }, '::ffff:192.0.2.5')
    one.tick(1)
    two.tick(1)
    const token = await one.enter('jwt')
    await one.enter('bearer', LANCELOT)

    const listed = await two.list(browser)
    const ids = [await one.idOf(token), await one.idOf(phone), await one.idOf(browser)]
    t.same(listed.map(({ id }) => id), ids, 'the newest first, and only those of the user')
    t.match(listed[0], { backend: 'jwt', can_end: false, is_current: false, device: { kind: null, browser: null } })
    t.match(listed[1], {
      backend: 'bearer',
      methods: ['password'],
      can_end: true,
      is_current: false,
      is_remembered: false,
      device: { browser: 'Safari', system: 'iOS', kind: 'mobile' },
      ip_address: '192.0.2.5',
      created_at: /^20.*Z$/,
      last_seen_at: /^20.*Z$/
    })
    t.match(listed[2], {
      backend: 'cookie',
      is_current: true,
      device: { browser: 'Firefox', system: 'Linux', kind: 'desktop' },
      ip_address: '2001:db8::7'
    })

    const [, phoneId = ''] = ids
    t.equal((await two.send('DELETE', `${OWN}/${phoneId}`, undefined, browser)).statusCode, 204)
    t.same([await one.status(phone), await two.status(phone)], [401, 401], 'it ends in both processes')
    t.equal((await one.list(browser)).length, 2)

    t.equal((await one.send('DELETE', OWN, undefined, browser)).statusCode, 204)
    t.equal(await two.status(token), 401, 'the stamp ends signed tokens')
    await one.app.users.delete(user)
    await one.app.users.settled()
    const adapter = makeAdapter()
    adapter.define(model)
    t.equal((await two.send('GET', OWN, undefined, browser)).statusCode, 401)
  })
}

t.test('SL-02: a foreign, a random, a malformed and an ended id look the same', async (t) => {
  const { enter, create, idOf, send, status } = await serve(t)
  await create()
  await create({ email: LANCELOT })
  const own = await enter('bearer')
  const foreign = await enter('bearer', LANCELOT)
  const ended = await idOf(await enter('bearer'))
  t.equal((await send('DELETE', `${OWN}/${ended}`, undefined, own)).statusCode, 204)
  const ids = [await idOf(foreign), ended, 'AAAAAAAAAAAAAAAAAAAAAA', 'x'.repeat(65), 'x'.repeat(99), 'a%00b', '%20', '%F0%9F%97%A1', '..%2f..', "'; --", '__proto__']
  for (const id of ids) {
    const reply = await send('DELETE', `${OWN}/${id}`, undefined, own)
    assertErrorReply(t, reply, 404, 'SESSION_NOT_FOUND', 'Not Found', id)
  }
  t.equal(await status(foreign), 200)
})

t.test('SL-01: neither tokens nor their digests are in the list, and it needs a session', async (t) => {
  const adapter = memory()
  const { enter, create, send, app } = await serve(t, { adapter, backends: [...stored(), jwt()] })
  const { id } = await create()
  const all = [await enter('cookie'), await enter('bearer'), await enter('jwt')]
  const [own = {}] = all
  const { body } = await send('GET', OWN, undefined, own)
  const tokens = await adapter.findMany({ name: 'accesstoken', table: 'accesstoken', fields: {} }, {}, { limit: 10 })
  const secrets = [...all.map((headers) => Object.values(headers)[0]?.split(/[ =]/)[1]), ...tokens.map((row) => row['token'])]
  t.equal(secrets.length, 5)
  const rows = JSON.stringify(await adapter.findMany(model, {}, { limit: 10 }))
  for (const secret of secrets) {
    t.notOk(body.includes(String(secret)))
    t.notOk(rows.includes(String(secret)), 'nor in the table')
  }
  const exported = JSON.stringify(await app.users.exportData(id as UserId))
  for (const secret of secrets) t.notOk(exported.includes(String(secret)), 'nor in the export of the account')
  t.match(exported, '"ip_address":"127.0.0.1"')
  t.notOk(body.includes('stamp') || exported.includes('stamp'))
  for (const [method, url] of [['GET', OWN], ['DELETE', OWN], ['DELETE', `${OWN}/x`]] as const) {
    assertErrorReply(t, await send(method, url), 401, 'UNAUTHENTICATED', 'Unauthorized')
  }
  const evil = { ...own, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  assertErrorReply(t, await send('DELETE', OWN, undefined, evil), 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  await app.users.settled()
})

t.test('SL-02: with sensitiveChanges, ending sessions needs a fresh login or the current password', async (t) => {
  const { tick, enter, create, send, idOf, status } = await serve(t, { sensitiveChanges: 'confirm' })
  await create()
  const own = await enter('bearer')
  const other = await enter('bearer')
  for (const url of [OWN, `${OWN}/${await idOf(other)}`]) {
    assertErrorReply(t, await send('DELETE', url, { current_password: 'wrong' }, own), 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  }
  t.equal(await status(other), 200)
  tick(301)
  t.equal((await send('DELETE', OWN, {}, own)).json<{ code: string }>().code, 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION')
  t.equal((await send('DELETE', OWN, { current_password: PASSWORD }, own)).statusCode, 204)
  t.same([await status(own), await status(other)], [200, 401])
})

t.test('the current session can be ended like a logout, and a cookie session survives the end of all others', async (t) => {
  const { enter, create, send, idOf, status } = await serve(t, { backends: [...stored(), jwt()] })
  await create()
  const own = await enter('bearer')
  t.equal((await send('DELETE', `${OWN}/${await idOf(own)}`, undefined, own)).statusCode, 204)
  t.equal(await status(own), 401)
  const cookie = await enter('cookie')
  const reply = await send('DELETE', OWN, undefined, cookie)
  t.equal(reply.statusCode, 204)
  const renewed = { cookie: String(reply.headers['set-cookie']).split(';')[0] ?? '' }
  t.equal(await status(renewed), 200, 'a backend with signed tokens ends all sessions, and the reply renews this one')
  const signed = await enter('jwt')
  assertErrorReply(
    t, await send('DELETE', `${OWN}/${await idOf(signed)}`, undefined, signed), 409, 'SESSION_NOT_ENDABLE'
  )
  t.equal((await send('DELETE', OWN, undefined, signed)).statusCode, 204)
  t.equal(await status(signed), 401)
})

t.test('SL-03: superusers list and end the sessions of a user, and end all sessions of all users', async (t) => {
  const { app, enter, create, send, idOf, status, events } = await serve(t, { backends: [...stored(), jwt()] })
  const { id } = await create()
  await create({ email: MERLIN, is_superuser: true })
  const lancelot = await create({ email: LANCELOT })
  const admin = await enter('bearer', MERLIN)
  const [first, second] = [await enter('bearer'), await enter('cookie')]
  const url = `/users/${String(id)}/sessions`
  const page = (await send('GET', url, undefined, admin)).json<SessionPage>()
  t.same(page.sessions.map(({ is_current: isCurrent }) => isCurrent), [false, false])
  t.equal((await send('DELETE', `${url}/${await idOf(first)}`, undefined, admin)).statusCode, 204)
  t.same([await status(first), await status(second)], [401, 200])
  assertErrorReply(t, await send('DELETE', `${url}/${await idOf(admin)}`, undefined, admin), 404, 'SESSION_NOT_FOUND', 'Not Found')
  t.equal((await send('DELETE', url, undefined, admin)).statusCode, 204)
  t.equal(await status(second), 401)

  for (const unknown of ['00000000-0000-4000-8000-000000000000', 'x', 'me%00']) {
    for (const method of ['GET', 'DELETE'] as const) {
      assertErrorReply(t, await send(method, `/users/${unknown}/sessions`, undefined, admin), 404, 'NOT_FOUND', 'Not Found')
    }
  }
  const plain = await enter('bearer')
  for (const [method, path] of [['GET', url], ['DELETE', url], ['DELETE', `${url}/x`], ['DELETE', '/users/sessions']] as const) {
    assertErrorReply(t, await send(method, path, undefined, plain), 403, 'FORBIDDEN', 'Forbidden', `${method} ${path}`)
  }
  const everyone = [plain, admin, await enter('jwt'), await enter('jwt', LANCELOT), await enter('cookie', MERLIN)]
  t.same(await Promise.all(everyone.map(status)), [200, 200, 200, 200, 200])
  t.equal((await send('DELETE', '/users/sessions', undefined, admin)).statusCode, 204)
  t.same(await Promise.all(everyone.map(status)), [401, 401, 401, 401, 401])
  t.same((await app.users.feature('sessions').list(lancelot)).sessions, [])
  t.equal(await app.users.feature('sessions').endAllUsers(), 3)
  t.equal(await status(await enter('bearer')), 200, 'users can log in again')
  t.ok(events.length > 0)
})

t.test('SL-03: in a table of FastAPI Users without security stamps, the stored sessions of all users end', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-users-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'users.sqlite')
  copyFileSync(join(root, 'test/fixtures/fastapi-users.sqlite'), file)
  const { app, create, enter, status, idOf, list } = await serve(t, { adapter: sqlite(file) })
  await create({ email: GARETH })
  const own = await enter('bearer', GARETH)
  t.equal(await status(own), 200)
  t.same((await list(own)).map(({ id }) => id), [await idOf(own)])
  const count = await app.users.feature('sessions').endAllUsers()
  t.ok(count >= 2)
  t.equal(await status(own), 401)
})

t.test('sessions from before the feature was added are listed and can be ended', async (t) => {
  const adapter = memory()
  const before = await serve(t, { adapter }, null)
  await before.create()
  const old = [await before.enter('cookie', ARTHUR, { 'user-agent': FIREFOX }), await before.enter('bearer')]
  const after = await serve(t, { adapter, backends: [...stored(), jwt()] })
  const current = await after.enter('bearer')
  const listed = await after.list(current)
  t.equal(listed.length, 3)
  t.match(listed.filter(({ is_current: isCurrent }) => !isCurrent), [
    { can_end: true, backend: null, methods: ['password'], last_seen_at: null, ip_address: null, created_at: /^20/ },
    { can_end: true, backend: null }
  ])
  const [first = {}, second = {}] = old
  await after.send('GET', '/guarded', undefined, { ...first, 'user-agent': FIREFOX })
  const used = (await after.list(current)).filter(({ backend }) => backend === 'cookie')
  t.match(used, [{ device: { browser: 'Firefox' }, ip_address: '127.0.0.1', last_seen_at: /^20/ }], 'the first use is stored')
  for (const headers of old) {
    t.equal((await after.send('DELETE', `${OWN}/${await before.idOf(headers)}`, undefined, current)).statusCode, 204)
  }
  t.same([await after.status(first), await after.status(second)], [401, 401])
})

t.test('the list shows signed tokens until they expire or the stamp changes, and sessions with refresh tokens', async (t) => {
  const own = (): BackendOptions[] => [jwt(), ...stored()]
  const { app, enter, create, list, tick, send, idOf, status } = await serve(t, { backends: own() })
  const user = await create()
  const current = await enter('bearer')
  const signed = await enter('jwt')
  t.same((await list(current)).map(({ backend }) => backend).sort(), ['bearer', 'jwt'])
  tick(601)
  t.same((await list(current)).map(({ backend }) => backend), ['bearer'], 'expired')
  const other = await enter('jwt')
  await send('POST', '/auth/jwt/logout', undefined, other)
  t.same((await list(current)).map(({ backend }) => backend), ['bearer'], 'a logout removes it from the list')
  tick(61)
  t.equal(await status(other), 200)
  t.equal((await list(current)).length, 2, 'until it is used again')
  await app.users.endSessions(user)
  t.same((await list(await enter('bearer'))).map(({ backend }) => backend), ['bearer'])
  t.equal(await status(signed), 401)

  const refreshed = await serve(t, { backends: own(), features: [refreshTokens()] })
  await refreshed.create()
  const reply = await refreshed.login('jwt', ARTHUR)
  const { access_token: access, refresh_token: token } = reply.json<{ access_token: string; refresh_token: string }>()
  const id = await refreshed.idOf({ authorization: `Bearer ${access}` })
  refreshed.tick(3600)
  const page = await refreshed.list(await refreshed.enter('bearer'))
  t.match(page.find((one) => one.id === id), { backend: 'jwt', can_end: true }, 'a session with a refresh token lasts')
  await refreshed.send('POST', '/auth/jwt/refresh', { refresh_token: token })
  const again = await refreshed.list(await refreshed.enter('bearer'))
  const { created_at: created, last_seen_at: seen } = again.find((one) => one.id === id) ?? {}
  t.equal(Date.parse(seen ?? '') - Date.parse(created ?? '') >= 3_600_000, true, 'a refresh is a use of the same session')
  t.equal((await refreshed.send('DELETE', `${OWN}/${id}`, undefined, await refreshed.enter('bearer'))).statusCode, 204)
  t.equal((await refreshed.send('POST', '/auth/jwt/refresh', { refresh_token: token })).statusCode, 400)
  t.ok(await idOf(await enter('bearer')))
})

t.test('SL-01: hostile user agents and IP addresses are stored shortened and without control characters', async (t) => {
  const { enter, create, list } = await serve(t)
  await create()
  const agents = [
    '',
    'x'.repeat(100_000),
    `${'Mozilla/5.0 ('.repeat(10_000)}`,
    '\u0000\u0007\u001b[31m\u007f\u009b Firefox/1 Linux',
    '\ud800\udfff\udc00',
    '<script>alert(1)</script>/1 (evil.example)/2',
    "'; DROP TABLE user_session; --",
    'é ü ñ 🗡'
  ]
  let headers: Headers = {}
  for (const agent of agents) headers = await enter('bearer', ARTHUR, { 'user-agent': agent })
  for (const address of ['not an address', '999.1.1.1', 'fe80::1%eth0', '1'.repeat(1000), '::1']) {
    headers = await enter('bearer', ARTHUR, {}, address)
  }
  const listed = await list(headers)
  t.equal(listed.length, agents.length + 5)
  t.same(
    new Set(listed.map(({ ip_address: ip }) => ip)),
    new Set(['127.0.0.1', 'fe80::1%eth0', '::1', null])
  )
  t.same([...new Set(listed.map(({ device: { browser } }) => browser))].sort(), ['Firefox', null], 'only known names are shown')
  t.notMatch(JSON.stringify(listed), /script|DROP/)
})

t.test('SL-01, USR-11: pages of sessions have a limit and an order, and continue after the last session', async (t) => {
  const adapter = memory()
  const { app, enter, create, send, tick } = await serve(t, { adapter })
  const user = await create()
  const headers = await enter('bearer')
  for (let i = 0; i < 6; i++) {
    if (i % 2 === 0) tick(1) // pairs have the same time
    await app.users.login(user, { backend: 'bearer' })
  }
  const seen: string[] = []
  let after = ''
  for (let pages = 0; pages < 4; pages++) {
    const page = (await send('GET', `${OWN}?limit=2${after}`, undefined, headers)).json<SessionPage>()
    seen.push(...page.sessions.map(({ id }) => id))
    t.equal(page.next === null, pages === 3)
    after = `&after=${page.next ?? ''}`
  }
  t.equal(new Set(seen).size, 7)
  const first = (await send('GET', `${OWN}?limit=2`, undefined, headers)).body
  t.equal((await send('GET', `${OWN}?limit=2&sort=hashed_password&order=desc`, undefined, headers)).body, first)
  for (const query of ['limit=0', 'limit=101', 'limit=1e9', 'limit=1e1', 'limit=', 'limit=1&limit=2', 'after=', 'after=x', 'after=1.', `after=1.${'x'.repeat(65)}`]) {
    assertValidationError(t, await send('GET', `${OWN}?${query}`, undefined, headers), [`/${query.split('=')[0] ?? ''}`], query)
  }
  const unknown = await send('GET', `${OWN}?after=9999999999999999.~`, undefined, headers)
  t.equal(unknown.json<SessionPage>().sessions.length, 7)
})

t.test('routes of the feature can be switched off', async (t) => {
  const { create, enter, send } = await serve(t, {}, { routes: { own: false, superusers: false } })
  await create({ is_superuser: true })
  const headers = await enter('bearer')
  for (const url of [OWN, '/users/00000000-0000-4000-8000-000000000000/sessions']) {
    t.equal((await send('GET', url, undefined, headers)).statusCode, 404)
  }
})

t.test('DEP-03: if the store fails at any call of a login, no session stays that is not in the list', async (t) => {
  const store = watchedAdapter(memory())
  const { app, create, enter, login, list } = await serve(t, { adapter: store.adapter })
  const user = await create()
  await enter('bearer')
  await app.users.settled()
  store.watch()
  t.equal((await login('bearer', ARTHUR)).statusCode, 200)
  const { calls } = store
  for (let n = 1; n <= calls; n++) {
    store.watch((call) => {
      if (call.n === n) throw Object.assign(new Error('canary'), { code: 'ECONNREFUSED' })
      return call.proceed()
    })
    const reply = await login('bearer', ARTHUR)
    store.watch()
    t.equal(reply.statusCode, 503, `call ${n} of ${calls}`)
    await app.users.settled()
    await app.users.endSessions(user)
    t.equal((await store.rows('user_session')).length, 0)
  }
  t.equal((await list(await enter('bearer'))).length, 1)
})

const MANY = 10_000

const DIGITS = '(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)'
const NUMBERS = `${['a', 'b', 'c', 'e'].map((name) => `${DIGITS} AS ${name}`).join(', ')}`
/** Stores 10,000 copies of the only session. */
const COPY = `INSERT INTO accesstoken (token, session_id, user_id, created_at, session_stamp, methods)
  SELECT CONCAT('token-', a.d, b.d, c.d, e.d), CONCAT('session-', a.d, b.d, c.d, e.d), user_id, created_at, session_stamp, methods
  FROM accesstoken, ${NUMBERS}`

interface FilledStore {
  adapter: DatabaseAdapter
  fill(): Promise<unknown>
}
const large: Record<string, { skip: string | false; open(t: Test): Promise<FilledStore> }> = {
  SQLite: {
    skip: false,
    async open (t) {
      const folder = mkdtempSync(join(tmpdir(), 'fastify-users-'))
      t.teardown(() => {
        rmSync(folder, { recursive: true })
      })
      const file = join(folder, 'users.db')
      return {
        adapter: sqlite(file),
        async fill () {
          const database = new Database(file)
          database.exec(COPY.replace(/CONCAT\(([^)]*)\)/g, (_match, list: string) => list.split(', ').join(' || ')))
          database.close()
        }
      }
    }
  },
  PostgreSQL: {
    skip: (await needsPostgres()).skip,
    async open (t) {
      const { pool } = await makePool(t)
      return { adapter: postgres(pool, { createTables: true }), fill: () => pool.query(COPY) }
    }
  },
  MySQL: {
    skip: (await needsMysql()).skip,
    async open (t) {
      const { pool } = await makeMysqlPool(t)
      return { adapter: mysql(pool, { createTables: true }), fill: () => pool.query(COPY) }
    }
  }
}

for (const [name, { skip, open }] of Object.entries(large)) {
  t.test(`SL-02: 10,000 sessions of one user end with one request, on ${name}`, { skip }, async (t) => {
    const { adapter, fill } = await open(t)
    const { app, create, enter, send, status } = await serve(t, { adapter })
    const user = await create()
    const own = await enter('bearer')
    await fill()
    const { sessions: page, next } = (await send('GET', OWN, undefined, own)).json<SessionPage>()
    t.equal(page.length, 100)
    t.type(next, 'string')
    t.equal((await send('DELETE', OWN, undefined, own)).statusCode, 204)
    t.equal(await status(own), 200)
    t.equal((await app.users.feature('sessions').list(user)).sessions.length, 1)
    t.equal((await adapter.findMany(accessTokenModel(uuidId()), {}, { limit: 10 })).length, 1)
  })
}

t.test('SL-02: 10,000 sessions of one user end with one request, in Redis', { skip: noRedis }, async (t) => {
  const keyPrefix = `test-list-${process.pid}:`
  const strategy = redisStrategy({ client: redis, lifetimeSeconds: 3600, keyPrefix })
  const { create, enter, send, status } = await serve(t, { backends: [{ name: 'bearer', transport: bearerTransport(), strategy }] })
  await create()
  const own = await enter('bearer')
  const keys = await redis.keys(`${keyPrefix}*`)
  const setKey = keys.find((key) => key.startsWith(`${keyPrefix}user:`)) ?? ''
  const value = JSON.parse(String(await redis.get(keys.find((key) => key !== setKey) ?? ''))) as object
  const pipeline = redis.pipeline()
  for (let i = 0; i < MANY; i++) {
    pipeline.set(`${keyPrefix}token-${i}`, JSON.stringify({ ...value, sid: `session-${i}` }), 'EX', 60)
    pipeline.zadd(setKey, Date.now() + 60_000, `token-${i}`)
  }
  await pipeline.exec()
  t.equal((await send('GET', OWN, undefined, own)).json<SessionPage>().sessions.length, 100)
  t.equal((await send('DELETE', OWN, undefined, own)).statusCode, 204)
  t.equal(await status(own), 200)
  t.equal((await redis.keys(`${keyPrefix}token-*`)).length, 0)
  t.equal((await send('GET', OWN, undefined, own)).json<SessionPage>().sessions.length, 1)
  await redis.del(...(await redis.keys(`${keyPrefix}*`)))
})
