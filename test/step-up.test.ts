import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type AuthenticateOptions,
  type BackendOptions,
  type Session,
  type UsersOptions
} from '../lib/index.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { account } from '../lib/features/account/index.js'
import { apiKeys } from '../lib/features/api-keys/index.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { recoveryCodes } from '../lib/features/recovery-codes/index.js'
import { refreshTokens } from '../lib/features/refresh-tokens/index.js'
import { sessions } from '../lib/features/sessions/index.js'
import { totp } from '../lib/features/totp/index.js'
import { manualClock, type ManualClock } from '../lib/testing/index.js'
import { badges, NUMBER, type Badges } from './helpers/badge-feature.js'
import { ARTHUR, assertErrorReply, buildApp, cookieOf, PASSWORD, type TestApp } from './helpers/build-app.js'
import { connectRedis } from './helpers/redis.js'
import { buildTotpApp } from './helpers/totp-app.js'

const LIFETIME = { lifetimeSeconds: 86_400 }
const MULTI_FACTOR = 'http://schemas.openid.net/pape/policies/2007/06/multi-factor'
const MERLIN = 'merlin@camelot.bt'

const { redis, skip } = await connectRedis()

type Headers = Record<string, string>

interface Served extends TestApp {
  /** `detail` of the errors that guards threw. */
  thrown: unknown[]
  clock: ManualClock
  badges: Badges
  /** Logs in with the password, and with the badge if it is needed. */
  enter(backend: string, email?: string): Promise<Headers>
  reauthenticate(backend: string, headers: Headers, payload?: object | null): Promise<LightMyRequestResponse>
  /** Reads the session of these headers; a refused request has none. */
  sessionOf(headers: Headers): Promise<Session | null>
}

const FLAGS: readonly AuthenticateOptions[] = [
  { fresh: 300 },
  { methods: 1 },
  { methods: 2 },
  { fresh: 60, methods: 2 },
  { fresh: 300, optional: true }
]
const urlOf = (options: AuthenticateOptions): string => `/${JSON.stringify(options).replaceAll(/\W/g, '')}`

const standard = (): BackendOptions[] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy(LIFETIME) },
  { name: 'stored', transport: bearerTransport(), strategy: databaseStrategy(LIFETIME) },
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy(LIFETIME) }
]

async function serve (t: Test, options: Partial<UsersOptions> = {}): Promise<Served> {
  const clock = manualClock()
  const thrown: unknown[] = []
  const built = await buildApp(
    t,
    { backends: standard(), features: [badges()], clock, ...options },
    (app) => {
      app.addHook('onError', async (_request, _reply, error) => {
        thrown.push((error as { detail?: unknown }).detail)
      })
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
      for (const flags of FLAGS) {
        app.get(urlOf(flags), { preHandler: authenticate(flags) }, async ({ user }) => ({ email: user?.email ?? null }))
      }
    }
  )
  const { app, login, send } = built
  const read = (backend: string, reply: LightMyRequestResponse): Headers => headersOf(built, backend, reply)
  return {
    ...built,
    thrown,
    clock,
    badges: (options.features?.length === 0 ? undefined : app.users.feature('badges')) as Badges,
    async enter (backend, email = ARTHUR) {
      const reply = await login(backend, email)
      if (reply.statusCode !== 403) return read(backend, reply)
      const { ticket } = reply.json<{ detail: { ticket: string } }>().detail
      return read(backend, await send('POST', `/auth/${backend}/login/badge`, { ticket, number: NUMBER }, {
        ...(reply.headers['set-cookie'] === undefined ? {} : { cookie: cookieOf(reply) })
      }))
    },
    reauthenticate: (backend, headers, payload = { password: PASSWORD }) =>
      send('POST', `/auth/${backend}/reauthenticate`, payload ?? undefined, headers),
    async sessionOf (headers) {
      const reply = await send('GET', '/session', undefined, headers)
      return reply.statusCode === 200 ? reply.json<Session>() : null
    }
  }
}

