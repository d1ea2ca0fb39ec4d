import { randomBytes } from 'node:crypto'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { oauth, openidConnect, type OauthOptions } from '../lib/features/oauth/index.js'
import { passkeys, type PasskeysOptions } from '../lib/features/passkeys/index.js'
import { authenticate, type User, type UsersOptions } from '../lib/index.js'
import { createAuthenticator, type Authenticator } from './helpers/authenticator.js'
import { openBrowser, ORIGIN, type Browser } from './helpers/browser.js'
import { ARTHUR, assertErrorReply, PASSWORD } from './helpers/build-app.js'
import { startOidcProvider, type OidcProvider } from './helpers/oidc-provider.js'
import type { Assertion, Creation } from './helpers/passkey-app.js'
import { browserOf, buildTotpApp, TOTP, totpFeatures, WRONG_CODE, type TotpApp } from './helpers/totp-app.js'

// Logins with a provider that end at the real second factors.

const MORDRED = 'mordred@camelot.bt'
const CALLBACK = '/auth/openid/callback'
const LINK_CALLBACK = '/auth/associate/openid/callback'
const BACKENDS = ['jwt', 'cookie'] as const
const REQUIRED: Partial<UsersOptions> = { secondFactors: { required: () => true } }

type Headers = Record<string, string>
type Backend = (typeof BACKENDS)[number]

/** A login that waits for a step. */
interface Pending {
  ticket: string
  steps: Offered[]
}

/** A step with the values of its challenge; each step has some of them. */
interface Offered {
  name: string
  secret: string
  recovery_codes: string[]
  options: Creation['options'] & Assertion['options']
}

interface Setup extends TotpApp {
  idp: OidcProvider
  browser: Browser
  backend: Backend
  /** Logs in with the provider, and returns the reply of the callback. */
  enter(): Promise<LightMyRequestResponse>
  /** Logs in with the provider, up to the step that must follow. */
  pendAtProvider(): Promise<Pending>
  /** Answers a step with the cookies of the browser, which keeps those of the reply. */
  answerStep(step: string, body: object): Promise<LightMyRequestResponse>
  /** Asserts that a reply has a session with these methods. */
  checkMethods(t: Test, reply: LightMyRequestResponse, methods: readonly string[]): Promise<void>
}

/** Serves logins with a real provider. Replies are JSON. */
async function serve (
  t: Test,
  backend: Backend,
  more: Partial<UsersOptions> = {},
  own: Partial<OauthOptions> = {},
  keys: PasskeysOptions = {}
): Promise<Setup> {
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK, ORIGIN + LINK_CALLBACK])
  const { issuer, clientId, clientSecret } = idp
  const providers = [openidConnect({ issuer, clientId, clientSecret, trustEmail: true })]
  const options = { providers, insecureOrigins: [issuer], backend, isVerifiedByDefault: true, ...own }
  const features = [...totpFeatures(), passkeys(keys), oauth(options)]
  const built = await buildTotpApp(t, { publicUrl: ORIGIN, features, ...more }, (app) => {
    app.get('/methods', { preHandler: authenticate }, async ({ authentication }) => authentication?.session.methods)
  })
  const { app, send } = built
  const browser = openBrowser(app)

  /** Returns the headers of the browser's own cookies. */
  const cookies = (): Headers => {
    const own = browser.jar.get(new URL(ORIGIN).host) ?? new Map<string, string>()
    const cookie = [...own].map((pair) => pair.join('=')).join('; ')
    return cookie === '' ? {} : { cookie, 'sec-fetch-site': 'same-origin' }
  }
  const keep = (reply: LightMyRequestResponse): LightMyRequestResponse => {
    const jar = browser.jar.get(new URL(ORIGIN).host)
    for (const { name, value } of reply.cookies) {
      if (value === '') jar?.delete(name)
      else jar?.set(name, value)
    }
    return reply
  }
  const setup: Setup = {
    ...built,
    idp,
    browser,
    backend,
    async enter () {
      const begun = await browser.ask('/auth/openid/authorize')
      const back = await browser.go(begun.json<{ authorization_url: string }>().authorization_url, isCallback)
      return keep(await send('GET', back.url.pathname + back.url.search, undefined, cookies()))
    },
    async pendAtProvider () {
      const reply = await setup.enter()
      const { code, detail } = reply.json<{ code: string, detail: Pending }>()
      if (reply.statusCode !== 403 || code !== 'FST_USERS_LOGIN_PENDING') throw new Error(reply.body)
      t.notOk(reply.cookies.some(({ name }) => name === '__Host-users-cookie'), 'there is no session before the step')
      return detail
    },
    answerStep: async (step, body) => keep(await send('POST', `/auth/${backend}/login/${step}`, body, cookies())),
    async checkMethods (t, reply, methods) {
      t.equal(reply.statusCode, backend === 'jwt' ? 200 : 204, reply.body)
      t.strictSame((await send('GET', '/methods', undefined, sessionOf(reply))).json(), methods)
    }
  }
  return setup
}

