import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { apiKeys } from '../../lib/features/api-keys/index.js'
import { emailLogin } from '../../lib/features/email-login/index.js'
import { refreshTokens } from '../../lib/features/refresh-tokens/index.js'
import { sessions } from '../../lib/features/sessions/index.js'
import type { UsersEvents, UsersOptions } from '../../lib/index.js'
import { badges, NUMBER, type Badges } from '../helpers/badge-feature.js'
import { addRoutes, ARTHUR, assertErrorReply, buildApp, PASSWORD } from '../helpers/build-app.js'
import { openJar } from '../helpers/factor-login.js'
import { terms } from '../helpers/login-features.js'
import { buildTotpApp, totpFeatures, type Enrolled, type TotpApp } from '../helpers/totp-app.js'

// Known ways around a second factor, as used by an attacker who has the password, the mailbox or an old session.

const LANCELOT = 'lancelot@camelot.bt'
const NEW_PASSWORD = 'excalibur-2'

interface Attacked extends TotpApp, Enrolled {}

/** An application with all ways in, and a user who has an authenticator app. */
async function attack (t: Test, options: Partial<UsersOptions> = {}): Promise<Attacked> {
  const built = await buildTotpApp(t, {
    features: [...totpFeatures(), emailLogin(), refreshTokens(), apiKeys({ scopes: ['read'] }), sessions()],
    tokens: { undo: {} },
    sensitiveChanges: 'immediate',
    cache: { maxAgeMs: 5000, max: 100 },
    ...options
  }, addRoutes)
  return { ...built, ...await built.enrol() }
}

type Headers = Record<string, string>
const ticketOf = (reply: LightMyRequestResponse): string => reply.json<{ detail: { ticket: string } }>().detail.ticket

/** Returns everything in a reply with which a client could be logged in. */
function sessionsIn (reply: LightMyRequestResponse): string[] {
  const cookies = reply.cookies.filter(({ name, value }) => value !== '' && !/-(?:login|device|email)\b/.test(name))
  const tokens = reply.body.match(/"(?:access_token|refresh_token)"|eyJ[\w-]+\.[\w-]+\.[\w-]+/g) ?? []
  return [...cookies.map(({ name }) => name), ...tokens]
}

/** Asserts that a login waits for a factor, and that its reply contains no session. */
function assertPending (t: Test, reply: LightMyRequestResponse, name: string): void {
  t.equal(reply.statusCode, 403, `${name}: ${reply.body}`)
  t.match(reply.json(), { code: 'FST_USERS_LOGIN_PENDING', detail: { code: 'LOGIN_STEP_REQUIRED' } }, name)
  t.strictSame(sessionsIn(reply), [], name)
}

