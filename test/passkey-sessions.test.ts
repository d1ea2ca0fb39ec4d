import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { sessions, type SessionPage } from '../lib/features/sessions/index.js'
import type { UsersEvents } from '../lib/index.js'
import type { Authenticator, AssertionRequest, Mutations } from './helpers/authenticator.js'
import { ARTHUR, assertErrorReply, assertValidationError, PASSWORD } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'
import { bearerOf, buildWithPasskeys, cookiesOf, type Creation, type Headers, type PasskeyApp } from './helpers/passkey-app.js'

const GALAHAD = 'galahad@camelot.bt'
const MERLIN = 'merlin@camelot.bt'
const HOUR = 3600

interface Pending {
  ticket: string
  options: AssertionRequest
}

/** Registers a user who has a passkey and no password. */
async function signUp (built: PasskeyApp, device: Authenticator, email = GALAHAD): Promise<void> {
  const begun = await built.send('POST', '/auth/register/passkey/options', { email })
  const { ticket, options } = begun.json<Creation>()
  const reply = await built.send('POST', '/auth/register/passkey', { ticket, credential: device.create(options) })
  if (reply.statusCode !== 201) throw new Error(`sign-up: ${reply.statusCode} ${reply.body}`)
}

/** Returns what a pending login asks for: a passkey and nothing else. */
function pendingOf (reply: LightMyRequestResponse): Pending {
  interface Detail { ticket: string; steps?: { name: string; options: AssertionRequest }[] }
  const { ticket, steps: [step, ...more] = [] } = reply.json<{ detail: Detail }>().detail
  if (step?.name !== 'passkey' || more.length > 0) throw new Error(reply.body)
  return { ticket, options: step.options }
}

/** Begins a reauthentication without a password. */
async function begin ({ send }: PasskeyApp, headers: Headers, backend = 'jwt'): Promise<Pending> {
  return pendingOf(await send('POST', `/auth/${backend}/reauthenticate`, {}, headers))
}

const answer = (
  { send }: PasskeyApp, ticket: string, credential: unknown, headers: Headers, backend = 'jwt'
): Promise<LightMyRequestResponse> => send('POST', `/auth/${backend}/reauthenticate/passkey`, { ticket, credential }, headers)

for (const store of everyStore) {
  t.test(`PK-03, SES-07: ${store.name}: a user without a password authenticates again with a passkey alone`, store.options, async (t) => {
    const create = await store.open(t)
    const options = { adapter: create(), sensitiveChanges: 'confirm' } as const
    const built = await buildWithPasskeys(t, options, { signUp: true })
    const { send, tick } = built
    const device = built.device()
    await signUp(built, device)
    for (const backend of ['jwt', 'cookie']) {
      const read = backend === 'jwt' ? bearerOf : cookiesOf
      const old = read(await built.enter(device, {}, backend))
      const change = (headers: Headers): Promise<LightMyRequestResponse> =>
        send('PATCH', '/users/me', { email: 'knight@camelot.bt' }, headers)
      t.equal((await change(old)).statusCode, 200, `${backend}: right after the login`)
      tick(301)
      const detail = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300, methods: 2 }
      assertErrorReply(t, await change(old), 401, detail.code, detail, backend)
      const guess = await send('POST', `/auth/${backend}/reauthenticate`, { password: PASSWORD }, old)
      assertErrorReply(t, guess, 400, 'REAUTHENTICATE_BAD_PASSWORD', undefined, 'there is no password')

      const { ticket, options } = await begin(built, old, backend)
      const credential = device.get(options)
      const reply = await answer(built, ticket, credential, old, backend)
      const renewed = read(reply)
      t.equal((await change(renewed)).statusCode, 200, `${backend}: the new session`)
      t.strictSame((await send('GET', '/methods', undefined, renewed)).json(), ['passkey'])
      const again = await answer(built, ticket, credential, renewed, backend)
      assertErrorReply(t, again, 400, 'LOGIN_TICKET_INVALID', undefined, 'the ticket works once')
      const former = await send('GET', '/users/me', undefined, old)
      t.equal(former.statusCode, backend === 'jwt' ? 200 : 401, 'a stored session ends')
    }
  })
}

