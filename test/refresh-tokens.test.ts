import t, { type Test } from 'tap'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import {
  authenticate,
  bearerTransport,
  jwtStrategy,
  type BackendOptions,
  type User,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { uuidId } from '../schemas/index.js'
import { refreshTokens, type RefreshTokensOptions } from '../lib/features/refresh-tokens/index.js'
import { refreshTokenModel } from '../lib/features/refresh-tokens/model.js'
import { ARTHUR, assertErrorReply, buildApp, PASSWORD, SECRET, type TestApp } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'

const NEW_PASSWORD = 'excalibur-22'
const LANCELOT = 'lancelot@camelot.bt'
const DAY = 86_400

const jwt = (name = 'jwt'): BackendOptions => ({ name, transport: bearerTransport(), strategy: jwtStrategy() })

interface Tokens {
  access_token: string
  refresh_token: string
  expires_in: number
}

interface Served extends TestApp {
  /** Logs in and returns both tokens. */
  start(email?: string, backend?: string): Promise<Tokens>
  refresh(token: unknown, backend?: string): Promise<LightMyRequestResponse>
  /** Refreshes and returns the new tokens. */
  renew(token: string): Promise<Tokens>
  /** Returns the status of a guarded request with an access token. */
  guarded(token: string): Promise<number>
  /** Returns the id of the session of an access token. */
  sessionOf(token: string): Promise<string>
  /** Returns how often a refresh token was used twice. */
  reuses(): number
}

async function serve (
  t: Test,
  options: Partial<UsersOptions> = {},
  feature: RefreshTokensOptions = {}
): Promise<Served> {
  const given = { backends: [jwt()], ...options, features: [refreshTokens(feature)] }
  const built = await buildApp(t, given, (app) => {
    app.get('/guarded', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
  })
  const { send, login } = built
  const refresh: Served['refresh'] = (token, backend = 'jwt') =>
    send('POST', `/auth/${backend}/refresh`, { grant_type: 'refresh_token', refresh_token: token })
  const read = (token: string): Promise<LightMyRequestResponse> =>
    send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` })
  return {
    ...built,
    refresh,
    async start (email = ARTHUR, backend = 'jwt') {
      const reply = await login(backend, email)
      if (reply.statusCode !== 200) throw new Error(`login: ${reply.statusCode} ${reply.body}`)
      return reply.json<Tokens>()
    },
    async renew (token) {
      const reply = await refresh(token)
      if (reply.statusCode !== 200) throw new Error(`refresh: ${reply.statusCode} ${reply.body}`)
      return reply.json<Tokens>()
    },
    guarded: async (token) => (await read(token)).statusCode,
    sessionOf: async (token) => (await read(token)).json<{ id: string }>().id,
    reuses: () => built.events.filter(({ name }) => name === 'onRefreshTokenReused').length
  }
}

function refused (t: Test, reply: LightMyRequestResponse, name?: string): void {
  assertErrorReply(t, reply, 400, 'REFRESH_TOKEN_INVALID', undefined, name)
}

t.test('a login returns a refresh token, which a form or JSON exchanges for new tokens of the same session', async (t) => {
  const { register, start, renew, send, guarded, sessionOf, tick, app } = await serve(t)
  await register()
  const first = await start()
  t.match(first, { token_type: 'bearer', expires_in: 600, refresh_token: String, access_token: String })
  const id = await sessionOf(first.access_token)

  tick(700)
  t.equal(await guarded(first.access_token), 401, 'the access token has expired')
  const second = await renew(first.refresh_token)
  t.match(second, { token_type: 'bearer', expires_in: 600 })
  t.not(second.refresh_token, first.refresh_token)
  t.equal(await guarded(second.access_token), 200)
  t.equal(await sessionOf(second.access_token), id, 'the session continues')
  const before = (await app.inject({ url: '/guarded', headers: { authorization: `Bearer ${second.access_token}` } }))
    .json<{ methods: string[]; authenticatedAt: string; createdAt: string }>()
  t.same(before.methods, ['password'])
  t.ok(before.authenticatedAt < before.createdAt, 'the time of the login is kept')

  const form = await app.inject({
    method: 'POST',
    url: '/auth/jwt/refresh',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: second.refresh_token }).toString()
  })
  t.equal(form.statusCode, 200, 'a form')
  t.equal(form.headers['cache-control'], 'no-store')
  const short = await send('POST', '/auth/jwt/refresh', { refresh_token: form.json<Tokens>().refresh_token })
  t.equal(short.statusCode, 200, 'JSON without grant_type')
})

t.test('RT-01: a token that was used before ends the session', async (t) => {
  const { register, start, renew, refresh, reuses, events, tick } = await serve(t)
  const user = await register()
  const other = await start()
  const first = await start()
  const second = await renew(first.refresh_token)
  const third = await renew(second.refresh_token)
  tick(11)
  refused(t, await refresh(first.refresh_token), 'the oldest token')
  t.equal(reuses(), 1)
  const { user: owner, backend } = events.find(({ name }) => name === 'onRefreshTokenReused') as unknown as {
    user: { id: unknown }
    backend: string
  }
  t.same([owner.id, backend], [user.id, 'jwt'])
  refused(t, await refresh(third.refresh_token), 'the newest token of the session')
  refused(t, await refresh(first.refresh_token), 'the session is over')
  t.equal(reuses(), 1, 'the event fires once')
  t.equal((await refresh(other.refresh_token)).statusCode, 200, 'other sessions of the user go on')
})

t.test('RT-02: for a few seconds, a used token returns the same successor again', async (t) => {
  const { register, start, renew, refresh, reuses, tick } = await serve(t)
  await register()
  const first = await start()
  const second = await renew(first.refresh_token)
  tick(9)
  const repeated = await renew(first.refresh_token)
  t.equal(repeated.refresh_token, second.refresh_token, 'no second branch')
  t.equal(reuses(), 0)
  const third = await renew(second.refresh_token)
  refused(t, await refresh(first.refresh_token), 'the successor was used, so the first token is two steps old')
  t.equal(reuses(), 1)
  refused(t, await refresh(third.refresh_token))
})

t.test('without a grace time, a repeated request ends the session', async (t) => {
  const { register, start, renew, refresh, reuses, tick } = await serve(t, {}, { graceSeconds: 0 })
  await register()
  const first = await start()
  await renew(first.refresh_token)
  tick(1)
  refused(t, await refresh(first.refresh_token))
  t.equal(reuses(), 1)
})

t.test('RT-03: refreshing does not extend the absolute end of a session', async (t) => {
  const lifetimes = { idleSeconds: 10 * DAY, absoluteSeconds: 25 * DAY }
  const { register, start, refresh, tick, reuses } = await serve(t, {}, lifetimes)
  await register()
  let { refresh_token: token } = await start()
  for (const day of [9, 18]) {
    tick(9 * DAY)
    const reply = await refresh(token)
    t.equal(reply.statusCode, 200, `day ${day}`)
    token = reply.json<Tokens>().refresh_token
  }
  tick(6.9 * DAY)
  const last = await refresh(token)
  t.equal(last.statusCode, 200, 'just before the end')
  tick(0.2 * DAY)
  refused(t, await refresh(last.json<Tokens>().refresh_token), 'after the end')

  const { refresh_token: unused } = await start()
  tick(10 * DAY)
  refused(t, await refresh(unused), 'unused for ten days')
  t.equal(reuses(), 0)
})

async function arthur ({ users }: FastifyInstance): Promise<User> {
  const user = await users.getByEmail(ARTHUR)
  if (user === null) throw new Error('no user')
  return user
}

const endings: Record<string, (served: Served, tokens: Tokens) => Promise<unknown>> = {
  'a logout': ({ send }, { access_token: token }) => send('POST', '/auth/jwt/logout', undefined, { authorization: `Bearer ${token}` }),
  'a new password': ({ send }, { access_token: token }) =>
    send('PATCH', '/users/me', { password: NEW_PASSWORD }, { authorization: `Bearer ${token}` }),
  'a new e-mail': ({ send }, { access_token: token }) =>
    send('PATCH', '/users/me', { email: 'arthur@avalon.bt' }, { authorization: `Bearer ${token}` }),
  'a password reset': async ({ send, tokenOf }) => {
    await send('POST', '/auth/forgot-password', { email: ARTHUR })
    await send('POST', '/auth/reset-password', { token: await tokenOf('onAfterForgotPassword'), password: NEW_PASSWORD })
  },
  'a deactivation and activation': async ({ app }) => {
    await app.users.update(await arthur(app), { is_active: false })
    await app.users.update(await arthur(app), { is_active: true })
  },
  endSessions: async ({ app }) => app.users.endSessions(await arthur(app)),
  'the deletion of the user': async ({ app }) => app.users.delete(await arthur(app)),
  'a revocation': ({ send }, { refresh_token: token }) => send('POST', '/auth/jwt/revoke', { token })
}

for (const [name, end] of Object.entries(endings)) {
  t.test(`RT-04: after ${name}, the refresh token is refused`, async (t) => {
    const served = await serve(t)
    await served.register()
    await served.register({ email: LANCELOT })
    const tokens = await served.start()
    const other = await served.start(LANCELOT)
    await end(served, tokens)
    refused(t, await served.refresh(tokens.refresh_token))
    t.equal(served.reuses(), 0)
    t.equal((await served.refresh(other.refresh_token)).statusCode, 200, 'sessions of other users go on')
  })
}

t.test('RT-04: a session whose row survived a crash is refused, because the stamp of the user has changed', async (t) => {
  const adapter = memory()
  const { register, start, refresh, app } = await serve(t, { adapter })
  const user = await register()
  const { refresh_token: token } = await start()
  const model = refreshTokenModel(uuidId())
  const [row] = await adapter.findMany(model, {}, { limit: 10 })
  await app.users.endSessions(user)
  await adapter.create(model, row as Record<string, unknown>)
  refused(t, await refresh(token))
})

t.test('RT-05, ERR-02: any other text is refused and ends no session', async (t) => {
  const { register, start, renew, refresh, reuses, send, guarded, tick } = await serve(
    t,
    { backends: [jwt(), jwt('other')] }
  )
  await register()
  await register({ email: LANCELOT })
  const first = await start()
  const foreign = await start(LANCELOT)
  const elsewhere = await start(ARTHUR, 'other')
  const tokens = await renew(first.refresh_token)
  tick(11)
  const [id = '', generation = '', mac = ''] = tokens.refresh_token.split('.')
  const [foreignId = '', , foreignMac = ''] = foreign.refresh_token.split('.')
  const flipped = (mac.startsWith('A') ? 'B' : 'A') + mac.slice(1)
  const texts: Record<string, string> = {
    'an access token': tokens.access_token,
    'another mac': `${id}.${generation}.${flipped}`,
    'an old generation with another mac': `${id}.0.${flipped}`,
    'an old generation with the mac of the new one': `${id}.0.${mac}`,
    'a later generation': `${id}.7.${mac}`,
    'a generation with a leading zero': `${id}.01.${mac}`,
    'a negative generation': `${id}.-1.${mac}`,
    'a huge generation': `${id}.99999999999999.${mac}`,
    'the session of another user': `${foreignId}.${generation}.${mac}`,
    'the mac of another user': `${id}.${generation}.${foreignMac}`,
    'an unknown session': `${'x'.repeat(22)}.0.${mac}`,
    'one character less': tokens.refresh_token.slice(0, -1),
    'one character more': `${tokens.refresh_token}A`,
    'white space': ` ${tokens.refresh_token}`,
    NUL: `${id}\u0000.${generation}.${mac}`,
    'a token of another backend': elsewhere.refresh_token
  }
  for (const [name, text] of Object.entries(texts)) {
    const reply = await refresh(text)
    t.equal(reply.statusCode, 400, name)
    t.match(reply.json(), { code: /REFRESH_TOKEN_INVALID|FST_ERR_VALIDATION/ }, name)
    t.equal((await send('POST', '/auth/jwt/revoke', { token: text })).statusCode, 200, `${name}: a revocation reveals nothing`)
  }
  for (const value of [null, 1, true, [], {}, '', 'x'.repeat(5000), { $ne: null }]) {
    t.match((await refresh(value)).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, JSON.stringify(value).slice(0, 40))
  }
  const wrong = await send('POST', '/auth/jwt/refresh', { grant_type: 'password', refresh_token: tokens.refresh_token })
  t.match(wrong.json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, 'another grant type')
  t.equal(reuses(), 0)
  t.equal(await guarded(tokens.refresh_token), 401, 'a refresh token is not an access token')
  t.equal((await refresh(tokens.refresh_token)).statusCode, 200, 'the session goes on')
  t.equal((await refresh(foreign.refresh_token)).statusCode, 200)
  refused(t, await refresh(elsewhere.refresh_token, 'other'), 'the revocation of its backend is not that of a route')
})

t.test('a revocation ends the session, also with a used token (RFC 7009)', async (t) => {
  const { register, start, renew, refresh, send, app } = await serve(t)
  await register()
  const first = await start()
  const second = await renew(first.refresh_token)
  const form = await app.inject({
    method: 'POST',
    url: '/auth/jwt/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ token: first.refresh_token, token_type_hint: 'refresh_token' }).toString()
  })
  t.same([form.statusCode, form.json()], [200, {}])
  refused(t, await refresh(second.refresh_token))
  t.same((await send('POST', '/auth/jwt/revoke', { token: first.refresh_token })).json(), {}, 'twice')
})

t.test('RT-04: tokens work after a restart and with a new secret, and the database does not contain them', async (t) => {
  const adapter = memory()
  const newSecret = `${SECRET.split('').reverse().join('')}-new`
  const { register, start, app } = await serve(t, { adapter })
  await register()
  const tokens = await start()
  const model = refreshTokenModel(uuidId())
  const [, , mac = ''] = tokens.refresh_token.split('.')
  t.notOk(JSON.stringify(await adapter.findMany(model, {}, { limit: 10 })).includes(mac), 'only a digest is stored')
  await app.users.settled()

  const rotated = await serve(t, { adapter, secret: [newSecret, SECRET] })
  const second = await rotated.renew(tokens.refresh_token)
  const again = await rotated.renew(tokens.refresh_token)
  t.equal(again.refresh_token, second.refresh_token)
  const later = await serve(t, { adapter, secret: newSecret })
  t.equal((await later.refresh(second.refresh_token)).statusCode, 200, 'a token of the new secret')
})

t.test('RT-02: processes with different secrets in a rolling update do not end the session', async (t) => {
  const adapter = memory()
  const newSecret = `${SECRET.split('').reverse().join('')}-new`
  const old = await serve(t, { adapter, secret: [SECRET, newSecret] })
  const updated = await serve(t, { adapter, secret: [newSecret, SECRET] })
  await old.register()
  const tokens = await old.start()
  const second = await old.renew(tokens.refresh_token)
  t.equal((await updated.renew(tokens.refresh_token)).refresh_token, second.refresh_token)
  const third = await updated.renew(second.refresh_token)
  t.equal((await old.renew(second.refresh_token)).refresh_token, third.refresh_token)
})

for (const store of everyStore) {
  t.test(`RT-02, RACE-01: of parallel refreshes in two processes one rotates, on ${store.name}`, store.options, async (t) => {
    const makeAdapter = await store.open(t)
    const one = await serve(t, { adapter: makeAdapter() })
    const two = await serve(t, { adapter: makeAdapter() })
    await one.register()
    let { refresh_token: token } = await one.start()
    for (let round = 1; round <= 5; round++) {
      const replies = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? one : two).refresh(token)))
      t.same(replies.map(({ statusCode }) => statusCode), Array(8).fill(200), `round ${round}`)
      const successors = new Set(replies.map((reply) => reply.json<Tokens>().refresh_token))
      t.equal(successors.size, 1, 'one successor')
      ;[token = ''] = successors
      t.equal(token.split('.')[1], String(round), 'one rotation')
    }
    t.equal(one.reuses() + two.reuses(), 0)

    const [refreshed, ended] = await Promise.all([one.refresh(token), two.send('POST', '/auth/jwt/revoke', { token })])
    t.equal(ended.statusCode, 200)
    const left = refreshed.statusCode === 200 ? refreshed.json<Tokens>().refresh_token : token
    await two.send('POST', '/auth/jwt/revoke', { token: left })
    refused(t, await two.refresh(left), 'a refresh beside a revocation leaves no session')
  })

  t.test(`RACE-04: a refresh beside a change of the password leaves no session, on ${store.name}`, store.options, async (t) => {
    const makeAdapter = await store.open(t)
    const one = await serve(t, { adapter: makeAdapter() })
    const two = await serve(t, { adapter: makeAdapter() })
    const user = await one.register()
    for (let round = 0; round < 5; round++) {
      const password = `${NEW_PASSWORD}-${round}`
      const { refresh_token: token } = (await one.login('jwt', ARTHUR, round === 0 ? PASSWORD : `${NEW_PASSWORD}-${round - 1}`)).json<Tokens>()
      const [reply] = await Promise.all([one.refresh(token), two.app.users.update(user, { password })])
      const tokens = reply.statusCode === 200 ? reply.json<Tokens>() : null
      refused(t, await two.refresh(tokens?.refresh_token ?? token), `round ${round}`)
      t.equal(tokens === null ? 401 : await two.guarded(tokens.access_token), 401, 'nor does the access token')
    }
  })
}

t.test('DEP-03: whichever call to the store fails during a refresh, the client can continue', async (t) => {
  const store = watchedAdapter(memory())
  const { register, start, refresh, reuses, app } = await serve(t, { adapter: store.adapter })
  await register()
  const probe = await start()
  await app.users.settled()
  store.watch()
  t.equal((await refresh(probe.refresh_token)).statusCode, 200)
  const { calls } = store
  t.ok(calls > 2, `${calls} calls`)
  for (let k = 1; k <= calls; k++) {
    store.watch()
    const tokens = await start()
    await app.users.settled()
    store.watch(({ n, proceed }) => {
      if (n !== k) return proceed()
      throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
    })
    const failed = await refresh(tokens.refresh_token)
    t.equal(failed.statusCode, 503, `call ${k}`)
    store.watch()
    const reply = await refresh(tokens.refresh_token)
    t.equal(reply.statusCode, 200, `call ${k}: the same token works again`)
    t.equal((await refresh(reply.json<Tokens>().refresh_token)).statusCode, 200, `call ${k}: and its successor`)
  }
  t.equal(reuses(), 0)
})

t.test('DEP-06: a clock that is ahead or set back never lets a used token work again', async (t) => {
  const { register, start, renew, refresh, tick, reuses } = await serve(t)
  await register()
  const first = await start()
  tick(3600)
  await renew(first.refresh_token)
  tick(-3600)
  refused(t, await refresh(first.refresh_token), 'an hour back')
  t.equal(reuses(), 1)
})

t.test('10,000 sessions of one user end with a bounded number of calls', async (t) => {
  const store = watchedAdapter(memory())
  const { register, start, refresh, app } = await serve(t, { adapter: store.adapter })
  const user = await register()
  const { refresh_token: token } = await start()
  const model = refreshTokenModel(uuidId())
  const [row] = await store.adapter.findMany(model, {}, { limit: 1 })
  for (let n = 0; n < 10_000; n++) await store.adapter.create(model, { ...row, id: `session-${n}` })
  store.watch()
  await app.users.endSessions(user)
  t.ok(store.calls < 10, `${store.calls} calls`)
  t.same(await store.adapter.findMany(model, {}, { limit: 10 }), [])
  refused(t, await refresh(token))
})

t.test('RL-01: a client that presents wrong tokens has to wait; valid tokens do not count', async (t) => {
  const limits = { client: { other: { max: 3, seconds: 60 } } }
  const { register, start, renew, refresh, tick, app } = await serve(t, { limits })
  await register()
  let tokens = await start()
  for (let n = 0; n < 5; n++) {
    tokens = await renew(tokens.refresh_token)
    await app.users.settled()
  }
  for (let n = 0; n < 3; n++) refused(t, await refresh(`unknown.${n}.${'A'.repeat(43)}`))
  const held = await refresh(tokens.refresh_token)
  assertErrorReply(t, held, 429, 'TOO_MANY_ATTEMPTS')
  t.equal(held.headers['retry-after'], '60')
  tick(61)
  t.equal((await refresh(tokens.refresh_token)).statusCode, 200)
})