const isCallback = ({ origin }: URL): boolean => origin === ORIGIN

/** Returns the headers of the session in a reply. */
function sessionOf (reply: LightMyRequestResponse): Headers {
  if (reply.statusCode === 204) return browserOf(reply)
  return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
}

function firstOf ({ steps: [step] }: Pending): Offered {
  if (step === undefined) throw new Error('no step')
  return step
}

const namesOf = ({ steps }: Pending): string[] => steps.map(({ name }) => name)

/** Adds an app in a session. Returns its secret and the recovery codes. */
async function addApp (built: Setup, headers: Headers): Promise<{ secret: string, codes: string[] }> {
  const begun = await built.begin(headers)
  const reply = await built.confirm(headers, begun)
  if (reply.statusCode !== 201) throw new Error(reply.body)
  built.clock.tick(30)
  return { secret: begun.secret, codes: reply.json<{ recovery_codes: string[] }>().recovery_codes }
}

for (const backend of BACKENDS) {
  t.test(`TOTP-05, TOTP-06: ${backend}: a login with a provider ends at the code of an app, or at a recovery code`, async (t) => {
    const built = await serve(t, backend)
    const first = await built.enter()
    await built.checkMethods(t, first, ['oauth:openid'])
    const { secret, codes: [recovery] } = await addApp(built, sessionOf(first))

    const pending = await built.pendAtProvider()
    t.strictSame(namesOf(pending), ['totp', 'recovery-code'])
    const { ticket } = pending
    assertErrorReply(t, await built.answerStep('totp', { ticket, code: WRONG_CODE }), 400, 'TOTP_CODE_INVALID')
    assertErrorReply(t, await built.answerStep('totp-enrol', { ticket, code: built.codeOf(secret) }), 400, 'LOGIN_TICKET_INVALID')
    const other = BACKENDS.find((name) => name !== backend)
    const foreign = await built.send('POST', `/auth/${other}/login/totp`, { ticket, code: built.codeOf(secret) })
    assertErrorReply(t, foreign, 400, 'LOGIN_TICKET_INVALID')
    const body = { ticket, code: built.codeOf(secret) }
    await built.checkMethods(t, await built.answerStep('totp', body), ['oauth:openid', 'otp'])
    assertErrorReply(t, await built.answerStep('totp', body), 400, 'LOGIN_TICKET_INVALID')

    const again = await built.pendAtProvider()
    const replayed = await built.answerStep('totp', { ...body, ticket: again.ticket })
    assertErrorReply(t, replayed, 400, 'TOTP_CODE_INVALID')
    const used = { ticket: again.ticket, code: recovery }
    await built.checkMethods(t, await built.answerStep('recovery-code', used), ['oauth:openid', 'recovery-code'])
    const last = await built.pendAtProvider()
    assertErrorReply(t, await built.answerStep('recovery-code', { ...used, ticket: last.ticket }), 400, 'RECOVERY_CODE_INVALID')
  })

  t.test(`TOTP-05, PK-02: ${backend}: a login with a provider ends at a passkey`, async (t) => {
    const built = await serve(t, backend)
    const session = sessionOf(await built.enter())
    const device = createAuthenticator(ORIGIN)
    const begun = await built.send('POST', '/users/me/passkeys/options', undefined, session)
    const { ticket: creating, options } = begun.json<Creation>()
    const added = await built.send('POST', '/users/me/passkeys', { ticket: creating, credential: device.create(options) }, session)
    t.equal(added.statusCode, 201, added.body)

    const pending = await built.pendAtProvider()
    t.strictSame(namesOf(pending), ['passkey'])
    const request = firstOf(pending).options
    const stranger = createAuthenticator(ORIGIN)
    stranger.create({ ...options, challenge: request.challenge })
    const refused = await built.answerStep('passkey', { ticket: pending.ticket, credential: stranger.get(request) })
    assertErrorReply(t, refused, 400, 'PASSKEY_INVALID')
    const spent = await built.answerStep('passkey', { ticket: pending.ticket, credential: device.get(request) })
    assertErrorReply(t, spent, 400, 'PASSKEY_CHALLENGE_INVALID')

    const next = await built.pendAtProvider()
    const credential = device.get(firstOf(next).options)
    const done = await built.answerStep('passkey', { ticket: next.ticket, credential })
    await built.checkMethods(t, done, ['oauth:openid', 'passkey'])
  })

  t.test(`TOTP-05, TOTP-07: ${backend}: the policy makes a new user of a provider add an app or a passkey`, async (t) => {
    for (const step of ['totp-enrol', 'passkey-enrol']) {
      const built = await serve(t, backend, REQUIRED)
      const pending = await built.pendAtProvider()
      t.strictSame(namesOf(pending), ['totp-enrol', 'passkey-enrol'])
      t.not(await built.app.users.getByEmail(ARTHUR), null, 'the user stays')
      t.notOk(built.events.some(({ name }) => name === 'onAfterLogin'))
      const parallel = await built.pendAtProvider()
      const offered = pending.steps.find(({ name }) => name === step) ?? firstOf(pending)
      const device = createAuthenticator(ORIGIN)
      const answer = step === 'totp-enrol'
        ? { code: built.codeOf(offered.secret) }
        : { credential: device.create(offered.options) }
      const done = await built.answerStep(step, { ticket: pending.ticket, ...answer })
      await built.checkMethods(t, done, ['oauth:openid', step === 'totp-enrol' ? 'otp' : 'passkey'])
      t.match(built.events.findLast(({ name }) => name === 'onLoginMethodAdded'), {
        method: step === 'totp-enrol' ? 'totp' : 'passkey'
      })
      assertErrorReply(t, await built.answerStep(step, { ticket: parallel.ticket, ...answer }), 400, 'LOGIN_TICKET_INVALID')

      built.clock.tick(30)
      const next = await built.pendAtProvider()
      t.strictSame(namesOf(next), step === 'totp-enrol' ? ['totp', 'recovery-code'] : ['passkey'])
      if (step !== 'totp-enrol') continue
      const [code] = offered.recovery_codes
      const recovered = await built.answerStep('recovery-code', { ticket: next.ticket, code })
      await built.checkMethods(t, recovered, ['oauth:openid', 'recovery-code'])
    }
  })

  t.test(`TOTP-05, LNK-01: ${backend}: an account that is linked to a user with an app asks for its code`, async (t) => {
    const built = await serve(t, backend)
    const { secret } = await built.enrol()
    const pending = await built.login(backend, ARTHUR)
    const { ticket } = pending.json<{ detail: Pending }>().detail
    const body = { ticket, code: built.codeOf(secret) }
    const done = await built.send('POST', `/auth/${backend}/login/totp`, body, browserOf(pending))
    const session = sessionOf(done)
    t.equal((await link(built, session)).statusCode, 200)

    built.clock.tick(30)
    const next = await built.pendAtProvider()
    t.strictSame(namesOf(next), ['totp', 'recovery-code'], 'a linked account replaces no factor')
    const code = built.codeOf(secret)
    await built.checkMethods(t, await built.answerStep('totp', { ticket: next.ticket, code }), ['oauth:openid', 'otp'])
  })
}