t.test('TOTP-04, SES-09: what a client has during a pending login opens nothing', async (t) => {
  const { send, login, app } = await attack(t)
  for (const backend of ['jwt', 'cookie']) {
    const begun = await login(backend, ARTHUR)
    assertPending(t, begun, backend)
    const ticket = ticketOf(begun)
    const given = begun.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    const credentials: Headers[] = [
      { authorization: `Bearer ${ticket}` },
      { cookie: given },
      { cookie: `${given}; __Host-users-cookie=${ticket}` },
      { cookie: `__Host-users-cookie=${begun.cookies[0]?.value ?? ticket}` },
      { authorization: `Bearer ${ticket}`, cookie: given },
      { 'x-api-key': ticket }
    ]
    for (const headers of credentials) {
      for (const [method, url, body] of [
        ['GET', '/guarded'],
        ['POST', '/guarded'],
        ['GET', '/users/me'],
        ['PATCH', '/users/me', { password: NEW_PASSWORD }],
        ['POST', '/users/me/totp'],
        ['DELETE', '/users/me/totp', { code: '123456' }],
        ['GET', '/users/me/recovery-codes'],
        ['GET', '/users/me/sessions'],
        ['POST', '/users/me/api-keys', { name: 'a', scopes: [] }],
        ['POST', `/auth/${backend}/logout`]
      ] as const) {
        const reply = await send(method, url, body, { ...headers, 'sec-fetch-site': 'same-origin' })
        t.equal(reply.statusCode, 401, `${method} ${url} with ${Object.keys(headers).join()}: ${reply.body}`)
      }
    }
    for (const [url, body] of [
      ['/auth/jwt/refresh', { refresh_token: ticket }],
      ['/auth/reset-password', { token: ticket, password: NEW_PASSWORD }],
      ['/auth/verify', { token: ticket }],
      ['/auth/undo-email-change', { token: ticket }],
      [`/auth/${backend}/email/confirm`, { ticket, token: ticket }],
      [`/auth/${backend}/email/confirm`, { ticket, code: 'AAAA-AAAA' }]
    ] as const) {
      const reply = await send('POST', url, body, { cookie: given, 'sec-fetch-site': 'same-origin' })
      t.equal(reply.statusCode, 400, `${url}: ${reply.body}`)
      t.strictSame(sessionsIn(reply), [])
    }
  }
  t.match(await app.users.getByEmail(ARTHUR), { email: ARTHUR }, 'nothing has changed')
})

t.test('TOTP-05: no header, method or property of a request skips the factor', async (t) => {
  const { send, app } = await attack(t)
  const form = { username: ARTHUR, password: PASSWORD }
  const hostile: Headers[] = [
    'x-mfa', 'x-mfa-verified', 'x-2fa', 'x-otp', 'x-skip-mfa', 'x-trusted-device', 'x-remember-device', 'x-amr', 'x-acr',
    'x-keycloak-otp', 'x-forwarded-user', 'x-auth-request-user', 'x-original-url', 'x-internal'
  ].map((name) => ({ [name]: 'true' }))
  hostile.push(
    { 'x-http-method-override': 'GET' },
    { 'x-forwarded-for': '127.0.0.1' },
    { 'user-agent': 'curl', accept: 'text/html' },
    { cookie: 'mfa=true; __Host-users-trusted=true; __Host-users-device=true; remember=1' }
  )
  for (const headers of hostile) {
    for (const backend of ['jwt', 'cookie']) {
      const reply = await send('POST', `/auth/${backend}/login`, form, { 'sec-fetch-site': 'same-origin', ...headers })
      assertPending(t, reply, `${backend} with ${JSON.stringify(headers)}`)
    }
  }
  for (const more of [
    { remember_me: true },
    { scope: 'mfa' },
    { client_id: 'trusted', client_secret: 'trusted' },
    { grant_type: 'password' }
  ]) assertPending(t, await send('POST', '/auth/jwt/login', { ...form, ...more }), JSON.stringify(more))
  for (const more of [{ trust_device: true }, { methods: ['otp'] }, { amr: ['mfa'] }, { mfa: true }, { code: '000000' }]) {
    const reply = await send('POST', '/auth/jwt/login', { ...form, ...more })
    t.ok([400, 403].includes(reply.statusCode), JSON.stringify(more))
    t.strictSame(sessionsIn(reply), [])
  }
  for (const [method, url] of [
    ['GET', '/auth/jwt/login'],
    ['HEAD', '/auth/jwt/login'],
    ['PUT', '/auth/jwt/login'],
    ['GET', '/auth/jwt/login/totp'],
    ['HEAD', '/auth/jwt/login/totp'],
    ['POST', '/auth/jwt/login/'],
    ['POST', '/auth/jwt/login/TOTP'],
    ['POST', '/auth/jwt/login/totp/'],
    ['POST', '/auth/jwt/login/%74otp%00']
  ] as const) {
    const reply = await send(method, url, method === 'POST' || method === 'PUT' ? form : undefined)
    t.equal(reply.statusCode, 404, `${method} ${url}`)
  }
  t.strictSame((await app.users.exportData(await app.users.getByEmail(ARTHUR) as never)).sessions.length, 1)
})

