import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { apiKeys, type ApiKey, type ApiKeysOptions, type CreatedApiKey, type ServiceKey } from '../lib/features/api-keys/index.js'
import { createKeyFormat } from '../lib/features/api-keys/key-format.js'
import { isInRanges } from '../lib/features/api-keys/ip-ranges.js'
import { authenticate, FST_USERS_STORE_UNAVAILABLE, type AuditEvent, type DatabaseAdapter, type User, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { apiKeyModel } from '../lib/features/api-keys/key-model.js'
import { uuidId } from '../schemas/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { addRoutes, ARTHUR, assertErrorReply, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { checkAuditEvents, collectAuditEvents } from './helpers/audited-events.js'
import { everyStore } from './helpers/every-store.js'

type Headers = Record<string, string>
const KEYS = '/users/me/api-keys'
const SERVICES = '/service-accounts'
const LANCELOT = 'lancelot@camelot.bt'
const model = apiKeyModel(uuidId())

/** An application with the feature, a user and the headers of a session. */
interface KeyApp extends TestApp {
  user: User
  session: Headers
  createKey(values?: object, headers?: Headers): Promise<CreatedApiKey>
}

async function buildWithKeys (
  t: Test,
  options: Partial<UsersOptions> = {},
  keyOptions: Partial<ApiKeysOptions> = {}
): Promise<KeyApp> {
  const features = [apiKeys({ scopes: ['read', 'write'], ...keyOptions })]
  const built = await buildApp(t, { features, ...options }, (app) => {
    addRoutes(app)
    app.get('/reports', { onRequest: authenticate({ scopes: ['read'] }) }, async (request) => ({
      ...request.authentication,
      session: request.authentication?.session
    }))
    app.post('/reports', { onRequest: authenticate({ scopes: ['read', 'write'] }) }, async () => 'written')
    app.get('/any-key', { onRequest: authenticate({ backends: ['jwt', 'api-key'] }) }, async () => 'in')
    app.get('/keys-only', { onRequest: authenticate({ backends: ['api-key'], scopes: ['read'] }) }, async () => 'in')
    app.get('/optional', { onRequest: authenticate({ optional: true }) }, async ({ user }) => ({ user }))
    app.get('/admin', { onRequest: authenticate({ superuser: true, scopes: ['read'] }) }, async () => 'in')
    const twice = [authenticate({ scopes: ['read'] }), authenticate()]
    app.get('/session-after-key', { preHandler: twice }, async () => 'in')
  })
  const user = await built.create()
  const session = await built.bearer(ARTHUR)
  return {
    ...built,
    user,
    session,
    async createKey (values = {}, headers = session) {
      const reply = await built.send('POST', KEYS, { name: 'job', scopes: ['read'], ...values }, headers)
      if (reply.statusCode !== 201) throw new Error(`create: ${reply.statusCode} ${reply.body}`)
      return reply.json<CreatedApiKey>()
    }
  }
}

const withKey = ({ key }: { key: string }): Headers => ({ 'x-api-key': key })
const bearer = ({ key }: { key: string }): Headers => ({ authorization: `Bearer ${key}` })
const statusOf = async ({ send }: TestApp, url: string, headers: Headers): Promise<number> =>
  (await send('GET', url, undefined, headers)).statusCode

/** Returns a key with the same id, another secret and a right checksum. */
function forge (key: string): string {
  const body = key.slice(0, -7) + (key.at(-7) === '0' ? '1' : '0')
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const digits = Array.from({ length: 6 }, (_none, n) => alphabet.charAt(Math.floor(crc32(body) / 62 ** (5 - n)) % 62))
  return body + digits.join('')
}

/** Calls a function before each read of a row with its user. */
function beforeReads (adapter: DatabaseAdapter, call: () => void): void {
  const find = adapter.findWithUser?.bind(adapter)
  if (find === undefined) throw new Error('the adapter lacks findWithUser')
  adapter.findWithUser = (read, where) => {
    call()
    return find(read, where)
  }
}

for (const store of everyStore) {
  t.test(`KEY-02, KEY-04: ${store.name}: a key is created, used, listed, renamed and revoked`, store.options, async (t) => {
    const create = await store.open(t)
    const adapter = create()
    const built = await buildWithKeys(t, { adapter })
    const { send, session } = built
    const { key, ...created } = await built.createKey({ name: 'backup', ip_ranges: ['127.0.0.0/8'] })
    t.match(created, { name: 'backup', scopes: ['read'], ip_ranges: ['127.0.0.0/8'], expires_at: null, last_used_at: null })
    t.equal(created.last_four, key.slice(-4))
    for (const headers of [withKey({ key }), bearer({ key })]) {
      const reply = await send('GET', '/reports', undefined, headers)
      t.match(reply.json(), {
        user: { id: built.user.id },
        backend: 'api-key',
        session: { id: created.id, methods: [], authenticatedAt: null, details: { api_key: 'backup', scopes: ['read'] } }
      })
    }
    await built.app.users.settled()
    const [listed] = (await send('GET', KEYS, undefined, session)).json<ApiKey[]>()
    t.match(listed, { ...created, last_used_at: /^20/ })
    t.notOk((await send('GET', KEYS, undefined, session)).body.includes(key))
    t.match((await send('PATCH', `${KEYS}/${created.id}`, { name: 'other' }, session)).json(), { id: created.id, name: 'other' })
    const rows = await adapter.findMany(model, {}, { limit: 10 })
    t.notOk(JSON.stringify(rows).includes(key.split('_')[2] ?? key), 'the store contains no key')
    t.equal((await send('DELETE', `${KEYS}/${created.id}`, undefined, session)).statusCode, 204)
    t.equal(await statusOf(built, '/reports', withKey({ key })), 401)
    assertErrorReply(t, await send('DELETE', `${KEYS}/${created.id}`, undefined, session), 404, 'API_KEY_NOT_FOUND', 'Not Found')
    const service = await built.app.users.feature('api-keys').createService({ name: 'robot', scopes: ['read'] })
    t.equal(await statusOf(built, '/reports', withKey(service)), 200)
    await built.app.users.delete(service.user_id as User['id'])
    t.equal(await statusOf(built, '/reports', withKey(service)), 401, 'the key is deleted with its user')
    t.strictSame(await built.app.users.feature('api-keys').listServices(), [])
  })
}

t.test('KEY-02: keys have the documented form, more than 256 random bits and a checksum', async (t) => {
  const format = createKeyFormat('acme')
  const keys = Array.from({ length: 1000 }, () => format.generate())
  t.equal(new Set(keys.map(({ key }) => key)).size, 1000)
  t.equal(new Set(keys.map(({ id }) => id)).size, 1000)
  t.ok(43 * Math.log2(62) > 256)
  const pattern = new RegExp(format.pattern)
  for (const { id, key } of keys.slice(0, 20)) {
    t.match(key, /^acme_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
    t.ok(pattern.test(`const key = "${key}"`))
    t.equal(format.idOf(key), id)
    for (const at of [5, 22, 40, key.length - 1]) {
      const changed = `${key.slice(0, at)}${key[at] === 'x' ? 'y' : 'x'}${key.slice(at + 1)}`
      t.equal(format.idOf(changed), null, 'a changed character does not match the checksum')
    }
  }
  // CRC-32 of `fu_0123456789abcdef_` and 43 digits 0, computed with zlib of Python
  const fixed = `fu_0123456789abcdef_${'0'.repeat(43)}`
  t.equal(createKeyFormat('fu').idOf(`${fixed}43tVsP`), '0123456789abcdef')
  t.equal(createKeyFormat('fu').idOf(`${fixed}000000`), null)
  for (const text of ['', 'acme', 'acme__', 'other_0000000000000000_', 'a'.repeat(8192)]) t.equal(format.idOf(text), null)
})

t.test('KEY-05: keys are read from headers only, and a text of another form costs no read', async (t) => {
  const adapter = memory()
  let reads = 0
  beforeReads(adapter, () => {
    reads++
  })
  const built = await buildWithKeys(t, { adapter })
  const created = await built.createKey()
  const { key } = created
  reads = 0
  t.equal(await statusOf(built, '/keys-only', withKey(created)), 200)
  t.equal(reads, 1, 'one read for the key and its user')
  const other = await built.createKey()
  const wrongSecret = createKeyFormat('fu').generate().key.split('_')[2] ?? ''
  const cases: [string, string, Headers][] = [
    ['in the query', `/keys-only?api_key=${key}&access_token=${key}&x-api-key=${key}`, {}],
    ['in a cookie', '/keys-only', { cookie: `x-api-key=${key}; api-key=${key}; __Host-users-cookie=${key}` }],
    ['with another scheme', '/keys-only', { authorization: `Basic ${key}` }],
    ['with a space', '/keys-only', { 'x-api-key': `${key} x` }],
    ['two keys in one header', '/keys-only', { 'x-api-key': `${key}, ${key}` }],
    ['two headers with different keys', '/keys-only', { ...withKey(created), ...bearer(other) }],
    ['without its last character', '/keys-only', { 'x-api-key': key.slice(0, -1) }],
    ['in another case', '/keys-only', { 'x-api-key': key.toLowerCase() }],
    ['with another prefix', '/keys-only', { 'x-api-key': key.replace('fu_', 'fx_') }],
    ['with another secret', '/keys-only', { 'x-api-key': `fu_${created.id}_${wrongSecret}` }]
  ]
  reads = 0
  for (const [name, url, headers] of cases) t.equal(await statusOf(built, url, headers), 401, name)
  t.equal(reads, 0, 'the checksum refuses them')
  t.equal(await statusOf(built, '/keys-only', { ...withKey(created), ...bearer(created) }), 200, 'the same key twice')
  const unknown = createKeyFormat('fu').generate()
  t.equal(await statusOf(built, '/keys-only', withKey(unknown)), 401, 'an unknown key')
})

t.test('KEY-01, KEY-03: routes of the plugin and guards without scopes refuse keys', async (t) => {
  const built = await buildWithKeys(t)
  await built.app.users.update(built.user, { is_superuser: true })
  const session = await built.bearer(ARTHUR)
  const created = await built.createKey({ scopes: ['read', 'write'] }, session)
  const guarded = built.routes.filter(({ method }) => method !== 'HEAD')
  let refused = 0
  for (const { method, url, schema } of guarded) {
    const { security = [] } = (schema ?? {}) as { security?: unknown[] }
    if (security.length === 0) continue
    const path = url.replace(':id', String(built.user.id)).replace(':backend', 'jwt')
    for (const headers of [withKey(created), bearer(created)]) {
      const reply = await built.send(method as 'GET', path, method === 'GET' ? undefined : {}, headers)
      t.equal(reply.statusCode, 401, `${String(method)} ${url}`)
      refused++
    }
  }
  t.ok(refused >= 20, `${refused} requests`)
  t.equal(await statusOf(built, '/guarded', withKey(created)), 401)
  t.strictSame((await built.send('GET', '/optional', undefined, withKey(created))).json(), { user: null })
  t.equal(await statusOf(built, '/session-after-key', withKey(created)), 401, 'a later guard without scopes refuses it')
  t.equal(await statusOf(built, '/session-after-key', session), 200)
  t.equal((await built.app.users.get(built.user.id))?.is_active, true)
})

t.test('KEY-03: scopes narrow the rights of the owner, and a missing one is 403 insufficient_scope', async (t) => {
  const built = await buildWithKeys(t)
  const read = await built.createKey()
  const both = await built.createKey({ scopes: ['write', 'read', 'read'] })
  const none = await built.createKey({ scopes: [] })
  t.strictSame(both.scopes, ['write', 'read'])
  const cases: ['GET' | 'POST', string, CreatedApiKey | null, number][] = [
    ['GET', '/reports', read, 200],
    ['POST', '/reports', read, 403],
    ['GET', '/reports', both, 200],
    ['POST', '/reports', both, 200],
    ['GET', '/reports', none, 403],
    ['GET', '/any-key', none, 200],
    ['GET', '/admin', both, 403],
    ['GET', '/reports', null, 200],
    ['POST', '/reports', null, 200],
    ['GET', '/keys-only', null, 401]
  ]
  for (const [method, url, key, status] of cases) {
    const headers = key === null ? built.session : withKey(key)
    const reply = await built.send(method, url, undefined, headers)
    t.equal(reply.statusCode, status, `${method} ${url} ${key === null ? 'session' : key.scopes.join(' ')}`)
  }
  const refused = await built.send('POST', '/reports', undefined, withKey(read))
  t.match(refused.json(), { statusCode: 403, code: 'FST_USERS_INSUFFICIENT_SCOPE' })
  t.equal(refused.headers['www-authenticate'], 'Bearer error="insufficient_scope", scope="read write"')
  for (const scopes of ['read', [1], [], ['a b'], null]) {
    const late = buildApp(t, { features: [apiKeys({ scopes: ['read'] })] }, (app) => {
      app.get('/', { onRequest: authenticate({ scopes: scopes as string[] }) }, async () => '')
    })
    await t.rejects(late, { code: 'FST_USERS_GUARD_MISUSED' }, JSON.stringify(scopes))
  }
})

t.test('KEY-01, KEY-03: a key is refused after its end, for another IP address, and with an inactive or deleted owner', async (t) => {
  const built = await buildWithKeys(t, {}, { maxLifetimeSeconds: 3600 })
  const short = await built.createKey({ expires_at: new Date(Date.now() + 60_000).toISOString() })
  const longest = await built.createKey()
  t.ok(Math.abs(new Date(String(longest.expires_at)).getTime() - Date.now() - 3_600_000) < 60_000)
  built.tick(59)
  t.equal(await statusOf(built, '/reports', withKey(short)), 200)
  built.tick(2)
  t.equal(await statusOf(built, '/reports', withKey(short)), 401)
  t.equal(await statusOf(built, '/reports', withKey(longest)), 200)
  const elsewhere = await built.createKey({ ip_ranges: ['192.0.2.1', '2001:db8::/32'] })
  t.equal(await statusOf(built, '/reports', withKey(elsewhere)), 401)
  await built.app.users.update(built.user, { is_active: false })
  t.equal(await statusOf(built, '/reports', withKey(longest)), 401)
  await built.app.users.update(built.user, { is_active: true })
  t.equal(await statusOf(built, '/reports', withKey(longest)), 200)
  await built.app.users.delete(built.user)
  t.equal(await statusOf(built, '/reports', withKey(longest)), 401)
})

t.test('IP ranges accept IP addresses and CIDR ranges of both families', async (t) => {
  const cases: [string, string[], boolean][] = [
    ['192.0.2.7', ['192.0.2.0/24'], true],
    ['::ffff:192.0.2.7', ['192.0.2.0/24'], true],
    ['192.0.3.7', ['192.0.2.0/24'], false],
    ['192.0.2.7', ['192.0.2.7'], true],
    ['2001:db8::1', ['192.0.2.0/24', '2001:db8::/32'], true],
    ['2001:db9::1', ['2001:db8::/32'], false],
    ['', ['0.0.0.0/0', '::/0'], false],
    ['unknown', ['0.0.0.0/0', '::/0'], false]
  ]
  for (const [ip, ranges, expected] of cases) t.equal(isInRanges(ip, ranges), expected, `${ip} ${ranges.join(' ')}`)
})

t.test('KEY-01: invalid keys are refused, and the body cannot set the owner or the limits', async (t) => {
  const built = await buildWithKeys(t, {}, { maxLifetimeSeconds: 3600, maxKeys: 3 })
  const other = await built.create({ email: LANCELOT })
  const invalid: object[] = [
    { scopes: ['admin'] },
    { name: ' ' },
    { ip_ranges: ['10.0.0.0/33'] },
    { ip_ranges: ['10.0.0/8'] },
    { ip_ranges: ['10.0.0.0/8/8'] },
    { ip_ranges: ['fe80::1%eth0'] },
    { ip_ranges: ['example.com'] },
    { ip_ranges: ['10.0.0.0/-1'] },
    { expires_at: '2020-01-01T00:00:00Z' },
    { expires_at: '2999-01-01T00:00:00Z' }
  ]
  for (const values of invalid) {
    const reply = await built.send('POST', KEYS, { name: 'job', scopes: ['read'], ...values }, built.session)
    t.strictSame([reply.statusCode, reply.json<{ code: string }>().code], [400, 'FST_USERS_API_KEY_INVALID'], JSON.stringify(values))
  }
  for (const values of [{ name: '' }, { name: 1 }, { scopes: 'read' }, { scopes: [1] }, { expires_at: 'soon' }, { ip_ranges: '::1' }]) {
    const reply = await built.send('POST', KEYS, { name: 'job', scopes: ['read'], ...values }, built.session)
    t.strictSame([reply.statusCode, reply.json<{ code: string }>().code], [400, 'FST_ERR_VALIDATION'], JSON.stringify(values))
  }
  const created = await built.createKey({ user_id: other.id, userId: other.id, is_service: true, id: 'mine', key: 'mine', digest: 'x' })
  t.not(created.id, 'mine')
  t.equal((await built.send('GET', '/reports', undefined, withKey(created))).json<{ user: User }>().user.id, built.user.id)
  t.strictSame(await built.app.users.feature('api-keys').listServices(), [])
  await built.createKey()
  await built.createKey()
  const full = await built.send('POST', KEYS, { name: 'job', scopes: [] }, built.session)
  assertErrorReply(t, full, 400, 'API_KEY_LIMIT_REACHED')
})

t.test('KEY-01: users see and change only their own keys', async (t) => {
  const built = await buildWithKeys(t)
  const created = await built.createKey()
  await built.create({ email: LANCELOT })
  const other = await built.bearer(LANCELOT)
  t.strictSame((await built.send('GET', KEYS, undefined, other)).json(), [])
  for (const id of [created.id, 'unknown', `${created.id}x`]) {
    const renamed = await built.send('PATCH', `${KEYS}/${id}`, { name: 'stolen' }, other)
    assertErrorReply(t, renamed, 404, 'API_KEY_NOT_FOUND', 'Not Found')
    const revoked = await built.send('DELETE', `${KEYS}/${id}`, undefined, other)
    assertErrorReply(t, revoked, 404, 'API_KEY_NOT_FOUND', 'Not Found')
  }
  t.equal(await statusOf(built, '/reports', withKey(created)), 200)
  t.match((await built.send('GET', KEYS, undefined, built.session)).json(), [{ name: 'job' }])
})

t.test('KEY-01: with sensitiveChanges: confirm, a new key needs a fresh login or the current password', async (t) => {
  const built = await buildWithKeys(t, { sensitiveChanges: 'confirm' })
  const body = { name: 'job', scopes: ['read'] }
  t.equal((await built.send('POST', KEYS, body, built.session)).statusCode, 201)
  built.tick(302)
  for (const [current, code] of [
    [undefined, 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION'],
    ['wrong-password', 'FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD']
  ] as const) {
    const reply = await built.send('POST', KEYS, { ...body, current_password: current }, built.session)
    t.equal(reply.json<{ code: string }>().code, code)
  }
  t.equal((await built.send('POST', KEYS, { ...body, current_password: PASSWORD }, built.session)).statusCode, 201)
})

t.test('only superusers create, list and delete service accounts, which cannot log in', async (t) => {
  const built = await buildWithKeys(t)
  const body = { name: 'robot', scopes: ['read'] }
  for (const [method, url] of [['GET', SERVICES], ['POST', SERVICES], ['DELETE', `${SERVICES}/x`]] as const) {
    const payload = method === 'POST' ? body : undefined
    t.equal((await built.send(method, url, payload)).statusCode, 401)
    t.equal((await built.send(method, url, payload, built.session)).statusCode, 403)
  }
  await built.app.users.update(built.user, { is_superuser: true })
  const admin = await built.bearer(ARTHUR)
  const created = await built.send('POST', SERVICES, body, admin)
  t.equal(created.statusCode, 201, created.body)
  const service = created.json<ServiceKey & { key: string }>()
  const { user } = (await built.send('GET', '/reports', undefined, withKey(service))).json<{ user: User }>()
  t.match(user, { id: service.user_id, email: /@service\.invalid$/, is_superuser: false, is_active: true })
  t.equal((await built.login('jwt', user.email, '')).statusCode, 400)
  t.equal((await built.login('jwt', user.email, PASSWORD)).statusCode, 400)
  const { key, ...listed } = service
  t.match((await built.send('GET', SERVICES, undefined, admin)).json(), [{ ...listed, last_used_at: String }])
  t.equal((await built.send('DELETE', `${SERVICES}/${service.id}`, undefined, admin)).statusCode, 204)
  t.equal(await statusOf(built, '/reports', withKey({ key })), 401)
  t.equal(await built.app.users.get(user.id), null)
  const own = await built.createKey({}, admin)
  const wrong = await built.send('DELETE', `${SERVICES}/${own.id}`, undefined, admin)
  assertErrorReply(t, wrong, 404, 'API_KEY_NOT_FOUND', 'Not Found')
  t.ok(built.events.some(({ name }) => name === 'onAfterCreateApiKey'))
  t.ok(built.events.some(({ name }) => name === 'onAfterRevokeApiKey'))
  t.notOk(JSON.stringify(built.events).includes(key), 'events contain no key')
})

t.test('KEY-05: a failing store never makes a request with a key anonymous', async (t) => {
  const adapter = memory()
  let isDown = false
  beforeReads(adapter, () => {
    if (isDown) throw FST_USERS_STORE_UNAVAILABLE()
  })
  const built = await buildWithKeys(t, { adapter })
  const created = await built.createKey()
  isDown = true
  for (const url of ['/reports', '/any-key', '/keys-only']) t.equal(await statusOf(built, url, withKey(created)), 503, url)
  isDown = false
  t.equal(await statusOf(built, '/reports', withKey(created)), 200)
})

t.test('KEY-04: the last use is written at most once per minute, and a failing write does not fail the request', async (t) => {
  const adapter = memory()
  let writes = 0
  let isDown = false
  const update = adapter.update.bind(adapter)
  adapter.update = async (written, where, changes) => {
    if (written.name === 'api_key') writes++
    if (isDown) throw FST_USERS_STORE_UNAVAILABLE()
    return await update(written, where, changes)
  }
  const built = await buildWithKeys(t, { adapter })
  const created = await built.createKey()
  const use = async (): Promise<number> => {
    const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(built, '/reports', withKey(created))))
    await built.app.users.settled()
    return statuses.filter((status) => status === 200).length
  }
  t.equal(await use(), 20)
  t.equal(writes, 1)
  built.tick(30)
  t.equal(await use(), 20)
  t.equal(writes, 1)
  built.tick(31)
  isDown = true
  t.equal(await use(), 20, 'the store refuses the write')
  isDown = false
  const before = writes
  t.equal(await use(), 20)
  t.equal(writes, before + 1, 'the next request tries again')
})

t.test('RACE-04, KEY-04: a key that is revoked while it is used is refused from then on, and its use writes no row', async (t) => {
  const adapter = memory()
  const built = await buildWithKeys(t, { adapter })
  for (let i = 0; i < 20; i++) {
    const created = await built.createKey()
    const [, revoked] = await Promise.all([
      statusOf(built, '/reports', withKey(created)),
      built.send('DELETE', `${KEYS}/${created.id}`, undefined, built.session),
      statusOf(built, '/reports', withKey(created))
    ])
    t.equal(revoked.statusCode, 204)
    t.equal(await statusOf(built, '/reports', withKey(created)), 401)
  }
  await built.app.users.settled()
  t.strictSame(await adapter.findMany(model, {}, { limit: 10 }), [])
})

t.test('RST-13: keys of an unverified user are deleted when the owner of the e-mail proves it', async (t) => {
  const built = await buildWithKeys(t)
  const created = await built.createKey()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const token = await built.tokenOf('onAfterForgotPassword')
  t.equal((await built.send('POST', '/auth/reset-password', { token, password: 'lancelot-22' })).statusCode, 200)
  t.equal(await statusOf(built, '/reports', withKey(created)), 401)
  const session = await built.bearer(ARTHUR, 'lancelot-22')
  const later = await built.createKey({}, session)
  await built.app.users.update(built.user, { password: 'galahad-333' })
  t.equal(await statusOf(built, '/reports', withKey(later)), 200, 'a new password of a verified user keeps the keys')
  t.equal(await built.app.users.feature('api-keys').revokeAll(built.user), 1)
  t.equal(await statusOf(built, '/reports', withKey(later)), 401)
})

t.test('wrong options of apiKeys and of its backend refuse to start', async (t) => {
  const wrong: Record<string, unknown>[] = [
    { scopes: 'read' },
    { scopes: undefined },
    { scopes: ['a b'] },
    { scopes: ['a"'] },
    { scopes: ['*'] },
    { scopes: ['read', 'read'] },
    { scopes: [], prefix: 'A' },
    { scopes: [], prefix: 'a_b' },
    { scopes: [], maxKeys: 0 },
    { scopes: [], maxLifetimeSeconds: -1 },
    { scopes: [], backend: 'API' },
    { scopes: [], routes: { own: true } },
    { scopes: [], scope: [] }
  ]
  for (const options of wrong) {
    t.throws(() => apiKeys(options as unknown as ApiKeysOptions), { code: /^FST_USERS_(INVALID|UNKNOWN)_OPTION$/ }, JSON.stringify(options))
  }
  await t.rejects(buildApp(t, { features: [apiKeys({ scopes: [], backend: 'jwt' })] }), { code: 'FST_USERS_DUPLICATE_BACKEND' })
  const { send } = await buildApp(t, { features: [apiKeys({ scopes: [], routes: { own: false, services: false } })] })
  t.equal((await send('GET', KEYS)).statusCode, 404)
  t.equal((await send('GET', SERVICES)).statusCode, 404)
})

t.test('AUD-01: created and revoked keys are audit events without the key', async (t) => {
  const events = collectAuditEvents(t)
  const built = await buildWithKeys(t)
  const { app, user, session, send, create, bearer: logIn } = built
  const api = app.users.feature('api-keys')
  const { id, key } = await built.createKey()
  await send('DELETE', `${KEYS}/${id}`, undefined, session)
  const merlin = await create({ email: 'merlin@camelot.bt', is_superuser: true })
  const admin = await logIn('merlin@camelot.bt')
  const service = (await send('POST', SERVICES, { name: 'job', scopes: ['read'] }, admin)).json<ServiceKey>()
  await send('DELETE', `${SERVICES}/${service.id}`, undefined, admin)
  const other = await api.create(user, { name: 'two', scopes: ['write', 'read'] })
  await api.revokeAll(user)
  await app.users.settled()
  const ofKeys = events.filter(({ event }) => event.startsWith('api_key.'))
  checkAuditEvents(t, ofKeys)
  t.same(
    ofKeys.map((each) => [each.event, each.actor_type, each.actor_id, each.target_id, each.details]),
    [
      ['api_key.create', 'user', String(user.id), String(user.id), { key: id, scopes: 'read' }],
      ['api_key.revoke', 'user', String(user.id), String(user.id), { key: id }],
      ['api_key.create', 'superuser', String(merlin.id), String(service.user_id), { key: service.id, scopes: 'read' }],
      ['api_key.revoke', 'superuser', String(merlin.id), String(service.user_id), { key: service.id }],
      ['api_key.create', 'code', null, String(user.id), { key: other.id, scopes: 'write read' }],
      ['api_key.revoke', 'code', null, String(user.id), { keys: 1 }]
    ]
  )
  t.notOk(JSON.stringify(ofKeys).includes(key))
})

t.test('AUD-01, KEY-01: the first use of a key and refused uses are audit events, other uses are none', async (t) => {
  const store = watchedAdapter(memory())
  const built = await buildWithKeys(t, { adapter: store.adapter })
  const { app, user, session, send, tick } = built
  const events = collectAuditEvents(t)
  const ofUse = (): AuditEvent[] => events.filter(({ event }) => /^api_key\.(?:first_use|refuse)$/.test(event))
  const use = async (key: string): Promise<number> => {
    const { statusCode } = await send('GET', '/reports', undefined, { 'x-api-key': key })
    await app.users.settled()
    return statusCode
  }
  const { id, key } = await built.createKey()
  t.equal(await use(key), 200)
  t.match(ofUse(), [{
    event: 'api_key.first_use',
    outcome: 'success',
    actor_type: 'user',
    target_id: String(user.id),
    details: { key: id },
    ip: '127.0.0.1'
  }])
  store.watch()
  t.equal(await use(key), 200)
  t.equal(store.calls, 1, 'another use costs one read and no write')
  tick(61)
  t.equal(await use(key), 200)
  t.equal(events.length, ofUse().length + 1, 'only the creation and the first use have been reported')
  t.equal(ofUse().length, 1)

  const expires = new Date(Date.now() + 600_000).toISOString()
  const { id: otherId, key: other } = await built.createKey({ expires_at: expires })
  const { id: farId, key: far } = await built.createKey({ ip_ranges: ['192.0.2.0/24'] })
  const { idOf } = createKeyFormat(key.split('_')[0] ?? '')
  const forged = forge(key)
  t.equal(idOf(forged), id, 'the checksum is right')
  await send('DELETE', `${KEYS}/${id}`, undefined, session)
  const revoked = [key, forged]
  for (const each of revoked) t.equal(await use(each), 401)
  t.equal(await use(far), 401)
  t.equal(await use(forge(other)), 401)
  tick(601)
  t.equal(await use(other), 401)
  t.equal(await use(`${key}x`), 401, 'without a right checksum, it is no key')
  const refused = ofUse().slice(1)
  t.same(refused.map(({ outcome, reason, target_id: target, details }) => [outcome, reason, target, details]), [
    ['blocked', 'UNKNOWN_KEY', 'GET /reports', { key: id }],
    ['blocked', 'UNKNOWN_KEY', 'GET /reports', { key: id }],
    ['blocked', 'WRONG_IP_ADDRESS', String(user.id), { key: farId }],
    ['blocked', 'WRONG_KEY', 'GET /reports', { key: otherId }],
    ['blocked', 'EXPIRED', String(user.id), { key: otherId }]
  ])
  checkAuditEvents(t, events)
  for (const secret of [key, other, far]) t.notOk(JSON.stringify(events).includes(secret))
})