/** Links the account of the provider to the user of a session. */
async function link ({ browser, send }: Setup, session: Headers): Promise<LightMyRequestResponse> {
  const begun = await browser.ask('/auth/associate/openid/authorize', { headers: session })
  if (begun.status !== 200) throw new Error(begun.body)
  const back = await browser.go(begun.json<{ authorization_url: string }>().authorization_url, isCallback)
  const cookie = `__Host-users-oauth=${browser.cookie('__Host-users-oauth')}`
  const cookies = session['cookie'] === undefined ? cookie : `${session['cookie']}; ${cookie}`
  return await send('GET', back.url.pathname + back.url.search, undefined, { ...session, cookie: cookies })
}

t.test('TOTP-05, LNK-06: with sensitiveChanges confirm, a session without the second factor links no account', async (t) => {
  const secondFactors = { trustedDevices: {} }
  const built = await serve(t, 'cookie', { sensitiveChanges: 'confirm', secondFactors })
  await built.create({ is_verified: true })
  const first = await built.session()
  const begun = await built.send('POST', TOTP, { current_password: PASSWORD }, first)
  const { enrolment, secret } = begun.json<{ enrolment: string, secret: string }>()
  t.equal((await built.send('POST', `${TOTP}/confirm`, { enrolment, code: built.codeOf(secret) }, first)).statusCode, 201)
  built.clock.tick(30)
  const pending = await built.login('cookie', ARTHUR)
  const { ticket } = pending.json<{ detail: Pending }>().detail
  const trusted = await built.send('POST', '/auth/cookie/login/totp', {
    ticket, code: built.codeOf(secret), trust_device: true
  }, browserOf(pending))
  const { value } = trusted.cookies.find(({ name }) => name === '__Host-users-trusted') ?? {}
  const login = await built.send('POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }, {
    cookie: `__Host-users-trusted=${value}`
  })
  t.equal(login.statusCode, 204)
  const weak = await built.browser.ask('/auth/associate/openid/authorize', { headers: sessionOf(login) })
  t.equal(weak.status, 401, weak.body)
  t.match(weak.json(), { code: 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION' })
  t.equal((await link(built, sessionOf(trusted))).statusCode, 200, 'a session with both factors links it')
})

t.test('TOTP-05: a trusted device skips the code after a login with a provider, until the trust ends', async (t) => {
  const built = await serve(t, 'cookie', { secondFactors: { trustedDevices: {} } })
  const { secret } = await addApp(built, sessionOf(await built.enter()))
  const pending = await built.pendAtProvider()
  const answer = { ticket: pending.ticket, code: built.codeOf(secret), trust_device: true }
  await built.checkMethods(t, await built.answerStep('totp', answer), ['oauth:openid', 'otp'])
  t.ok(built.browser.cookie('__Host-users-trusted'))
  const skipped = await built.enter()
  await built.checkMethods(t, skipped, ['oauth:openid'])
  t.equal((await built.login('cookie', ARTHUR)).statusCode, 400, 'the user has no password')

  const [device] = await built.app.users.trustedDevices((await built.app.users.getByEmail(ARTHUR)) as never)
  const ended = await built.send('DELETE', `/users/me/trusted-devices/${device?.id}`, undefined, sessionOf(skipped))
  t.equal(ended.statusCode, 204)
  t.strictSame(namesOf(await built.pendAtProvider()), ['totp', 'recovery-code'])
})

t.test('TOTP-05: in the browser, a login with a provider continues at a real factor', async (t) => {
  const built = await serve(t, 'cookie', REQUIRED, { redirects: ['/app'] })
  const { browser } = built
  const visit = async (): Promise<Pending> => {
    const page = await browser.go('/auth/openid/login?redirect=/app', ({ pathname }) => pathname === '/app')
    t.equal(page.url.search, '?error=LOGIN_PENDING')
    t.notOk(browser.cookie('__Host-users-cookie'))
    const kept = decodeURIComponent(browser.cookie('__Host-users-oauth-pending') ?? '')
    const { steps } = JSON.parse(kept) as Pending
    return { ticket: new URLSearchParams(page.url.hash.slice(1)).get('ticket') ?? '', steps }
  }
  const enrolling = await visit()
  t.match(enrolling.steps, [{ name: 'totp-enrol', secret: String }, { name: 'passkey-enrol', options: Object }])
  const device = createAuthenticator(ORIGIN)
  const created = device.create(enrolling.steps.at(-1)?.options ?? firstOf(enrolling).options)
  const enrolled = await built.answerStep('passkey-enrol', { ticket: enrolling.ticket, credential: created })
  await built.checkMethods(t, enrolled, ['oauth:openid', 'passkey'])

  browser.jar.get(new URL(ORIGIN).host)?.delete('__Host-users-cookie')
  const presenting = await visit()
  const credential = device.get(firstOf(presenting).options)
  const done = await built.answerStep('passkey', { ticket: presenting.ticket, credential })
  await built.checkMethods(t, done, ['oauth:openid', 'passkey'])
})

t.test('TOTP-07: a user of a provider whose e-mail is not verified adds no app during the login', async (t) => {
  const built = await serve(t, 'jwt', REQUIRED, { isVerifiedByDefault: false })
  built.idp.next.account = 'lancelot'
  const reply = await built.enter()
  assertErrorReply(t, reply, 400, 'LOGIN_USER_NOT_VERIFIED')
})

for (const { title, count, bytes, isListed } of [
  { title: 'a few passkeys lists them', count: 8, bytes: 32, isListed: true },
  { title: 'a hundred passkeys with the longest ids lists none, and any of them answers', count: 100, bytes: 1023, isListed: false }
]) {
  t.test(`TOTP-05: in the browser, a login with a provider of a user with ${title}`, async (t) => {
    const built = await serve(t, 'cookie', { limits: false }, { redirects: ['/app'] }, { maxPasskeys: count })
    const { app, browser } = built
    const device = createAuthenticator(ORIGIN)
    await built.enter()
    const user = (await app.users.getByEmail(ARTHUR)) as User
    for (let n = 0; n < count; n++) await addPasskey(built, user, device, bytes)
    const other = createAuthenticator(ORIGIN)
    await addPasskey(built, await built.create({ email: MORDRED, is_verified: true }), other, bytes)
    browser.jar.get(new URL(ORIGIN).host)?.clear()

    const { ticket, options } = await visitForPasskey(t, built)
    t.equal(options.allowCredentials?.length, isListed ? count : undefined)
    // without a list, the browser also offers the passkeys of other users
    const refused = await built.answerStep('passkey', { ticket, credential: other.get(options) })
    assertErrorReply(t, refused, 400, 'PASSKEY_INVALID')
    const again = await visitForPasskey(t, built)
    const credential = device.get(again.options, {}, device.credentials[0])
    await built.checkMethods(t, await built.answerStep('passkey', { ticket: again.ticket, credential }), ['oauth:openid', 'passkey'])
  })
}

/** Adds a passkey whose id has this length to a user. */
async function addPasskey ({ app, send }: Setup, user: User, device: Authenticator, bytes: number): Promise<void> {
  const { issued } = await app.users.login(user, { backend: 'jwt', method: 'passkey' })
  const headers = { authorization: `Bearer ${issued?.token}` }
  const begun = await send('POST', '/users/me/passkeys/options', undefined, headers)
  const { ticket, options } = begun.json<Creation>()
  const credential = device.create(options, { credentialId: randomBytes(bytes) })
  const reply = await send('POST', '/users/me/passkeys', { ticket, credential }, headers)
  if (reply.statusCode !== 201) throw new Error(reply.body)
}

/** Logs in with the provider in browser mode. Returns what the page knows about the passkey that must follow. */
async function visitForPasskey (
  t: Test,
  { browser }: Setup
): Promise<{ ticket: string, options: Assertion['options'] & { allowCredentials?: object[] } }> {
  const page = await browser.go('/auth/openid/login?redirect=/app', ({ pathname }) => pathname === '/app')
  const given = new URLSearchParams(page.url.hash.slice(1))
  t.equal(given.get('steps'), 'passkey')
  const kept = browser.cookie('__Host-users-oauth-pending') ?? ''
  t.ok(kept.length <= 3500, `${kept.length} characters`)
  const { options } = firstOf(JSON.parse(decodeURIComponent(kept)) as Pending)
  t.match(options, { challenge: String, rpId: new URL(ORIGIN).hostname, userVerification: 'preferred' })
  return { ticket: given.get('ticket') ?? '', options }
}