t.test('PK-01, PK-02, PK-03: a reauthentication refuses every passkey answer but that of its user and session', async (t) => {
  const built = await buildWithPasskeys(t, { sensitiveChanges: 'confirm' }, { signUp: true })
  const device = built.device({ counts: true })
  await signUp(built, device)
  const foreign = built.device()
  await signUp(built, foreign, MERLIN)
  const own = bearerOf(await built.enter(device))
  const other = bearerOf(await built.enter(device))
  const strange = bearerOf(await built.enter(foreign))
  built.tick(301)
  const wrong: [what: string, mutations: Mutations][] = [
    ['without verification of the user', { userVerified: false }],
    ['without presence of the user', { userPresent: false }],
    ['another origin', { origin: 'https://mordred.example' }],
    ['another challenge', { challenge: 'A'.repeat(43) }],
    ['the handle of another user', { userHandle: 'AAAA' }],
    ['a counter that did not grow', { signCount: 1 }]
  ]
  for (const [what, mutations] of wrong) {
    const { ticket, options } = await begin(built, own)
    assertErrorReply(t, await answer(built, ticket, device.get(options, mutations), own), 400, 'PASSKEY_INVALID', undefined, what)
    const second = await answer(built, ticket, device.get(options), own)
    assertErrorReply(t, second, 400, 'PASSKEY_CHALLENGE_INVALID', undefined, `${what}: the challenge is used up`)
  }
  const { ticket, options } = await begin(built, own)
  assertErrorReply(t, await answer(built, ticket, foreign.get(options), own), 400, 'PASSKEY_INVALID', undefined, 'another user')
  const open = await begin(built, own)
  const login = await built.ask()
  const refused: [what: string, reply: LightMyRequestResponse][] = [
    ['another session of the user', await answer(built, open.ticket, device.get(open.options), other)],
    ['a session of another user', await answer(built, open.ticket, foreign.get(open.options), strange)],
    ['the ticket of a login', await answer(built, login.ticket, device.get(login.options), own)],
    ['the ticket as that of a login step', await built.send('POST', '/auth/jwt/login/passkey', {
      ticket: open.ticket, credential: device.get(open.options)
    })]
  ]
  for (const [what, reply] of refused) assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID', undefined, what)
  const entered = await built.answer({ ...open }, device.get(open.options))
  assertErrorReply(t, entered, 400, 'PASSKEY_CHALLENGE_INVALID', undefined, 'the ticket as that of a login')
  const replaced = await begin(built, own)
  assertErrorReply(t, await answer(built, open.ticket, device.get(open.options), own), 400, 'LOGIN_TICKET_INVALID', undefined, 'replaced')
  const right = await answer(built, replaced.ticket, device.get(replaced.options), own)
  t.equal(right.statusCode, 200, 'the session is still there')
  t.same(built.events.filter(({ name }) => name === 'onAfterReauthenticate').length, 1)
})

t.test('a user with a password may choose the passkey, or both', async (t) => {
  const built = await buildWithPasskeys(t, { sensitiveChanges: 'confirm' })
  const device = built.device()
  await built.own(device)
  const session = await built.sessionOf(ARTHUR, 'cookie')
  built.tick(301)
  const pending = await built.send('POST', '/auth/cookie/reauthenticate', { password: PASSWORD }, session)
  const { ticket, options } = pendingOf(pending)
  const presence = device.get(options, { userVerified: false })
  const both = await answer(built, ticket, presence, session, 'cookie')
  t.equal(both.statusCode, 204, 'with the password, the presence of the user suffices')
  t.strictSame((await built.send('GET', '/methods', undefined, cookiesOf(both))).json(), ['password', 'passkey-presence'])
  built.tick(301)
  const alone = await begin(built, cookiesOf(both), 'cookie')
  const reply = await answer(built, alone.ticket, device.get(alone.options), cookiesOf(both), 'cookie')
  t.strictSame((await built.send('GET', '/methods', undefined, cookiesOf(reply))).json(), ['passkey'])
})

t.test('a passkey renews a recent session too, for a guard that needs a newer login', async (t) => {
  const built = await buildWithPasskeys(t, {}, { signUp: true })
  const device = built.device()
  await signUp(built, device)
  /** Returns the time of the session that began last. */
  const newestTime = (): number => {
    const event = built.events.findLast(({ name }) => name === 'onAfterLogin' || name === 'onAfterReauthenticate')
    return Number((event as UsersEvents['onAfterReauthenticate'] | undefined)?.session.authenticatedAt)
  }
  for (const backend of ['jwt', 'cookie']) {
    const read = backend === 'jwt' ? bearerOf : cookiesOf
    const recent = read(await built.enter(device, {}, backend))
    const began = newestTime()
    built.tick(120)
    const lowered = await begin(built, recent, backend)
    const presence = device.get(lowered.options, { userVerified: false })
    assertErrorReply(t, await answer(built, lowered.ticket, presence, recent, backend), 400, 'PASSKEY_INVALID')
    const { ticket, options } = await begin(built, recent, backend)
    const renewed = read(await answer(built, ticket, device.get(options), recent, backend))
    t.equal((await built.send('GET', '/users/me', undefined, renewed)).statusCode, 200)
    t.ok(newestTime() - began >= 119_000, 'the session has the time of the answer')
  }
})

t.test('without secondFactor, a user without a password does not authenticate again but logs in again', async (t) => {
  const built = await buildWithPasskeys(t, { sensitiveChanges: 'confirm' }, { signUp: true, secondFactor: false })
  const device = built.device()
  await signUp(built, device)
  const old = bearerOf(await built.enter(device))
  built.tick(301)
  const change = (headers: Headers): Promise<LightMyRequestResponse> =>
    built.send('PATCH', '/users/me', { email: 'knight@camelot.bt' }, headers)
  const detail = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
  assertErrorReply(t, await change(old), 401, detail.code, detail)
  assertErrorReply(t, await built.send('POST', '/auth/jwt/reauthenticate', {}, old), 400, 'REAUTHENTICATE_BAD_PASSWORD')
  t.equal((await change(bearerOf(await built.enter(device)))).statusCode, 200)
})