t.test('TOTP-05: every way in asks for the factor, and what starts no session does not skip it later', async (t) => {
  const built = await attack(t)
  const { app, send, login, user, events, clock, codeOf, secret } = built
  const same = { 'sec-fetch-site': 'same-origin' }
  const eventOf = <N extends keyof UsersEvents>(name: N): UsersEvents[N] =>
    events.findLast((event) => event.name === name) as unknown as UsersEvents[N]

  for (const backend of ['jwt', 'cookie']) {
    assertPending(t, await login(backend, ARTHUR), `${backend}: form`)
    const asked = await send('POST', `/auth/${backend}/email`, { email: ARTHUR }, same)
    await app.users.settled()
    const { token } = eventOf('onAfterRequestEmailLogin')
    const cookie = asked.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    const confirmed = await send('POST', `/auth/${backend}/email/confirm`, {
      ticket: asked.json<{ ticket: string }>().ticket, token
    }, { cookie, ...same })
    assertPending(t, confirmed, `${backend}: mail`)
    for (const method of ['password', 'email', 'oauth:google', 'otp', 'test', 'passkey-presence']) {
      const { issued } = await app.users.login(user, { backend, method })
      t.equal(issued, undefined, `code with ${method}`)
    }
  }

  const quiet = async (name: string, reply: LightMyRequestResponse, status: number): Promise<void> => {
    t.equal(reply.statusCode, status, `${name}: ${reply.body}`)
    t.strictSame(sessionsIn(reply), [], `${name} starts no session`)
    assertPending(t, await login('jwt', ARTHUR, password), `after: ${name}`)
    assertPending(t, await login('cookie', ARTHUR, password), `after: ${name}`)
  }
  let password = PASSWORD
  await app.users.forgotPassword(ARTHUR)
  await app.users.settled()
  const reset = { token: eventOf('onAfterForgotPassword').token, password: NEW_PASSWORD }
  password = NEW_PASSWORD
  await quiet('reset', await send('POST', '/auth/reset-password', reset), 200)
  await quiet('register', await send('POST', '/auth/register', { email: 'galahad@camelot.bt', password: PASSWORD }), 201)

  clock.tick(8 * 86_400) // an undo removes factors of the seven days before the change
  const { ticket } = (await login('jwt', ARTHUR, password)).json<{ detail: { ticket: string } }>().detail
  const done = await built.answer('totp', ticket, codeOf(secret))
  t.not(sessionsIn(done).length, 0, 'the session exists after the last step')
  const acting = { authorization: `Bearer ${done.json<{ access_token: string }>().access_token}` }
  const changed = await send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, acting)
  t.match([changed.statusCode, changed.json()], [200, { email: ARTHUR }], 'a user with a factor proves the new e-mail first')
  await app.users.settled()
  t.equal((await send('POST', '/auth/verify', { token: eventOf('onAfterRequestVerify').token })).statusCode, 200)
  await app.users.settled()
  const undo = eventOf('onAfterEmailChange').token
  const undone = await send('POST', '/auth/undo-email-change', { token: undo })
  t.strictSame([undone.statusCode, sessionsIn(undone)], [200, []])
  await app.users.settled()
  const again = { token: eventOf('onAfterForgotPassword').token, password: PASSWORD }
  password = PASSWORD
  await quiet('undo', await send('POST', '/auth/reset-password', again), 200)
  await app.users.update(user, { is_verified: false })
  await app.users.requestVerify(ARTHUR)
  await app.users.settled()
  await quiet('verify', await send('POST', '/auth/verify', { token: eventOf('onAfterRequestVerify').token }), 200)
})