/** Returns the headers of the session in a login reply. */
function headersOf ({ app }: TestApp, backend: string, reply: LightMyRequestResponse): Headers {
  if (reply.statusCode === 204) {
    const session = [reply.headers['set-cookie'] ?? []].flat().find((cookie) => cookie.includes(`-${backend}=`))
    return { cookie: String(session).split(';')[0] ?? '' }
  }
  if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${reply.body}`)
  const { access_token: token } = reply.json<{ access_token: string }>()
  return app.users.backends.get(backend)?.transport.requestHeaders?.(token) ?? {}
}

const timeOf = (session: Session | null): number => new Date(String(session?.authenticatedAt)).getTime()

t.test('a guard with fresh or methods refuses with 401, the challenge of RFC 9470 and what the client must do', async (t) => {
  const { badges, clock, create, enter, send, thrown } = await serve(t)
  await create()
  const merlin = await create({ email: MERLIN })
  await badges.add(merlin, NUMBER)
  const weak = await enter('jwt')
  const strong = await enter('jwt', MERLIN)
  type Case = [flags: AuthenticateOptions, seconds: number, headers: Headers, refused: object | null, header?: string]
  const cases: Case[] = [
    [{ fresh: 300 }, 0, weak, null],
    [{ fresh: 300 }, 299, weak, null],
    [{ fresh: 300 }, 302, weak, { max_age: 300 }, 'max_age="300"'],
    [{ methods: 1 }, 302, weak, null],
    [{ methods: 2 }, 0, weak, { methods: 2 }, `acr_values="${MULTI_FACTOR}"`],
    [{ methods: 2 }, 302, strong, null],
    [{ fresh: 60, methods: 2 }, 59, strong, null],
    [{ fresh: 60, methods: 2 }, 62, strong, { max_age: 60, methods: 2 }, `max_age="60", acr_values="${MULTI_FACTOR}"`],
    [{ fresh: 60, methods: 2 }, 0, weak, { max_age: 60, methods: 2 }, `max_age="60", acr_values="${MULTI_FACTOR}"`]
  ]
  for (const [flags, seconds, headers, refused, challenge] of cases) {
    clock.tick(seconds)
    const reply = await send('GET', urlOf(flags), undefined, headers)
    clock.tick(-seconds)
    const name = `${JSON.stringify(flags)} after ${seconds} seconds`
    if (refused === null) {
      t.equal(reply.statusCode, 200, name)
      continue
    }
    const detail = { code: 'INSUFFICIENT_USER_AUTHENTICATION', ...refused }
    t.same([reply.statusCode, reply.json<{ code: string }>().code], [401, 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION'], name)
    t.same(thrown.at(-1), detail, 'the error handler of the application knows what is needed')
    t.equal(reply.headers['www-authenticate'], `Bearer error="insufficient_user_authentication", ${challenge}`, name)
  }
  clock.tick(400)
  const optional = await send('GET', urlOf({ fresh: 300, optional: true }), undefined, weak)
  t.same([optional.statusCode, optional.json()], [200, { email: null }], 'optional: the request has no user')
  t.equal((await send('GET', urlOf({ fresh: 300 }))).json<{ code: string }>().code, 'FST_USERS_UNAUTHENTICATED')
})

t.test('a guard with fresh or methods refuses sessions whose authentication is unknown or in the future', async (t) => {
  const { badges: { kit }, app, create, send, clock } = await serve(t)
  const { id } = await create()
  const row = await kit.rows.getRow(id as never)
  if (row === null) throw new Error('no user')
  const now = clock()
  const cases: [what: string, authenticatedAt: Date | null, status: number][] = [
    ['unknown', null, 401],
    ['now', new Date(now), 200],
    ['of a process whose clock is ahead', new Date(now + 30_000), 200],
    ['from before the clock was set back', new Date(now + 120_000), 401]
  ]
  for (const backend of ['stored', 'cookie', 'jwt']) {
    for (const [what, authenticatedAt, status] of cases) {
      const { token } = await kit.sessions.create(row, { backend, authenticatedAt, methods: ['password'] })
      const headers = app.users.backends.get(backend)?.transport.requestHeaders?.(token)
      t.equal((await send('GET', urlOf({ fresh: 300 }), undefined, headers)).statusCode, status, `${backend}: ${what}`)
    }
    const { token } = await kit.sessions.create(row, { backend, authenticatedAt: new Date(now) })
    const headers = app.users.backends.get(backend)?.transport.requestHeaders?.(token)
    t.equal((await send('GET', urlOf({ methods: 1 }), undefined, headers)).statusCode, 401, `${backend}: no methods`)
  }
})

t.test('a guard refuses wrong values of fresh and methods', async (t) => {
  for (const options of [{ fresh: 0 }, { fresh: -1 }, { fresh: 1.5 }, { fresh: '300' }, { fresh: true }, { fresh: null },
    { fresh: NaN }, { fresh: Infinity }, { methods: 0 }, { methods: 3 }, { methods: '2' }, { methods: true }]) {
    t.throws(() => authenticate(options as never), { code: 'FST_USERS_GUARD_MISUSED' }, JSON.stringify(options))
  }
})

t.test('a cookie application names its scheme, and compatibility without challenges has no header', async (t) => {
  const cookieOnly = standard().slice(2)
  for (const [options, header] of [
    [{ backends: cookieOnly }, 'Cookie error="insufficient_user_authentication", max_age="300"'],
    [{ backends: cookieOnly, compatibility: { wwwAuthenticate: false } }, undefined]
  ] as const) {
    const { clock, create, enter, send } = await serve(t, options)
    await create()
    const headers = await enter('cookie')
    clock.tick(301)
    const reply = await send('GET', urlOf({ fresh: 300 }), undefined, headers)
    t.same([reply.statusCode, reply.headers['www-authenticate']], [401, header])
  }
})

const strategies: Record<string, () => BackendOptions> = {
  'a database and bearer tokens': () =>
    ({ name: 'main', transport: bearerTransport(), strategy: databaseStrategy(LIFETIME) }),
  'a database and cookies': () =>
    ({ name: 'main', transport: cookieTransport(), strategy: databaseStrategy(LIFETIME) }),
  JWTs: () => ({ name: 'main', transport: bearerTransport(), strategy: jwtStrategy(LIFETIME) }),
  'JWTs in cookies': () => ({ name: 'main', transport: cookieTransport(), strategy: jwtStrategy(LIFETIME) }),
  'Redis and bearer tokens': () =>
    ({ name: 'main', transport: bearerTransport(), strategy: redisStrategy({ client: redis, ...LIFETIME }) }),
  'Redis and cookies': () =>
    ({ name: 'main', transport: cookieTransport(), strategy: redisStrategy({ client: redis, ...LIFETIME }) })
}

for (const [what, backend] of Object.entries(strategies)) {
  t.test(`SES-07: reauthentication with ${what} renews the session and ends the old one`, {
    skip: what.startsWith('Redis') ? skip : false
  }, async (t) => {
    const served = await serve(t, { backends: [backend()] })
    const { app, clock, create, enter, events, reauthenticate, send, sessionOf } = served
    await create()
    const old = await enter('main')
    const before = await sessionOf(old)
    clock.tick(600)
    t.equal((await send('GET', urlOf({ fresh: 300 }), undefined, old)).statusCode, 401)

    const reply = await reauthenticate('main', old)
    const renewed = headersOf(served, 'main', reply)
    t.not(renewed['cookie'] ?? renewed['authorization'], old['cookie'] ?? old['authorization'])
    t.equal((await send('GET', urlOf({ fresh: 300 }), undefined, renewed)).statusCode, 200)
    const session = await sessionOf(renewed)
    t.same(session?.methods, ['password'])
    t.ok(Math.abs(timeOf(session) - clock()) <= 1000, 'the session begins again')
    t.not(session?.id, before?.id)
    const isStored = app.users.backends.get('main')?.strategy.destroyToken !== undefined
    t.equal(await sessionOf(old) === null, isStored, 'the old session ends if the strategy can end it')
    t.match(events.at(-1), { name: 'onAfterReauthenticate', backend: 'main', user: { email: ARTHUR } })
    if (isStored) t.equal((await reauthenticate('main', old)).statusCode, 401, 'the old token renews nothing')
  })
}

t.test('reauthentication accepts a form, and needs a session of its backend', async (t) => {
  const { app, create, enter, reauthenticate } = await serve(t)
  await create()
  const headers = await enter('stored')
  assertErrorReply(t, await reauthenticate('stored', {}), 401, 'UNAUTHENTICATED', 'Unauthorized')
  assertErrorReply(t, await reauthenticate('jwt', headers), 401, 'UNAUTHENTICATED', 'Unauthorized')
  const foreign = { ...await enter('cookie'), 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  assertErrorReply(t, await reauthenticate('cookie', foreign), 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' }
  const payload = new URLSearchParams({ password: PASSWORD }).toString()
  const reply = await app.inject({ method: 'POST', url: '/auth/stored/reauthenticate', headers: form, payload })
  t.equal(reply.statusCode, 200)
})

t.test('a wrong or missing password renews nothing, and the session remains', async (t) => {
  const { create, enter, reauthenticate, sessionOf } = await serve(t)
  await create()
  await create({ email: MERLIN, password: 'nimue-and-the-lake' })
  for (const backend of ['jwt', 'stored', 'cookie']) {
    const headers = await enter(backend)
    for (const payload of [{}, null, { password: '' }, { password: 'wrong' }, { password: 'nimue-and-the-lake' },
      { Password: PASSWORD }, { username: ARTHUR, current_password: PASSWORD }]) {
      const reply = await reauthenticate(backend, headers, payload)
      assertErrorReply(t, reply, 400, 'REAUTHENTICATE_BAD_PASSWORD', undefined, `${backend} ${JSON.stringify(payload)}`)
      t.equal(reply.headers['set-cookie'], undefined)
    }
    for (const payload of [{ password: 1 }, { password: [PASSWORD] }, { password: 'x'.repeat(1025) }, { password: '\ud800' }, []]) {
      t.equal((await reauthenticate(backend, headers, payload)).statusCode, 400, JSON.stringify(payload))
    }
    t.ok(await sessionOf(headers))
  }
})

t.test('RL-09: wrong passwords of reauthentications are counted per account, in all sessions', async (t) => {
  const { create, enter, reauthenticate, send } = await serve(t, { limits: {}, sensitiveChanges: 'confirm' })
  await create()
  const sessions = [await enter('jwt'), await enter('stored')] as const
  const statuses: number[] = []
  for (let n = 0; n < 12; n++) {
    statuses.push((await reauthenticate(n % 2 === 0 ? 'jwt' : 'stored', sessions[n % 2] ?? {}, { password: `wrong ${n}` })).statusCode)
  }
  t.ok(statuses.includes(400))
  t.equal(statuses.at(-1), 429)
  t.equal((await reauthenticate('jwt', sessions[0])).statusCode, 429, 'the right password has to wait too')
  const change = await send('PATCH', '/users/me', { email: 'new@camelot.bt', current_password: PASSWORD }, sessions[0])
  t.equal(change.statusCode, 429, 'the same counter as for the current password of changes')
})

t.test('a user with a second factor authenticates again with both', async (t) => {
  const served = await serve(t)
  const { badges, clock, create, enter, reauthenticate, send, sessionOf } = served
  await badges.add(await create(), NUMBER)
  for (const backend of ['jwt', 'stored', 'cookie']) {
    const headers = await enter(backend)
    t.same((await sessionOf(headers))?.methods, ['password', 'otp'])
    clock.tick(400)
    const pending = await reauthenticate(backend, headers)
    const { detail } = pending.json<{ detail: { code: string; ticket: string; steps: unknown[] } }>()
    t.same([pending.statusCode, detail.code, detail.steps], [403, 'LOGIN_STEP_REQUIRED', [{ name: 'badge' }]], backend)
    t.equal(pending.headers['set-cookie'], undefined, 'the ticket is bound to the session, not to a cookie')
    t.equal((await send('GET', urlOf({ fresh: 300 }), undefined, headers)).statusCode, 401, 'not fresh yet')

    const wrong = await send('POST', `/auth/${backend}/reauthenticate/badge`, { ticket: detail.ticket, number: 'badge-0002' }, headers)
    assertErrorReply(t, wrong, 400, 'BADGE_WRONG')
    const answer = { ticket: detail.ticket, number: NUMBER }
    const right = await send('POST', `/auth/${backend}/reauthenticate/badge`, answer, headers)
    const renewed = headersOf(served, backend, right)
    t.equal((await send('GET', urlOf({ fresh: 60, methods: 2 }), undefined, renewed)).statusCode, 200, backend)
    t.same((await sessionOf(renewed))?.methods, ['password', 'otp'])
    const again = await send('POST', `/auth/${backend}/reauthenticate/badge`, answer, renewed)
    assertErrorReply(t, again, 400, 'LOGIN_TICKET_INVALID', undefined, 'a ticket works once, and for its session')
  }
})

t.test('a fresh session asks for the missing factor only, and the time of the login stays', async (t) => {
  const served = await serve(t)
  const { badges, clock, create, enter, reauthenticate, send, sessionOf } = served
  const arthur = await create()
  const headers = await enter('stored')
  const began = timeOf(await sessionOf(headers))
  await badges.add(arthur, NUMBER)
  t.equal((await send('GET', urlOf({ methods: 2 }), undefined, headers)).statusCode, 401)
  clock.tick(100)
  const { ticket } = (await reauthenticate('stored', headers, {})).json<{ detail: { ticket: string } }>().detail
  const renewed = headersOf(served, 'stored', await send('POST', '/auth/stored/reauthenticate/badge', { ticket, number: NUMBER }, headers))
  t.same((await sessionOf(renewed))?.methods, ['password', 'otp'])
  t.equal(timeOf(await sessionOf(renewed)), began)
  assertErrorReply(t, await reauthenticate('stored', renewed, {}), 400, 'REAUTHENTICATE_BAD_PASSWORD', undefined, 'nothing is missing')
  clock.tick(300)
  assertErrorReply(t, await reauthenticate('stored', renewed, {}), 400, 'REAUTHENTICATE_BAD_PASSWORD', undefined, 'not fresh')
})

t.test('a ticket of a reauthentication serves only its session, and the ticket of a login no reauthentication', async (t) => {
  const { app, badges, create, enter, login, reauthenticate, send, sessionOf } = await serve(t)
  await badges.add(await create(), NUMBER)
  await badges.add(await create({ email: MERLIN }), NUMBER)
  const own = await enter('stored')
  const { ticket } = (await reauthenticate('stored', own)).json<{ detail: { ticket: string } }>().detail
  const loginTicket = (await login('stored', ARTHUR)).json<{ detail: { ticket: string } }>().detail.ticket
  const answer = { ticket, number: NUMBER }
  const refused: [what: string, url: string, payload: object, headers: Headers][] = [
    ['another user', '/auth/stored/reauthenticate/badge', answer, await enter('stored', MERLIN)],
    ['another session', '/auth/stored/reauthenticate/badge', answer, await enter('stored')],
    ['another backend', '/auth/jwt/reauthenticate/badge', answer, await enter('jwt')],
    ['a login', '/auth/stored/login/badge', answer, {}],
    ['a login with the session', '/auth/stored/login/badge', answer, own],
    ['the ticket of a login', '/auth/stored/reauthenticate/badge', { ticket: loginTicket, number: NUMBER }, own]
  ]
  for (const [what, url, payload, headers] of refused) {
    assertErrorReply(t, await send('POST', url, payload, headers), 400, 'LOGIN_TICKET_INVALID', undefined, what)
  }
  const anonymous = await send('POST', '/auth/stored/reauthenticate/badge', answer)
  assertErrorReply(t, anonymous, 401, 'UNAUTHENTICATED', 'Unauthorized')
  await t.rejects(app.users.resumeLogin({ ticket, step: 'badge', answer: { number: NUMBER } }, { backend: 'stored' }), {
    code: 'FST_USERS_LOGIN_TICKET_INVALID'
  })
  t.ok(await sessionOf(own))
})

t.test('SES-06: an ended session and a changed user end the reauthentication', async (t) => {
  const { app, badges, create, enter, reauthenticate, send, sessionOf } = await serve(t)
  const arthur = await create()
  await badges.add(arthur, NUMBER)
  const begin = async (): Promise<[Headers, string]> => {
    const headers = await enter('stored')
    return [headers, (await reauthenticate('stored', headers)).json<{ detail: { ticket: string } }>().detail.ticket]
  }
  const finish = async ([headers, ticket]: [Headers, string]): Promise<LightMyRequestResponse> =>
    await send('POST', '/auth/stored/reauthenticate/badge', { ticket, number: NUMBER }, headers)
  const loggedOut = await begin()
  await send('POST', '/auth/stored/logout', undefined, loggedOut[0])
  t.equal((await finish(loggedOut)).statusCode, 401)
  const changed = await begin()
  await app.users.update(arthur, { password: 'excalibur-2' })
  t.equal((await finish(changed)).statusCode, 401)
  t.equal(await sessionOf(changed[0]), null)
})

t.test('of parallel reauthentications of one stored session, one succeeds', async (t) => {
  const { app, create, enter, reauthenticate } = await serve(t)
  const arthur = await create()
  for (const backend of ['stored', 'cookie']) {
    await app.users.endSessions(arthur)
    const headers = await enter(backend)
    const replies = await Promise.all([1, 2, 3, 4].map(() => reauthenticate(backend, headers)))
    const won = replies.filter(({ statusCode }) => statusCode < 300)
    t.equal(won.length, 1, backend)
    t.ok(replies.filter((reply) => !won.includes(reply)).every(({ statusCode }) => statusCode === 401))
  }
})

t.test('a session that begins with a refresh token keeps its new time and methods after the next refresh', async (t) => {
  const served = await serve(t, { features: [badges(), refreshTokens({ backends: ['jwt', 'stored'] })] })
  const { clock, create, login, reauthenticate, send, sessionOf } = served
  await create()
  for (const backend of ['jwt', 'stored']) {
    const first = await login(backend, ARTHUR)
    const { refresh_token: former } = first.json<{ refresh_token: string }>()
    clock.tick(600)
    const reply = await reauthenticate(backend, headersOf(served, backend, first))
    const { refresh_token: next } = reply.json<{ refresh_token: string }>()
    const time = timeOf(await sessionOf(headersOf(served, backend, reply)))
    clock.tick(100)
    const refreshed = await send('POST', `/auth/${backend}/refresh`, { refresh_token: next })
    const session = await sessionOf(headersOf(served, backend, refreshed))
    t.same([timeOf(session), session?.methods], [time, ['password']], backend)
    t.equal((await send('GET', urlOf({ fresh: 300 }), undefined, headersOf(served, backend, refreshed))).statusCode, 200)
    assertErrorReply(t, await send('POST', `/auth/${backend}/refresh`, { refresh_token: former }), 400, 'REFRESH_TOKEN_INVALID')
  }
})

t.test('app.users.reauthenticate renews a session without the routes', async (t) => {
  const options = { routes: { auth: false }, backends: standard(), features: [badges()] } as const
  const app = await buildApp(t, options, (app) => {
    type Body = { password?: string; ticket?: string; number?: string }
    app.post<{ Body: Body }>('/again', { preHandler: authenticate }, async (request, reply) => {
      const { ticket, number, password } = request.body
      const answer = { step: 'badge', answer: { number } }
      const proof = ticket === undefined ? { password: String(password) } : { ticket, ...answer }
      const { issued, pending } = await app.users.reauthenticate(proof, { request, reply })
      return issued?.token ?? { ...pending }
    })
  })
  const { kit, add } = app.app.users.feature('badges') as Badges
  const arthur = await app.create()
  const row = await kit.rows.getRow(arthur.id as never)
  if (row === null) throw new Error('no user')
  const { token } = await kit.sessions.create(row, { backend: 'stored' })
  const renewed = await app.send('POST', '/again', { password: PASSWORD }, { authorization: `Bearer ${token}` })
  t.equal(renewed.statusCode, 200)
  await add(arthur, NUMBER)
  const headers = { authorization: `Bearer ${renewed.body}` }
  const { ticket } = (await app.send('POST', '/again', { password: PASSWORD }, headers)).json<{ ticket: string }>()
  t.equal((await app.send('POST', '/again', { ticket, number: NUMBER }, headers)).statusCode, 200)
})

/** Sensitive changes of a user, in the order in which they can be made by one session. */
const CHANGES: [what: string, method: 'PATCH' | 'POST' | 'DELETE' | 'GET', url: string, payload: object | undefined, status: number][] = [
  ['a new e-mail', 'PATCH', '/users/me', { email: 'artus@camelot.bt' }, 200],
  ['a new spelling of the e-mail', 'PATCH', '/users/me', { email: 'King.Arthur@camelot.bt' }, 200],
  ['a new API key', 'POST', '/users/me/api-keys', { name: 'job', scopes: ['read'] }, 201],
  ['an authenticator app', 'POST', '/users/me/totp', undefined, 201],
  ['a passkey', 'POST', '/users/me/passkeys/options', undefined, 200],
  ['the end of other sessions', 'DELETE', '/users/me/sessions', undefined, 204],
  ['the export of the account', 'GET', '/users/me/export', undefined, 200],
  ['the deletion of the account', 'DELETE', '/users/me', undefined, 204]
]

async function serveAll (t: Test, options: Partial<UsersOptions> = {}): Promise<Served> {
  const all = [badges(), apiKeys({ scopes: ['read'] }), totp({ issuer: 'Camelot' }), recoveryCodes(), sessions(), account()]
  const features = [...all, passkeys()]
  const publicUrl = 'https://camelot.example'
  const byDefault = { sensitiveChanges: undefined } as unknown as Partial<UsersOptions>
  return await serve(t, { features, publicUrl, backends: standard().slice(1), ...byDefault, ...options })
}

t.test('VER-05, USR-09, SL-02: by default, a sensitive change needs a recent login or the current password', async (t) => {
  const { clock, create, enter, send } = await serveAll(t)
  await create({ is_verified: true })
  await create({ email: MERLIN, is_verified: true })
  const [own, other] = [await enter('stored'), await enter('stored', MERLIN)]
  clock.tick(301)
  const stale = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
  for (const [what, method, url, payload] of CHANGES) {
    assertErrorReply(t, await send(method, url, payload, own), 401, stale.code, stale, `${what} in an old session`)
    if (method === 'GET') continue
    const wrong = await send(method, url, { ...payload, current_password: 'wrong-password' }, own)
    assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD', undefined, `${what} with a wrong password`)
  }
  for (const [what, method, url, payload, status] of CHANGES) {
    if (method === 'GET') continue
    const reply = await send(method, url, { ...payload, current_password: PASSWORD }, own)
    t.equal(reply.statusCode, status, `${what} with the current password: ${reply.body}`)
  }
  t.equal((await send('GET', '/users/me', undefined, other)).statusCode, 200)
  const fresh = await enter('stored', MERLIN)
  for (const [what, method, url, payload, status] of CHANGES) {
    const reply = await send(method, url, payload, fresh)
    t.equal(reply.statusCode, status, `${what} after a recent login: ${reply.body}`)
  }
})

t.test('USR-09, TOTP-07: a user with a second factor needs both factors for a sensitive change, the password alone is not enough', async (t) => {
  const served = await serveAll(t)
  const { badges, clock, create, enter, reauthenticate, send } = served
  const arthur = await create({ is_verified: true })
  const weak = await enter('stored')
  await badges.add(arthur, NUMBER)
  const detail = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300, methods: 2 }
  for (const seconds of [0, 301]) {
    clock.tick(seconds)
    for (const [what, method, url, payload] of CHANGES) {
      if (method === 'GET' && seconds > 0) continue // its guard refuses first
      const proved = method === 'GET' ? payload : { ...payload, current_password: PASSWORD }
      assertErrorReply(t, await send(method, url, proved, weak), 401, detail.code, detail, what)
    }
    const password = { password: 'excalibur-2', current_password: PASSWORD }
    assertErrorReply(t, await send('PATCH', '/users/me', password, weak), 401, detail.code, detail, 'a new password')
  }
  const { ticket } = (await reauthenticate('stored', weak)).json<{ detail: { ticket: string } }>().detail
  const strong = headersOf(served, 'stored', await send('POST', '/auth/stored/reauthenticate/badge', { ticket, number: NUMBER }, weak))
  for (const [what, method, url, payload, status] of CHANGES) {
    const reply = await send(method, url, payload, strong)
    t.equal(reply.statusCode, status, `${what}: ${reply.body}`)
  }
})

t.test('VER-05: a new password needs the current one, also right after the login; in compatibility mode none does', async (t) => {
  const { create, enter, send } = await serveAll(t)
  await create({ is_verified: true })
  const own = await enter('stored')
  for (const payload of [{ password: 'excalibur-2' }, { password: 'excalibur-2', current_password: 'wrong' }]) {
    assertErrorReply(t, await send('PATCH', '/users/me', payload, own), 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  }
  const payload = { password: 'excalibur-2', current_password: PASSWORD }
  t.equal((await send('PATCH', '/users/me', payload, own)).statusCode, 200)

  const byDefault = { sensitiveChanges: undefined } as unknown as Partial<UsersOptions>
  const old = await serve(t, { compatibility: 'fastapi-users', backends: standard(), features: [], ...byDefault })
  await old.create({ is_verified: true })
  const session = headersOf(old, 'jwt', await old.login('jwt', ARTHUR))
  t.equal((await old.send('PATCH', '/users/me', { password: 'excalibur-2' }, session)).statusCode, 200)
})

t.test('USR-06, USR-09: a superuser authenticates again to set the password of a user, whose sessions end and who is told', async (t) => {
  const mails: { to: string; subject: string }[] = []
  const { app, clock, create, enter, login, send } = await serveAll(t, {
    mail: {
      from: 'Camelot <no-reply@camelot.bt>',
      service: 'Camelot',
      send: async ({ to, subject }) => {
        mails.push({ to, subject })
      }
    }
  })
  const user = await create({ is_verified: true })
  await create({ email: MERLIN, is_superuser: true, is_verified: true })
  const [own, superuser] = [await enter('stored'), await enter('stored', MERLIN)]
  const url = `/users/${user.id}`
  const given = { password: 'excalibur-2' }
  t.equal((await send('PATCH', url, { ...given, current_password: PASSWORD }, own)).statusCode, 403, 'a user')
  clock.tick(301)
  const stale = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
  assertErrorReply(t, await send('PATCH', url, given, superuser), 401, stale.code, stale)
  const wrong = await send('PATCH', url, { ...given, current_password: 'wrong-password' }, superuser)
  assertErrorReply(t, wrong, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD')
  for (const change of [{ email: 'mordred@camelot.bt' }, { is_superuser: true }]) {
    assertErrorReply(t, await send('PATCH', url, change, superuser), 401, stale.code, stale, JSON.stringify(change))
  }
  t.equal((await send('GET', '/users/me', undefined, own)).statusCode, 200, 'refused requests change nothing')
  t.equal((await send('PATCH', url, { is_active: true }, superuser)).statusCode, 200, 'other changes need no proof')
  t.equal((await app.users.update(user, { is_superuser: false })).is_superuser, false, 'nor do those of code')
  await app.users.settled()
  mails.length = 0
  t.equal((await send('PATCH', url, { ...given, current_password: PASSWORD }, superuser)).statusCode, 200)
  t.equal((await send('GET', '/users/me', undefined, own)).statusCode, 401)
  t.equal((await login('stored', ARTHUR)).statusCode, 400)
  t.equal((await login('stored', ARTHUR, given.password)).statusCode, 200)
  await app.users.settled()
  t.match(mails.filter(({ subject }) => /password/i.test(subject)), [{ to: ARTHUR }])
})

t.test('a sensitive transaction of the application needs a recent authentication with both factors', async (t) => {
  const transfers: unknown[] = []
  const built = await buildTotpApp(t, {}, (app) => {
    app.post('/transfers', { preHandler: authenticate({ fresh: 300, methods: 2 }) }, async ({ user }) => {
      transfers.push(user?.email)
      return {}
    })
  })
  const { clock, codeOf, present, send } = built
  const transfer = async (headers: Headers): Promise<LightMyRequestResponse> => send('POST', '/transfers', undefined, headers)
  const checkRefused = async (session: Headers, name: string): Promise<void> => {
    const reply = await transfer(session)
    t.match([reply.statusCode, reply.json()], [401, { code: 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION' }], name)
  }
  const { secret, headers } = await built.enrol()
  await checkRefused(headers, 'a session with the password only')
  let cookie = await present(headers, secret)
  clock.tick(30)
  let bearer = bearerOf(await built.loginWith('totp', codeOf(secret)))
  for (const session of [cookie, bearer]) t.equal((await transfer(session)).statusCode, 200)
  clock.tick(301)
  for (const session of [cookie, bearer]) await checkRefused(session, 'a session from some time ago')
  cookie = await present(cookie, secret)
  clock.tick(30)
  const again = '/auth/jwt/reauthenticate'
  const { ticket } = (await send('POST', again, { password: PASSWORD }, bearer)).json<{ detail: { ticket: string } }>().detail
  await checkRefused(bearer, 'between the factors')
  bearer = bearerOf(await send('POST', `${again}/totp`, { ticket, code: codeOf(secret) }, bearer))
  for (const session of [cookie, bearer]) t.equal((await transfer(session)).statusCode, 200)
  t.strictSame(transfers, Array(4).fill(ARTHUR))
})

function bearerOf (reply: LightMyRequestResponse): Headers {
  return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
}