t.test('SES-04: remember_me makes the session of a passkey login longer and its cookie persistent', async (t) => {
  const lifetimes = { idleSeconds: HOUR, rememberMe: { idleSeconds: 12 * HOUR } }
  const built = await buildWithPasskeys(t, { features: [sessions(lifetimes)] })
  const device = built.device()
  await built.own(device)
  const enter = async (values: object): Promise<LightMyRequestResponse> => {
    const { ticket, options, headers } = await built.ask('cookie')
    return await built.send('POST', '/auth/cookie/passkey', { ticket, credential: device.get(options), ...values }, headers)
  }
  const cookieIn = (reply: LightMyRequestResponse): string =>
    [reply.headers['set-cookie']].flat().find((set) => set?.startsWith('__Host-users-cookie=')) ?? ''
  const headersIn = (reply: LightMyRequestResponse): Headers => ({ cookie: cookieIn(reply).split(';')[0] ?? '' })
  const isRemembered = async (headers: Headers): Promise<unknown> => {
    const { sessions: list } = (await built.send('GET', '/users/me/sessions', undefined, headers)).json<SessionPage>()
    return list.find(({ is_current: isCurrent }) => isCurrent)?.is_remembered
  }
  for (const value of [true, 'true', 'on']) {
    const reply = await enter({ remember_me: value })
    t.equal(reply.statusCode, 204, reply.body)
    t.match(cookieIn(reply), /Max-Age=86400;/, JSON.stringify(value))
  }
  for (const values of [{}, { remember_me: false }, { remember_me: 'false' }]) {
    const reply = await enter(values)
    t.equal(reply.statusCode, 204, reply.body)
    t.notMatch(cookieIn(reply), /max-age/i, JSON.stringify(values))
  }
  for (const value of [1, 'yes', null]) {
    assertValidationError(t, await enter({ remember_me: value }), ['/remember_me'], JSON.stringify(value))
  }
  const long = headersIn(await enter({ remember_me: true }))
  const short = headersIn(await enter({}))
  t.same([await isRemembered(long), await isRemembered(short)], [true, false])

  const { ticket, options } = await begin(built, long, 'cookie')
  const renewed = await answer(built, ticket, device.get(options), long, 'cookie')
  t.match(cookieIn(renewed), /Max-Age=86400;/, 'the session of a reauthentication is remembered too')
  built.tick(2 * HOUR)
  t.equal(await isRemembered(headersIn(renewed)), true)
  t.equal((await built.send('GET', '/users/me', undefined, short)).statusCode, 401)
})

t.test('SES-04: remember_me is kept when the passkey is the second factor, and by refresh tokens', async (t) => {
  const features = [sessions({ rememberMe: {} }), refreshTokens({ backends: [{ name: 'jwt', cookie: true }] })]
  const built = await buildWithPasskeys(t, { features })
  const device = built.device()
  await built.own(device)
  for (const isRemembered of [true, false]) {
    const login = { username: ARTHUR, password: PASSWORD, remember_me: isRemembered }
    const pending = await built.send('POST', '/auth/cookie/login', login)
    const { ticket, options } = pendingOf(pending)
    const credential = device.get(options)
    const second = await built.send('POST', '/auth/cookie/login/passkey', { ticket, credential }, cookiesOf(pending))
    t.equal(second.statusCode, 204)
    t.equal(/users-cookie=[^;]+;[^,]*Max-Age=\d/.test(String(second.headers['set-cookie'])), isRemembered, 'second factor')

    const begun = await built.ask('jwt')
    const body = { ticket: begun.ticket, credential: device.get(begun.options), remember_me: isRemembered }
    const reply = await built.send('POST', '/auth/jwt/passkey', body)
    t.equal(reply.statusCode, 200, reply.body)
    t.equal(/max-age/i.test(String(reply.headers['set-cookie'])), isRemembered, 'the cookie of the refresh token')
    const refreshed = await built.send('POST', '/auth/jwt/refresh', undefined, cookiesOf(reply))
    t.equal(/max-age/i.test(String(refreshed.headers['set-cookie'])), isRemembered, 'and its successor')
  }
})

t.test('without remember_me in the options, a passkey login ignores it', async (t) => {
  const built = await buildWithPasskeys(t)
  const device = built.device()
  await built.own(device)
  const { ticket, options, headers } = await built.ask('cookie')
  const body = { ticket, credential: device.get(options), remember_me: true }
  const reply = await built.send('POST', '/auth/cookie/passkey', body, headers)
  t.equal(reply.statusCode, 204)
  t.notMatch(String(reply.headers['set-cookie']), /max-age=[1-9]/i)
})