t.test('TOTP-05, SES-06: sessions, refresh tokens and logins from before an enrolment end', async (t) => {
  const built = await buildTotpApp(t, { features: [...totpFeatures(), refreshTokens()] }, addRoutes)
  const { create, send, login, session, begin, confirm } = built
  await create({ is_verified: true })
  const old = (await login('jwt', ARTHUR)).json<{ access_token: string; refresh_token: string }>()
  const stranger = await session()
  const own = await session()
  const reply = await confirm(own, await begin(own))
  t.equal(reply.statusCode, 201)
  t.equal((await send('GET', '/guarded', undefined, { authorization: `Bearer ${old.access_token}` })).statusCode, 401)
  t.equal((await send('POST', '/auth/jwt/refresh', { refresh_token: old.refresh_token })).statusCode, 400)
  for (const headers of [stranger, own]) t.equal((await send('GET', '/guarded', undefined, headers)).statusCode, 401)
})

t.test('TOTP-04: a ticket works for its user, backend, browser and step, once, and until the account changes', async (t) => {
  const built = await attack(t)
  const { app, send, login, answer, codeOf, secret, clock, user, codes } = built
  const other = await built.enrol(LANCELOT)
  const refused = async (name: string, reply: Promise<LightMyRequestResponse>, word = 'LOGIN_TICKET_INVALID'): Promise<void> => {
    assertErrorReply(t, await reply, 400, word, word, name)
  }
  const begin = async (): Promise<string> => {
    clock.tick(30)
    return ticketOf(await login('jwt', ARTHUR))
  }
  await refused('the code of another user', answer('totp', await begin(), codeOf(other.secret)), 'TOTP_CODE_INVALID')
  const [foreign = ''] = other.codes
  await refused('a recovery code of another user', answer('recovery-code', await begin(), foreign), 'RECOVERY_CODE_INVALID')
  t.match((await send('GET', '/users/me/recovery-codes', undefined, other.headers)).json(), { remaining: 10 })
  for (const step of ['totp-enrol', 'unknown']) {
    const reply = await answer(step, await begin(), codeOf(secret))
    t.ok([400, 404].includes(reply.statusCode), `the step ${step}`)
  }
  const ticket = await begin()
  const elsewhere = send('POST', '/auth/cookie/login/totp', { ticket, code: codeOf(secret) }, { 'sec-fetch-site': 'same-origin' })
  await refused('another backend', elsewhere)
  t.equal((await answer('totp', ticket, codeOf(secret))).statusCode, 200)
  await refused('used', answer('totp', ticket, codeOf(secret)))
  await refused('used, with a recovery code', answer('recovery-code', ticket, String(codes[0])))

  const jar = openJar()
  const pendingInBrowser = ticketOf(await jar.send(built, 'POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }))
  clock.tick(30)
  await refused('another browser', openJar().send(built, 'POST', '/auth/cookie/login/totp', {
    ticket: pendingInBrowser, code: codeOf(secret)
  }))
  const changes: Record<string, () => Promise<unknown>> = {
    'after its lifetime': async () => { clock.tick(301) },
    'after all sessions ended': () => app.users.endSessions(user),
    'after a new password': () => app.users.update(user, { password: PASSWORD }),
    'after a new e-mail': async () => {
      await app.users.update(user, { email: 'x@camelot.bt' })
      await app.users.update(user, { email: ARTHUR, is_verified: true })
    },
    'after a deactivation': async () => {
      await app.users.update(user, { is_active: false })
      await app.users.update(user, { is_active: true })
    },
    'after the factors were removed': () => app.users.removeSecondFactors(user)
  }
  for (const [name, change] of Object.entries(changes)) {
    const open = await begin()
    await change()
    await refused(name, answer('totp', open, codeOf(secret)))
    await refused(name, answer('recovery-code', open, String(codes[1])))
  }
})

t.test('TOTP-04: a logout ends the pending logins of its browser', async (t) => {
  const built = await attack(t)
  const { codeOf, secret, clock } = built
  const jar = openJar()
  const login = { username: ARTHUR, password: PASSWORD }
  const first = ticketOf(await jar.send(built, 'POST', '/auth/cookie/login', login))
  t.equal((await jar.send(built, 'POST', '/auth/cookie/login/totp', { ticket: first, code: codeOf(secret) })).statusCode, 204)
  const second = ticketOf(await jar.send(built, 'POST', '/auth/cookie/login', login))
  const before = { cookie: `__Host-users-login=${jar.get('__Host-users-login')}`, 'sec-fetch-site': 'same-origin' }
  t.equal((await jar.send(built, 'POST', '/auth/cookie/logout')).statusCode, 204)
  clock.tick(30)
  const replayed = await built.send('POST', '/auth/cookie/login/totp', { ticket: second, code: codeOf(secret) }, before)
  assertErrorReply(t, replayed, 400, 'LOGIN_TICKET_INVALID')
})

t.test('TOTP-06: the factor is asked for as the store has it at the moment of each step', async (t) => {
  const { app, create, login, send } = await buildApp(t, { features: [badges(), terms()] }, addRoutes)
  const api = app.users.feature('badges') as Badges
  const user = await create()
  const begun = await login('jwt', ARTHUR)
  t.match(begun.json(), { detail: { steps: [{ name: 'terms' }] } }, 'no factor yet')
  await api.add(user, NUMBER)
  const next = await send('POST', '/auth/jwt/login/terms', { ticket: ticketOf(begun), version: 7 })
  assertPending(t, next, 'the factor was added in between')
  t.match(next.json(), { detail: { steps: [{ name: 'badge' }] } })
  await app.users.removeSecondFactors(user)
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('TOTP-06: a password, a mailbox and a provider account are one factor, also together', async (t) => {
  const { app, create } = await buildApp(t, { features: [badges()] })
  const { kit, add } = app.users.feature('badges') as Badges
  const user = await create()
  await add(user, NUMBER)
  const row = (await kit.rows.getByEmail(ARTHUR)) as never
  const attempt = { user: row, backend: 'jwt', method: 'password', purpose: 'login', request: null, reply: null } as const
  for (const [methods, isNeeded] of [
    [['password'], true],
    [['password', 'email'], true],
    [['password', 'oauth:google', 'email', 'unknown'], true],
    [['otp'], true],
    [['otp', 'recovery-code', 'passkey-presence'], true],
    [['password', 'otp'], false],
    [['email', 'passkey-presence'], false],
    [['passkey'], false]
  ] as const) t.equal(await kit.secondFactors.isNeeded({ ...attempt, methods }), isNeeded, methods.join())
})

t.test('TOTP-05: a required factor holds for every way in, also for a user who has none', async (t) => {
  const built = await buildTotpApp(t, {
    features: [...totpFeatures(), emailLogin(), refreshTokens()],
    secondFactors: { required: () => true }
  }, addRoutes)
  const { app, create, send, login, events } = built
  const user = await create({ is_verified: true })
  for (const backend of ['jwt', 'cookie']) {
    const begun = await login(backend, ARTHUR)
    assertPending(t, begun, backend)
    t.match(begun.json(), { detail: { steps: [{ name: 'totp-enrol' }] } })
    const wrong = { ticket: ticketOf(begun), code: '000000' }
    const cookie = begun.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    const reply = await send('POST', `/auth/${backend}/login/totp`, wrong, { cookie, 'sec-fetch-site': 'same-origin' })
    assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID')
    t.notOk((await app.users.login(user, { backend })).issued)
  }
  await send('POST', '/auth/jwt/email', { email: ARTHUR })
  await app.users.settled()
  const mail = events.findLast(({ name }) => name === 'onAfterRequestEmailLogin') as unknown as { token: string }
  const link = await send('POST', '/auth/jwt/email/confirm', { token: mail.token, other_browser: true })
  assertPending(t, link, 'mail')
  t.notOk(events.some(({ name }) => name === 'onAfterLogin'))
})
