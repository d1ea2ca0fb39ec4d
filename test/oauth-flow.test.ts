import { createHash, randomBytes } from 'node:crypto'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import type { Db, ObjectId } from 'mongodb'
import t, { type Test } from 'tap'
import usersPlugin, {
  objectIdId,
  refuse,
  userSchemas,
  usersOpenapi,
  type User,
  type UserId,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { mongodb } from '../lib/entries/mongodb.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { oauth, openidConnect, type OauthOptions } from '../lib/features/oauth/index.js'
import { operationsOf, validateDocument, type ApiDocument } from './helpers/api-document.js'
import { openBrowser, ORIGIN, type Browser, type Page } from './helpers/browser.js'
import {
  addRoutes,
  ARTHUR,
  backends,
  buildApp,
  cookieOf,
  fastPasswords,
  assertValidationError,
  PASSWORD,
  assertErrorReply,
  SECRET,
  type TestApp
} from './helpers/build-app.js'
import { ferretdb, freshDbOn, type MongoStore, mongoeco } from './helpers/mongo-stores.js'
import { startOauthServer } from './helpers/oauth-server.js'
import { startOidcProvider, type OidcProvider } from './helpers/oidc-provider.js'

const CALLBACK = '/auth/openid/callback'
const ASSOCIATE = '/auth/associate/openid/callback'

interface Setup extends TestApp {
  idp: OidcProvider
  browser: Browser
}

async function setUp (
  t: Test,
  options: Partial<OauthOptions> = {},
  users: Partial<UsersOptions> = {},
  extend: (app: FastifyInstance) => void = () => {}
): Promise<Setup> {
  const idp = await startOidcProvider(
    t,
    [CALLBACK, ASSOCIATE, '/front', '/v1/auth/openid/callback'].map((path) => ORIGIN + path)
  )
  const built = await buildApp(t, {
    publicUrl: ORIGIN,
    ...users,
    features: [oauth({
      providers: [
        openidConnect({ issuer: idp.issuer, clientId: idp.clientId, clientSecret: idp.clientSecret, trustEmail: true })
      ],
      insecureOrigins: [idp.issuer],
      ...options
    })]
  }, async (app: FastifyInstance) => {
    addRoutes(app)
    extend(app)
  })
  return { ...built, idp, browser: openBrowser(built.app) }
}

async function authorize (browser: Browser, path = '/auth/openid/authorize', headers = {}): Promise<URL> {
  const page = await browser.ask(path, { headers })
  if (page.status !== 200) throw new Error(`${page.status} ${page.body}`)
  return new URL(page.json<{ authorization_url: string }>().authorization_url)
}

/** Runs a complete login in one browser. */
async function login (browser: Browser): Promise<Page> {
  return browser.go((await authorize(browser)).href)
}

t.test('row 67: the authorization URL contains the configured scopes, or the requested ones among them', async (t) => {
  const { browser } = await setUp(t)
  const url = await authorize(browser)
  t.same(
    [...url.searchParams.keys()],
    ['response_type', 'client_id', 'redirect_uri', 'state', 'scope', 'code_challenge', 'code_challenge_method', 'nonce']
  )
  t.match(Object.fromEntries(url.searchParams), {
    response_type: 'code',
    client_id: 'fastify-users',
    redirect_uri: ORIGIN + CALLBACK,
    scope: 'openid email',
    code_challenge_method: 'S256'
  })
  t.equal((await authorize(browser, '/auth/openid/authorize?scopes=openid')).searchParams.get('scope'), 'openid')
  t.equal(
    (await authorize(browser, '/auth/openid/authorize?scopes=email&scopes=openid')).searchParams.get('scope'),
    'email openid'
  )
  const fewer = await authorize(browser, '/auth/openid/authorize?scopes=email')
  t.equal(fewer.searchParams.get('scope'), 'email openid', 'openid is kept: without it the provider sends no id_token')
  t.equal((await browser.go(fewer.href)).status, 200)
  for (const blank of ['scopes=', 'scopes=&scopes=', 'scopes=%20']) {
    t.equal(
      (await authorize(browser, `/auth/openid/authorize?${blank}`)).searchParams.get('scope'),
      'openid email',
      blank
    )
  }
})

t.test('row 70, row 77: a new user logs in and receives the bearer token', async (t) => {
  const { browser, events, app } = await setUp(t)
  const page = await login(browser)
  t.equal(page.status, 200, page.body)
  const { access_token: token, token_type: type } = page.json<{ access_token: string; token_type: string }>()
  t.equal(type, 'bearer')
  const me = await app.inject({ url: '/users/me', headers: { authorization: `Bearer ${token}` } })
  t.match(me.json(), { email: ARTHUR, is_active: true, is_verified: false, is_superuser: false })
  t.match(
    events.map(({ name }) => name),
    ['onBeforeRegister', 'onAfterRegister', 'onBeforeLogin', 'onIssueToken', 'onAfterLogin']
  )
  t.match(
    events.find(({ name }) => name === 'onAfterLogin'),
    { method: 'oauth:openid', backend: 'jwt' }
  )
})

t.test('row 68: the cookie binds the login to the browser, and the state contains only its digest', async (t) => {
  const { browser, app, events } = await setUp(t)
  const page = await browser.ask('/auth/openid/authorize')
  const [, value = ''] =
    /^__Host-users-oauth=([\w-]{43}); Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/.exec(
      String(page.headers['set-cookie'])
    ) ?? []
  t.not(value, '', String(page.headers['set-cookie']))
  const url = new URL(page.json<{ authorization_url: string }>().authorization_url)
  const claims = claimsOf(url)
  t.same(Object.keys(claims).sort(), ['aud', 'csrftoken', 'exp', 'iat', 'jti'])
  t.match(claims, { aud: 'users:oauth-state', csrftoken: createHash('sha256').update(value).digest('base64url') })
  t.notMatch(page.body, value)

  const back = await browser.go(url.href, isCallback)
  t.equal(back.url.searchParams.get('iss'), url.origin, 'the provider sends its issuer')
  const stranger = await app.inject({ url: back.url.pathname + back.url.search })
  assertErrorReply(t, stranger, 400, 'OAUTH_INVALID_STATE')
  assertErrorReply(
    t,
    await app.inject({ url: back.url.pathname + back.url.search, headers: { cookie: `__Host-users-oauth=${value}` } }),
    400,
    'OAUTH_INVALID_STATE',
    'OAUTH_INVALID_STATE',
    'the first failure ended it'
  )
  t.notMatch(
    events.map(({ name }) => name),
    ['onAfterLogin']
  )
})

t.test('row 68: the options change the attributes of the cookie', async (t) => {
  const named = await setUp(t, {
    cookie: { name: 'csrf', path: '/auth', domain: 'example.com', sameSite: 'none' },
    stateLifetimeSeconds: 60
  })
  t.equal(
    (await named.browser.ask('/auth/openid/authorize')).headers['set-cookie'],
    `csrf=${named.browser.cookie('csrf')}; Max-Age=60; Domain=example.com; Path=/auth; HttpOnly; Secure; SameSite=None`
  )
  const plain = await setUp(t, { cookie: { secure: false } }, { name: 'staff' })
  t.match(
    (await plain.browser.ask('/auth/openid/authorize')).headers['set-cookie'],
    /^staff-oauth=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/
  )
})

t.test('rows 67-68, 75: in compatibility mode, names and bodies equal those of FastAPI Users', async (t) => {
  const { browser, app } = await setUp(t, {}, { compatibility: 'fastapi-users', passwords: fastPasswords, limits: false })
  const url = await authorize(browser)
  t.same(Object.keys(claimsOf(url)).sort(), ['aud', 'csrftoken', 'exp', 'jti'])
  t.equal(claimsOf(url).aud, 'fastapi-users:oauth-state')
  t.equal(browser.cookie('fastapiusersoauthcsrf')?.length, 43)
  const bodies: [string, number, unknown][] = [
    ['', 400, 'Bad Request'],
    ['?error=x', 400, 'x'],
    ['?code=c&error=x', 400, 'x'],
    ['?error=%3Cscript%3E', 400, 'Bad Request'],
    ['?code=c', 400, 'ACCESS_TOKEN_DECODE_ERROR'],
    ['?code=c&state=garbage', 400, 'ACCESS_TOKEN_DECODE_ERROR']
  ]
  for (const [query, status, detail] of bodies) {
    const reply = await app.inject({ url: `${CALLBACK}${query}` })
    t.same([reply.statusCode, reply.json()], [status, { detail }], query)
  }
  const doubled = await app.inject({ url: `${CALLBACK}?code=a&code=b` })
  t.same(
    [doubled.statusCode, doubled.json<{ detail: object[] }>().detail],
    [422, [{ type: 'string_type', loc: ['query', 'code'], msg: 'Input should be a valid string', input: '**********' }]]
  )
  t.equal(
    (await app.inject({ url: '/auth/associate/openid/authorize' })).json<{ detail: string }>().detail,
    'Unauthorized'
  )
  t.equal((await browser.go(url.href)).status, 200)
})

t.test('row 69: a known account logs in its user even if its e-mail changed, and no user is created', async (t) => {
  const { browser, idp, events, app } = await setUp(t)
  const first = await login(browser)
  const id = await userIdOf(app, first)
  events.length = 0
  idp.accounts.arthur = { email: 'arthur.pendragon@camelot.bt', email_verified: true }
  const again = await login(browser)
  t.equal(await userIdOf(app, again), id)
  t.equal((await app.users.get(id))?.email, ARTHUR)
  t.same(
    events.map(({ name }) => name),
    ['onBeforeLogin', 'onIssueToken', 'onAfterLogin']
  )
  t.match(await app.users.feature('oauth').list(id as never), [
    { oauth_name: 'openid', account_id: 'arthur', account_email: 'arthur.pendragon@camelot.bt' }
  ])
})

t.test('row 71: an e-mail that a user has is refused, or linked if both sides verified it', async (t) => {
  const off = await setUp(t)
  await off.create({ is_verified: true })
  const page = await login(off.browser)
  t.match([page.status, page.json()], [400, { code: 'FST_USERS_OAUTH_USER_ALREADY_EXISTS' }])

  const on = await setUp(t, { associateByEmail: true })
  const { id } = await on.create({ is_verified: true })
  t.equal(await userIdOf(on.app, await login(on.browser)), id)
})

t.test('row 72: isVerifiedByDefault applies to an e-mail that the provider verified', async (t) => {
  const { browser, idp, app } = await setUp(t, { isVerifiedByDefault: true })
  await login(browser)
  t.equal((await app.users.getByEmail(ARTHUR))?.is_verified, true)
  idp.next.account = 'lancelot'
  const other = openBrowser(app)
  t.equal((await login(other)).status, 200)
  t.equal((await app.users.getByEmail('lancelot@camelot.bt'))?.is_verified, false)
})

t.test('row 73, OAU-09: the redirect URI comes from an option and is sent again in the exchange', async (t) => {
  const front = await setUp(t, { redirectUrls: { openid: { login: `${ORIGIN}/front` } } })
  const url = await authorize(front.browser, '/auth/openid/authorize', {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'http'
  })
  t.equal(url.searchParams.get('redirect_uri'), `${ORIGIN}/front`)
  const back = await front.browser.go(url.href, ({ pathname }) => pathname === '/front')
  t.equal(
    (await front.browser.ask(CALLBACK + back.url.search)).status,
    200,
    'the page of the application calls the callback'
  )

  const own = await setUp(t)
  t.equal(
    (
      await authorize(own.browser, '/auth/openid/authorize', { host: 'evil.example', forwarded: 'host=evil.example' })
    ).searchParams.get('redirect_uri'),
    ORIGIN + CALLBACK
  )
  const path = await setUp(t, { publicUrl: `${ORIGIN}/v1/` })
  t.equal((await authorize(path.browser)).searchParams.get('redirect_uri'), `${ORIGIN}/v1${CALLBACK}`)
})

t.test('row 74: a provider account without an e-mail and an inactive user are refused', async (t) => {
  const { browser, idp, app, events } = await setUp(t)
  idp.next.account = 'merlin'
  const none = await login(browser)
  t.match(
    [none.status, none.json()],
    [400, { code: 'FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL', detail: 'OAUTH_NOT_AVAILABLE_EMAIL' }]
  )
  t.same(events, [], 'no user is stored')

  idp.next.account = 'arthur'
  const other = openBrowser(app)
  const id = await userIdOf(app, await login(other))
  await app.users.update(id as never, { is_active: false })
  const inactive = await login(other)
  t.match([inactive.status, inactive.json()], [400, { code: 'FST_USERS_LOGIN_BAD_CREDENTIALS' }])
})

t.test('row 75: a refusal, a missing code, an invalid state and an expired state are reported', async (t) => {
  const { browser, app, idp, tick } = await setUp(t)
  idp.next.consent = false
  const denied = await login(browser)
  t.match([denied.status, denied.json()], [400, { code: 'FST_USERS_OAUTH_REFUSED', detail: 'access_denied' }])
  t.equal(browser.cookie('__Host-users-oauth'), undefined, 'the cookie is deleted with its last login')

  assertErrorReply(t, await app.inject({ url: CALLBACK }), 400, 'BAD_REQUEST', 'Bad Request')
  assertErrorReply(t, await app.inject({ url: `${CALLBACK}?code=c` }), 400, 'ACCESS_TOKEN_DECODE_ERROR')
  assertErrorReply(t, await app.inject({ url: `${CALLBACK}?code=c&state=a.b.c` }), 400, 'ACCESS_TOKEN_DECODE_ERROR')

  idp.next.consent = true
  const late = await browser.go((await authorize(browser)).href, isCallback)
  tick(601)
  const page = await browser.ask(late.url.href)
  t.match([page.status, page.json()], [400, { code: 'FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED' }])
})

t.test('row 76, OAU-02: a client may keep the PKCE verifier; otherwise it stays on the server', async (t) => {
  const { browser, app } = await setUp(t)
  const verifier = randomBytes(32).toString('base64url')
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  const start = `/auth/openid/authorize?code_challenge=${challenge}&code_challenge_method=S256`

  const url = await authorize(browser, start)
  t.equal(url.searchParams.get('code_challenge'), challenge)
  const back = await browser.go(url.href, isCallback)
  t.equal((await browser.ask(`${back.url.href}&code_verifier=${verifier}`)).status, 200)

  for (const given of ['', '&code_verifier=', `&code_verifier=${randomBytes(32).toString('base64url')}`]) {
    const other = await browser.go((await authorize(browser, start)).href, isCallback)
    t.match((await browser.ask(other.url.href + given)).json(), { code: 'FST_USERS_OAUTH_INVALID_STATE' }, given)
  }
  const ours = await browser.go((await authorize(browser)).href, isCallback)
  t.equal(
    (await browser.ask(`${ours.url.href}&code_verifier=${verifier}`)).status,
    200,
    'if the server has the verifier, one from the client is ignored'
  )

  for (const query of [
    `code_challenge=${challenge}`,
    'code_challenge_method=S256',
    `code_challenge=${challenge}&code_challenge_method=plain`,
    'code_challenge=short&code_challenge_method=S256'
  ]) {
    t.equal((await app.inject({ url: `/auth/openid/authorize?${query}` })).statusCode, 400, query)
  }
})

t.test('row 77: a cookie backend replies 204 with a cookie that replaces the old session', async (t) => {
  const { browser, app, create, cookie } = await setUp(t, { backend: 'cookie' })
  await create({ email: 'old@camelot.bt' })
  const { cookie: old } = await cookie('old@camelot.bt')
  const [name = '', value = ''] = old.split('=')
  browser.jar.set('app.example.com', new Map([[name, value]]))
  const page = await login(browser)
  t.equal(page.status, 204)
  t.match((await browser.ask('/users/me')).json(), { email: ARTHUR })
  t.equal(
    (await app.inject({ url: '/users/me', headers: { cookie: old } })).statusCode,
    401,
    'the earlier session of the browser has ended'
  )
})

t.test('row 78: a logged-in user links an account and can log in with it', async (t) => {
  const { browser, create, bearer, events, app } = await setUp(t)
  const { id } = await create({ email: 'lady@lake.bt' })
  const headers = await bearer('lady@lake.bt')
  events.length = 0
  const url = await authorize(browser, '/auth/associate/openid/authorize', headers)
  t.equal(url.searchParams.get('redirect_uri'), ORIGIN + ASSOCIATE)
  t.equal(claimsOf(url).sub, id)
  const back = await browser.go(url.href, isCallback)
  t.equal((await browser.ask(back.url.href)).status, 401, 'authentication is checked first')
  const page = await browser.ask(back.url.href, { headers })
  t.match([page.status, page.json()], [200, { id, email: 'lady@lake.bt' }])
  t.same(
    events.map(({ name }) => name),
    ['onAfterUpdate', 'onAfterLink', 'onLoginMethodAdded']
  )
  t.match(events[0], { changes: {} })
  t.equal(await userIdOf(app, await login(openBrowser(app))), id)
})

t.test("row 79, LNK-04: another user's state is refused, and requireVerification applies to linking", async (t) => {
  const { browser, create, bearer, app } = await setUp(t)
  await create({ email: 'lady@lake.bt' })
  await create({ email: 'other@lake.bt' })
  const [own, other] = [await bearer('lady@lake.bt'), await bearer('other@lake.bt')]
  const back = await browser.go((await authorize(browser, '/auth/associate/openid/authorize', own)).href, isCallback)
  const wrong = await browser.ask(back.url.href, { headers: other })
  t.match([wrong.status, wrong.json()], [400, { code: 'FST_USERS_BAD_REQUEST', detail: 'Bad Request' }])
  t.match(
    (await browser.ask(back.url.href, { headers: own })).json(),
    { code: 'FST_USERS_OAUTH_INVALID_STATE' },
    'the state cannot be used again'
  )
  t.same(await app.users.feature('oauth').list((await app.users.getByEmail('other@lake.bt'))?.id as never), [])

  const strict = await setUp(t, { requireVerification: true })
  await strict.create({ email: 'lady@lake.bt' })
  const headers = await strict.bearer('lady@lake.bt')
  for (const path of ['/auth/associate/openid/authorize', ASSOCIATE]) {
    t.match((await strict.browser.ask(path, { headers })).json(), { code: 'FST_USERS_FORBIDDEN' }, path)
  }
  t.match(
    (await login(strict.browser)).json(),
    { code: 'FST_USERS_LOGIN_USER_NOT_VERIFIED' },
    'the login is refused, too'
  )
  t.match(strict.events.at(-1), { name: 'onLoginFailed', reason: 'NOT_VERIFIED' })
})

const CONFIRM = { sensitiveChanges: 'confirm' } as const
const LADY = 'lady@lake.bt'
const START = '/auth/associate/openid/authorize'
/** Bodies without the correct current password. */
const UNPROVEN = [
  {},
  { current_password: '' },
  { current_password: 'wrong-password' },
  { password: PASSWORD },
  { current_password: `${PASSWORD} ` }
]
const STALE = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }

/** Asserts the refusal of a stale session: bodies without `current_password` get 401, wrong passwords 400. */
function assertUnproven (t: Test, reply: LightMyRequestResponse, body: object, name = JSON.stringify(body)): void {
  if ('current_password' in body) assertErrorReply(t, reply, 400, 'UPDATE_USER_BAD_CURRENT_PASSWORD', undefined, name)
  else assertErrorReply(t, reply, 401, 'INSUFFICIENT_USER_AUTHENTICATION', STALE, name)
}

t.test(
  "LNK-06, LOG-10: with sensitiveChanges 'confirm', linking requires a fresh login, or the current password in a body",
  async (t) => {
    const { browser, create, bearer, cookie, send, events, app, tick } = await setUp(t, {}, CONFIRM)
    const { id } = await create({ email: LADY })
    const headers = await bearer(LADY)
    for (const method of ['GET', 'POST'] as const) {
      t.equal((await send(method, START, undefined, headers)).statusCode, 200, `a fresh login suffices for ${method}`)
    }
    tick(302)
    for (const url of [START, `${START}?current_password=${PASSWORD}`]) {
      assertUnproven(t, await send('GET', url, undefined, headers), {}, `a password belongs in a body: ${url}`)
    }
    for (const body of UNPROVEN) {
      for (const url of [START, `${START}?current_password=${PASSWORD}`]) {
        const reply = await send('POST', url, body, headers)
        assertUnproven(t, reply, body)
        t.notOk(reply.headers['set-cookie'])
      }
    }
    assertValidationError(t, await send('POST', START, { current_password: 1 }, headers), ['/current_password'])
    assertUnproven(t, await send('POST', START, undefined, headers), {})
    const proof = { current_password: PASSWORD }
    assertErrorReply(t, await send('POST', START, proof), 401, 'UNAUTHENTICATED', 'Unauthorized')
    assertErrorReply(
      t,
      await send('POST', START, proof, { ...(await cookie(LADY)), origin: 'https://evil.example' }),
      403,
      'CROSS_SITE_REQUEST',
      'Forbidden'
    )
    assertErrorReply(t, await send('POST', `${START}?scopes=admin`, proof, headers), 400, 'BAD_REQUEST', 'Bad Request')

    events.length = 0
    const started = await send('POST', `${START}?scopes=email`, proof, headers)
    t.match([started.statusCode, started.headers['set-cookie']], [200, /^__Host-users-oauth=/])
    const url = new URL(started.json<{ authorization_url: string }>().authorization_url)
    t.notMatch(url.href, PASSWORD)
    t.equal(url.searchParams.get('scope'), 'email openid')
    browser.jar.set(
      new URL(ORIGIN).host,
      new Map([['__Host-users-oauth', cookieOf(started).replace('__Host-users-oauth=', '')]])
    )
    const back = await browser.go(url.href, isCallback)
    t.match((await browser.ask(back.url.href, { headers })).json(), { id })
    t.same(
      events.map(({ name }) => name),
      ['onAfterUpdate', 'onAfterLink', 'onLoginMethodAdded'],
      'an event is fired, so that the owner can be notified'
    )
    t.equal(await userIdOf(app, await login(openBrowser(app))), id)
  }
)

t.test("LNK-06, LOG-10: with sensitiveChanges 'confirm', linking in the browser starts with a form unless the login is fresh", async (t) => {
  const { browser, create, cookie, app, tick } = await setUp(t, { backend: 'cookie', redirects: ['/app'] }, CONFIRM)
  const { id } = await create({ email: LADY })
  const session = (await cookie(LADY)).cookie
  browser.jar.set(
    new URL(ORIGIN).host,
    new Map([[session.slice(0, session.indexOf('=')), session.slice(session.indexOf('=') + 1)]])
  )
  const form = (fields: Record<string, string>, redirect = '/app/me?tab=1', headers = {}): Promise<Page> =>
    browser.ask(`/auth/associate/openid/login?${new URLSearchParams({ redirect }).toString()}`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      headers
    })
  const link = (): Promise<Page> =>
    browser.ask('/auth/associate/openid/login?redirect=/app/me', { headers: { 'sec-fetch-site': 'same-origin' } })
  t.match((await link()).headers.location, /^http:\/\/(?!localhost:\d+\/app)/, 'a fresh login can use a link')
  tick(301)
  const stale = await link()
  t.same([stale.status, stale.headers.location], [302, `${ORIGIN}/app/me?error=INSUFFICIENT_USER_AUTHENTICATION`])
  for (const body of UNPROVEN) {
    const page = await form(body as Record<string, string>)
    const code = 'current_password' in body ? 'UPDATE_USER_BAD_CURRENT_PASSWORD' : 'INSUFFICIENT_USER_AUTHENTICATION'
    t.match(
      [page.status, page.headers.location, page.headers['referrer-policy']],
      [303, `${ORIGIN}/app/me?tab=1&error=${code}`, 'no-referrer'],
      JSON.stringify(body)
    )
  }
  const proof = { current_password: PASSWORD }
  t.match((await form(proof, 'https://evil.example')).json(), { code: 'FST_USERS_OAUTH_BAD_REDIRECT' })
  t.match((await form(proof, '/app', { origin: 'https://evil.example' })).json(), {
    code: 'FST_USERS_CROSS_SITE_REQUEST'
  })
  t.match(
    (
      await openBrowser(app).ask('/auth/associate/openid/login', { method: 'POST', body: new URLSearchParams(proof) })
    ).json(),
    { code: 'FST_USERS_UNAUTHENTICATED' }
  )
  const there = await form(proof)
  t.equal(there.status, 303)
  const done = await browser.go(String(there.headers.location), isPlace)
  t.equal(done.url.href, `${ORIGIN}/app/me?tab=1`)
  t.equal((await app.users.feature('oauth').list(id as never)).length, 1)
})

t.test("LNK-06: with sensitiveChanges 'confirm' unlinking needs a fresh login or the current password", async (t) => {
  const { create, bearer, send, events, app, browser, tick, tokenOf } = await setUp(t, {}, CONFIRM)
  const { id } = await create({ email: LADY, is_verified: true })
  const headers = await bearer(LADY)
  const started = await send('POST', START, { current_password: PASSWORD }, headers)
  browser.jar.set(
    new URL(ORIGIN).host,
    new Map([['__Host-users-oauth', cookieOf(started).replace('__Host-users-oauth=', '')]])
  )
  const back = await browser.go(started.json<{ authorization_url: string }>().authorization_url, isCallback)
  t.equal((await browser.ask(back.url.href, { headers })).status, 200)
  const list = (): Promise<{ id: string | number }[]> => app.users.feature('oauth').list(id as never)
  const url = `/users/me/oauth-accounts/${(await list())[0]?.id ?? ''}`
  tick(302)
  for (const body of UNPROVEN) {
    assertUnproven(t, await send('DELETE', `${url}?current_password=${PASSWORD}`, body, headers), body)
  }
  assertUnproven(t, await send('DELETE', url, undefined, headers), {})
  assertValidationError(t, await send('DELETE', url, { current_password: null }, headers), ['/current_password'])
  t.equal((await list()).length, 1)
  t.equal((await send('DELETE', url, { current_password: PASSWORD }, headers)).statusCode, 204)
  t.same(
    events.slice(-2).map(({ name }) => name),
    ['onAfterUnlink', 'onLoginMethodRemoved'],
    'an event is fired, so that the owner can be notified'
  )
  t.same(await list(), [])

  const page = await login(openBrowser(app))
  const bare = { authorization: `Bearer ${page.json<{ access_token: string }>().access_token}` }
  const account = `/users/me/oauth-accounts/${(await send('GET', '/users/me/oauth-accounts', undefined, bare)).json<{ id: string }[]>()[0]?.id ?? ''}`
  t.equal((await send('POST', START, {}, bare)).statusCode, 200, 'a user without a password has just logged in')
  tick(302)
  for (const body of UNPROVEN) {
    assertUnproven(t, await send('DELETE', account, body, bare), body, 'a user without a password must log in again')
    assertUnproven(t, await send('POST', START, body, bare), body)
  }
  await app.users.requestVerify(ARTHUR)
  await app.users.verify(await tokenOf('onAfterRequestVerify'))
  await app.users.forgotPassword(ARTHUR)
  await app.users.resetPassword(await tokenOf('onAfterForgotPassword'), PASSWORD)
  t.equal(
    (await send('DELETE', account, { current_password: PASSWORD }, await bearer(ARTHUR))).statusCode,
    204,
    'after a reset the user has a password'
  )
})

t.test('two tabs of one browser both finish, and a replay of either does not', async (t) => {
  const { browser } = await setUp(t)
  const [one, two] = [await authorize(browser), await authorize(browser)]
  const [first, second] = [await browser.go(one.href, isCallback), await browser.go(two.href, isCallback)]
  t.equal((await browser.ask(first.url.href)).status, 200)
  t.not(browser.cookie('__Host-users-oauth'), undefined, 'the other tab needs the cookie')
  t.equal((await browser.ask(second.url.href)).status, 200)
  t.equal(browser.cookie('__Host-users-oauth'), undefined)
  for (const { url } of [first, second]) {
    t.match((await browser.ask(url.href)).json(), { code: 'FST_USERS_OAUTH_INVALID_STATE' })
  }
})

t.test('browser mode: a login leads to the provider and back to the target with the session cookie', async (t) => {
  const { browser, app, idp } = await setUp(t, {
    backend: 'cookie',
    redirects: ['/app', 'https://shop.example.com/account/']
  })
  const there = await browser.ask('/auth/openid/login?redirect=/app/inbox?tab=1')
  t.match([there.status, there.headers['referrer-policy']], [302, 'no-referrer'])
  t.match(there.headers.location, new RegExp(`^${idp.issuer}/auth\\?`))
  const back = await browser.go(String(there.headers.location), isCallback)
  const done = await browser.ask(back.url.href)
  t.match(
    [done.status, done.headers.location, done.headers['referrer-policy']],
    [302, `${ORIGIN}/app/inbox?tab=1`, 'no-referrer']
  )
  t.match((await browser.ask('/users/me')).json(), { email: ARTHUR })

  const shop = await openBrowser(app).go(
    '/auth/openid/login?redirect=https://shop.example.com/account/orders',
    ({ host }) => host === 'shop.example.com'
  )
  t.equal(shop.url.href, 'https://shop.example.com/account/orders')
  const first = await openBrowser(app).go('/auth/openid/login', isPlace)
  t.equal(first.url.href, `${ORIGIN}/app`, 'without a target, the first allowed one is used')

  idp.next.consent = false
  const denied = await openBrowser(app).go('/auth/openid/login?redirect=/app?error=old', isPlace)
  t.equal(denied.url.href, `${ORIGIN}/app?error=OAUTH_REFUSED`)
  idp.next = { consent: true, account: 'merlin' }
  t.equal(
    (await openBrowser(app).go('/auth/openid/login', isPlace)).url.href,
    `${ORIGIN}/app?error=OAUTH_NOT_AVAILABLE_EMAIL`
  )
})

t.test(
  'browser mode: a login that needs a further step passes its ticket to the page, which finishes it',
  async (t) => {
    const tickets = new Map<string, UserId>()
    const body = { ticket: '', hint: 'Ünïcode; "quotes", and more=1' }
    const { browser, app, events } = await setUp(
      t,
      { backend: 'cookie', redirects: ['/app'] },
      {
        hooks: {
          async onBeforeLogin ({ user, method }) {
            if (!method.startsWith('oauth:')) return
            body.ticket = randomBytes(16).toString('hex')
            tickets.set(body.ticket, user.id)
            return { pending: { code: 'SECOND_FACTOR', body } }
          }
        }
      },
      (app) => {
        app.post<{ Body: { ticket: string } }>('/auth/second-factor', async (request, reply) => {
          const user = await app.users.get(tickets.get(request.body.ticket) as UserId)
          const { issued } = await app.users.login(user as User, {
            backend: 'cookie',
            method: 'digits',
            request,
            reply
          })
          return issued && app.users.backends.get('cookie')?.transport.sendLogin(reply, issued)
        })
      }
    )
    const back = await browser.go(
      (await browser.ask('/auth/openid/login?redirect=/app/inbox')).headers.location as string,
      isCallback
    )
    const page = await browser.ask(back.url.href)
    t.match(
      [page.status, page.headers.location],
      [302, `${ORIGIN}/app/inbox?error=LOGIN_PENDING`],
      'the URL does not contain the ticket'
    )
    t.notMatch(
      events.map(({ name }) => name),
      ['onAfterLogin'],
      'no user is logged in yet'
    )
    const cookies = [page.headers['set-cookie']].flat().map(String)
    t.match(
      cookies.filter((cookie) => cookie.startsWith('__Host-users-oauth-pending=')),
      [/^[^;]+; Max-Age=600; Path=\/; Secure; SameSite=Lax$/],
      'scripts can read the cookie'
    )
    t.notOk(browser.cookie('__Host-users-cookie'))

    const detail = JSON.parse(decodeURIComponent(browser.cookie('__Host-users-oauth-pending') ?? '')) as typeof body
    t.strictSame(detail, { code: 'SECOND_FACTOR', ...body }, 'the cookie contains the same data as the JSON reply')
    const done = await app.inject({ method: 'POST', url: '/auth/second-factor', payload: { ticket: detail.ticket } })
    t.equal(done.statusCode, 204)
    t.match((await app.inject({ url: '/users/me', headers: { cookie: cookieOf(done) } })).json(), { email: ARTHUR })

    body.hint = 'x'.repeat(4000)
    const second = openBrowser(app)
    t.equal(
      (await second.go('/auth/openid/login', ({ pathname }) => pathname === '/app')).url.search,
      '?error=LOGIN_PENDING'
    )
    t.notOk(second.cookie('__Host-users-oauth-pending'), 'browsers would drop so large a cookie')
    await browser.go('/auth/openid/login', ({ pathname }) => pathname === '/app')
    t.notOk(browser.cookie('__Host-users-oauth-pending'), 'the values of the earlier login do not stay')
  }
)

t.test('browser mode: refusals, further steps and failures of hooks appear as error codes', async (t) => {
  const veto: { make: () => unknown } = { make: () => undefined }
  const { browser } = await setUp(
    t,
    { backend: 'cookie', redirects: ['/'] },
    { hooks: { onBeforeLogin: async () => veto.make() as undefined } }
  )
  const endsAt = async (): Promise<string> =>
    (await browser.go('/auth/openid/login', ({ pathname, origin }) => pathname === '/' && origin === ORIGIN)).url.search
  t.equal(await endsAt(), '')
  veto.make = () => ({ pending: { code: 'SECOND_FACTOR', body: { ticket: 'secret' } } })
  t.equal(await endsAt(), '?error=LOGIN_PENDING')
  veto.make = () => {
    throw refuse(403, 'NOT_TODAY', 'not today')
  }
  t.equal(await endsAt(), '?error=NOT_TODAY')
  veto.make = () => {
    throw refuse(403, 'Not today, <b>sorry</b>', 'not today')
  }
  t.equal(await endsAt(), '?error=REFUSED')
  veto.make = () => {
    throw Object.assign(new Error('canary'), { statusCode: 418 })
  }
  t.equal(await endsAt(), '?error=REFUSED')
  veto.make = () => {
    throw new Error('canary')
  }
  t.equal(await endsAt(), '?error=INTERNAL_ERROR')
})

t.test('browser mode: linking redirects to the provider and back to the target', async (t) => {
  const { browser, create, cookie, app } = await setUp(t, { backend: 'cookie', redirects: ['/settings'] })
  const { id } = await create({ email: 'lady@lake.bt' })
  const [name = '', value = ''] = (await cookie('lady@lake.bt')).cookie.split('=')
  t.equal((await browser.ask('/auth/associate/openid/login')).status, 401)
  browser.jar.set('app.example.com', new Map([[name, value]]))
  const isSettings = ({ pathname }: URL): boolean => pathname === '/settings'
  const go = async (): Promise<Page> => {
    const there = await browser.ask('/auth/associate/openid/login', { headers: { 'sec-fetch-site': 'same-origin' } })
    return browser.go(String(there.headers.location), isSettings)
  }
  t.equal((await go()).url.href, `${ORIGIN}/settings`)
  t.match(await app.users.feature('oauth').list(id as never), [{ account_id: 'arthur' }])
  t.match((await browser.ask('/auth/associate/openid/login', { headers: { 'sec-fetch-site': 'cross-site' } })).json(), {
    code: 'FST_USERS_CROSS_SITE_REQUEST'
  })

  const [other, session] = await secondUser()
  browser.jar.set('app.example.com', new Map([[name, session]]))
  t.equal((await go()).url.href, `${ORIGIN}/settings?error=OAUTH_ACCOUNT_ALREADY_LINKED`)
  t.same(await app.users.feature('oauth').list(other as never), [])

  async function secondUser (): Promise<[unknown, string]> {
    const user = await create({ email: 'second@lake.bt' })
    return [user.id, (await cookie('second@lake.bt')).cookie.split('=')[1] ?? '']
  }
})

t.test('any process finishes a login of another process, and expired transactions are deleted', async (t) => {
  const adapter = memory()
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK])
  const provider = openidConnect({ issuer: idp.issuer, clientId: idp.clientId, clientSecret: idp.clientSecret })
  const build = (): Promise<TestApp> =>
    buildApp(t, {
      adapter,
      publicUrl: ORIGIN,
      features: [oauth({ providers: [provider], insecureOrigins: [idp.issuer] })]
    }, () => {})
  const [one, two] = [await build(), await build()]
  const browser = openBrowser(one.app)
  const back = await browser.go((await authorize(browser)).href, isCallback)
  const elsewhere = openBrowser(two.app)
  elsewhere.jar.set('app.example.com', browser.jar.get('app.example.com') ?? new Map())
  t.equal((await elsewhere.ask(back.url.href)).status, 200)

  const stored = (): Promise<unknown[]> =>
    adapter.findMany({ name: 'single_use', table: '', fields: {} }, {}, { limit: 100 })
  for (let i = 0; i < 5; i++) await authorize(browser)
  t.equal((await stored()).length, 5)
  one.tick(601)
  await authorize(browser)
  await one.app.users.settled()
  t.equal((await stored()).length, 1)
})

t.test('the whole flow works over sockets', async (t) => {
  const { app, idp } = await setUp(t)
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const started = await fetch(`${origin}/auth/openid/authorize`)
  const [cookie = ''] = started.headers.getSetCookie()[0]?.split(';') ?? []
  const { authorization_url: url } = (await started.json()) as { authorization_url: string }
  t.equal(new URL(url).origin, idp.issuer)
  const back = await openBrowser(app).go(url, isCallback)
  const done = await fetch(`${origin}${back.url.pathname}${back.url.search}`, { headers: { cookie } })
  t.equal(done.status, 200)
  t.match(done.headers.getSetCookie(), [/^__Host-users-oauth=; Max-Age=0; Path=\/; HttpOnly; Secure; SameSite=Lax$/])
  t.match(await done.json(), { token_type: 'bearer' })
})

t.test(
  'row 67, row 87: the API document contains the routes, in compatibility mode with the names of FastAPI Users',
  async (t) => {
    const provider = {
      ...openidConnect({ issuer: 'https://login.example.com', clientId: 'id', clientSecret: 's' }),
      responseMode: 'form_post' as const
    }
    const documentOf = async (
      users: Partial<UsersOptions>,
      options: Partial<OauthOptions> = {}
    ): Promise<ApiDocument> => {
      const app = Fastify()
      t.teardown(() => app.close())
      const given: UsersOptions = {
        adapter: memory(),
        secret: SECRET,
        backends: backends(),
        passwords: fastPasswords,
        limits: false,
        publicUrl: ORIGIN,
        ...users
      }
      const { openapi, transformObject } = usersOpenapi(given)
      await app.register(swagger, { openapi: { ...openapi, info: { title: 'Test', version: '1' } }, transformObject })
      await app.register(usersPlugin, { ...given, features: [oauth({ providers: [provider], ...options })] })
      await app.ready()
      return JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
    }
    const ours = await documentOf({ sensitiveChanges: 'immediate' }, { backend: 'cookie', redirects: ['/app'] })
    t.same(await validateDocument(ours), { seriousme: null, readme: null })
    const operations = operationsOf(ours).filter(
      ({ path }) => path.includes('openid') || path.includes('oauth-accounts')
    )
    t.same(
      Object.fromEntries(
        operations.map(({ method, path, operation }) => [
          `${method} ${path}`,
          [operation.operationId, ...Object.keys(operation.responses)]
        ])
      ),
      {
        'get /auth/openid/authorize': ['oauthAuthorize:openid.cookie', '200', '400', '403', '500', '502', '503'],
        'get /auth/openid/callback': ['oauthCallback:openid.cookie', '204', '302', '400', '403', '500', '502', '503'],
        'post /auth/openid/callback': ['oauthFormPost:openid.cookie', '303', '400', '413', '415', '500', '503'],
        'get /auth/openid/login': ['oauthLogin:openid.cookie', '302', '400', '500', '502', '503'],
        'get /auth/associate/openid/authorize': [
          'oauthAssociateAuthorize:openid',
          '200',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'get /auth/associate/openid/callback': [
          'oauthAssociateCallback:openid',
          '200',
          '302',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'post /auth/associate/openid/callback': [
          'oauthAssociateFormPost:openid',
          '303',
          '400',
          '413',
          '415',
          '500',
          '503'
        ],
        'post /auth/associate/openid/authorize': [
          'oauthAssociateAuthorizePost:openid',
          '200',
          '400',
          '401',
          '403',
          '413',
          '415',
          '500',
          '502',
          '503'
        ],
        'get /auth/associate/openid/login': [
          'oauthAssociateLogin:openid',
          '302',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'post /auth/associate/openid/login': [
          'oauthAssociateLoginPost:openid',
          '303',
          '400',
          '401',
          '403',
          '413',
          '415',
          '500',
          '502',
          '503'
        ],
        'get /users/me/oauth-accounts': ['oauthAccounts', '200', '401', '403', '500', '503'],
        'delete /users/me/oauth-accounts/{id}': [
          'unlinkOauthAccount',
          '204',
          '400',
          '401',
          '403',
          '404',
          '413',
          '415',
          '500',
          '503'
        ]
      }
    )
    t.ok(ours.components.schemas.OAuth2AuthorizeResponse)

    const confirming = await documentOf(CONFIRM, { backend: 'cookie', redirects: ['/app'] })
    t.same(await validateDocument(confirming), { seriousme: null, readme: null })
    const changed = operationsOf(confirming).filter(
      ({ path, method }) =>
        /associate.*(authorize|login)$|accounts.\{id/.test(path) || (path.includes('associate') && method === 'get')
    )
    t.same(
      Object.fromEntries(
        changed.map(({ method, path, operation }) => [
          `${method} ${path}`,
          [operation.operationId, ...Object.keys(operation.responses)]
        ])
      ),
      {
        'get /auth/associate/openid/authorize': [
          'oauthAssociateAuthorize:openid',
          '200',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'post /auth/associate/openid/authorize': [
          'oauthAssociateAuthorizePost:openid',
          '200',
          '400',
          '401',
          '403',
          '413',
          '415',
          '500',
          '502',
          '503'
        ],
        'get /auth/associate/openid/callback': [
          'oauthAssociateCallback:openid',
          '200',
          '302',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'get /auth/associate/openid/login': [
          'oauthAssociateLogin:openid',
          '302',
          '400',
          '401',
          '403',
          '500',
          '502',
          '503'
        ],
        'post /auth/associate/openid/login': [
          'oauthAssociateLoginPost:openid',
          '303',
          '400',
          '401',
          '403',
          '413',
          '415',
          '500',
          '502',
          '503'
        ],
        'delete /users/me/oauth-accounts/{id}': [
          'unlinkOauthAccount',
          '204',
          '400',
          '401',
          '403',
          '404',
          '413',
          '415',
          '500',
          '503'
        ]
      }
    )
    for (const { method, path, operation } of changed) {
      t.equal(
        JSON.stringify(operation).includes('#/components/schemas/CurrentPassword'),
        method !== 'get',
        `${method} ${path}: the body`
      )
      if (method !== 'get') t.equal((operation as { requestBody?: { required?: boolean } }).requestBody?.required, false)
    }
    t.match(confirming.components.schemas.CurrentPassword, { properties: { current_password: { type: 'string' } } })
    t.notOk(ours.components.schemas.CurrentPassword)

    const theirs = await documentOf({ compatibility: 'fastapi-users', passwords: fastPasswords, limits: false })
    t.same(await validateDocument(theirs), { seriousme: null, readme: null })
    const ids = operationsOf(theirs)
      .filter(({ path, method }) => path.includes('openid') && method === 'get')
      .map(({ operation }) => [operation.operationId, operation.summary])
    t.same(ids, [
      ['oauth_openid_jwt_authorize_auth_openid_authorize_get', 'Oauth:Openid.Jwt.Authorize'],
      ['oauth_openid_jwt_callback_auth_openid_callback_get', 'Oauth:Openid.Jwt.Callback'],
      ['oauth_associate_openid_authorize_auth_associate_openid_authorize_get', 'Oauth-Associate:Openid.Authorize'],
      ['oauth_associate_openid_callback_auth_associate_openid_callback_get', 'Oauth-Associate:Openid.Callback']
    ])
  }
)

t.test('OAU-09: wrong options make registration fail with a coded error', async (t) => {
  const provider = openidConnect({ issuer: 'https://login.example.com', clientId: 'id', clientSecret: 's' })
  const wrong: [Partial<Record<keyof OauthOptions, unknown>> & Record<string, unknown>, string][] = [
    [{ provider }, 'UNKNOWN_OPTION oauth.provider'],
    [{ providers: undefined }, 'INVALID_OPTION oauth.providers'],
    [{ providers: [] }, 'INVALID_OPTION oauth.providers'],
    [{ providers: [null] }, 'INVALID_OPTION oauth.providers'],
    [{ providers: [openidConnect] }, 'INVALID_OPTION oauth.providers'],
    [{ providers: [{ ...provider, name: '../x' }] }, 'INVALID_OPTION oauth.providers'],
    [{ providers: [provider, provider] }, 'INVALID_OPTION oauth.providers'],
    [{ backend: 'none' }, 'UNKNOWN_BACKEND none'],
    [{ publicUrl: 'app.example.com' }, 'INVALID_OPTION oauth.publicUrl'],
    [{ redirectUrls: { other: { login: ORIGIN } } }, 'UNKNOWN_OPTION oauth.redirectUrls.other'],
    [{ redirectUrls: { openid: { callback: ORIGIN } } }, 'UNKNOWN_OPTION oauth.redirectUrls.openid.callback'],
    [{ redirectUrls: { openid: { login: '/front' } } }, 'INVALID_OPTION oauth.redirectUrls.openid.login'],
    [{ redirectUrls: { openid: { login: `${ORIGIN}/front?a=b` } } }, 'INVALID_OPTION oauth.redirectUrls.openid.login'],
    [{ associateByEmail: 'yes' }, 'INVALID_OPTION oauth.associateByEmail'],
    [{ reclaimUnverified: 1 }, 'INVALID_OPTION oauth.reclaimUnverified'],
    [{ isVerifiedByDefault: 'true' }, 'INVALID_OPTION oauth.isVerifiedByDefault'],
    [{ requireVerification: 'true' }, 'INVALID_OPTION oauth.requireVerification'],
    [{ mapProfile: {} }, 'INVALID_OPTION oauth.mapProfile'],
    [{ encryptionKey: 'short' }, 'INVALID_SECRET oauth.encryptionKey'],
    [{ encryptionKey: 7 }, 'INVALID_OPTION oauth.encryptionKey'],
    [{ stateSecret: 'short' }, 'INVALID_SECRET oauth.stateSecret'],
    [{ stateLifetimeSeconds: 0 }, 'INVALID_OPTION oauth.stateLifetimeSeconds'],
    [{ stateLifetimeSeconds: 86_400 }, 'INVALID_OPTION oauth.stateLifetimeSeconds'],
    [{ cookie: { maxAge: 1 } }, 'UNKNOWN_OPTION oauth.cookie.maxAge'],
    [{ cookie: { name: 'a b' } }, 'INVALID_OPTION oauth.cookie.name'],
    [{ cookie: { name: '__Host-x', path: '/auth' } }, 'INVALID_OPTION oauth.cookie.name'],
    [{ cookie: { name: '__Secure-x', secure: false } }, 'INVALID_OPTION oauth.cookie.name'],
    [{ cookie: { path: 'auth' } }, 'INVALID_OPTION oauth.cookie.path'],
    [{ cookie: { domain: 'a; b' } }, 'INVALID_OPTION oauth.cookie.domain'],
    [{ cookie: { secure: 1 } }, 'INVALID_OPTION oauth.cookie.secure'],
    [{ cookie: { sameSite: 'strict' } }, 'INVALID_OPTION oauth.cookie.sameSite'],
    [{ cookie: { sameSite: 'none', secure: false } }, 'INVALID_OPTION oauth.cookie.sameSite'],
    [{ routes: { register: false } }, 'UNKNOWN_OPTION oauth.routes.register'],
    [{ routes: { login: { prefix: 'auth' } } }, 'INVALID_OPTION oauth.routes.login.prefix'],
    [{ redirects: '/app' }, 'INVALID_OPTION oauth.redirects'],
    [{ redirects: ['/app'] }, 'INVALID_OPTION oauth.redirects'], // the first backend has no cookie
    [{ backend: 'cookie', redirects: ['app'] }, 'INVALID_OPTION oauth.redirects[0]'],
    [{ backend: 'cookie', redirects: ['/app?x=1'] }, 'INVALID_OPTION oauth.redirects[0]'],
    [{ backend: 'cookie', redirects: ['*'] }, 'INVALID_OPTION oauth.redirects[0]'],
    [{ insecureOrigins: ['http://login.example.com/path'] }, 'INVALID_OPTION oauth.insecureOrigins[0]'],
    [{ timeoutMs: 0 }, 'INVALID_OPTION oauth.timeoutMs'],
    [{ timeoutMs: 1e9 }, 'INVALID_OPTION oauth.timeoutMs']
  ]
  for (const [options, told] of wrong) {
    const [word = '', option = ''] = told.split(' ')
    const started = buildApp(t, {
      publicUrl: ORIGIN,
      features: [oauth({ providers: [provider], ...options } as OauthOptions)]
    }, () => {})
    await t.rejects(started, { code: `FST_USERS_${word}`, message: option }, JSON.stringify(options))
  }
  const without = (options: Partial<OauthOptions>): Promise<TestApp> =>
    buildApp(t, { features: [oauth({ providers: [provider], ...options })] }, () => {})
  await t.rejects(without({}), { code: 'FST_USERS_INVALID_OPTION', message: /Set `publicUrl`/ })
  await t.rejects(
    without({ redirectUrls: { openid: { login: ORIGIN } } }),
    { code: 'FST_USERS_INVALID_OPTION' },
    'the redirect URI for linking is missing'
  )
  await t.rejects(
    without({ redirectUrls: { openid: { login: ORIGIN, associate: ORIGIN } }, backend: 'cookie', redirects: [ORIGIN] }),
    { code: 'FST_USERS_INVALID_OPTION', message: 'needs `publicUrl`' }
  )
  const { app } = await without({
    redirectUrls: { openid: { login: ORIGIN } },
    routes: { associate: false, accounts: { prefix: '/members' } }
  })
  t.same(
    [
      app.hasRoute({ method: 'GET', url: '/auth/openid/callback' }),
      app.hasRoute({ method: 'GET', url: '/auth/associate/openid/callback' }),
      app.hasRoute({ method: 'GET', url: '/members/me/oauth-accounts' })
    ],
    [true, false, true]
  )

  const { app: bare } = await buildApp(t)
  t.throws(() => bare.users.feature('oauth'), { code: 'FST_USERS_UNKNOWN_FEATURE' })
})

t.test('two backends are registered separately with different prefixes', async (t) => {
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK, `${ORIGIN}/web/openid/callback`])
  const provider = openidConnect({ issuer: idp.issuer, clientId: idp.clientId, clientSecret: idp.clientSecret })
  const shared = { providers: [provider], insecureOrigins: [idp.issuer] }
  const web = oauth({
    ...shared,
    name: 'oauth-web',
    backend: 'cookie',
    routes: { login: { prefix: '/web' }, associate: false, accounts: false }
  })
  const { app } = await buildApp(t, { publicUrl: ORIGIN, features: [oauth(shared), web] })
  const browser = openBrowser(app)
  const back = await browser.go((await authorize(browser, '/web/openid/authorize')).href, isCallback)
  t.match(
    (await browser.ask(CALLBACK + back.url.search)).json(),
    { code: 'FST_USERS_OAUTH_INVALID_STATE' },
    'a login of one backend does not finish at the other'
  )
  t.equal((await browser.go((await authorize(browser, '/web/openid/authorize')).href)).status, 204)
  const reply = await login(openBrowser(app))
  t.equal(reply.status, 200)

  // both registrations use the same accounts: each account is one login method
  const headers = { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
  const accounts = (await app.inject({ url: '/users/me/oauth-accounts', headers })).json<{ id: string }[]>()
  t.equal(accounts.length, 1)
  assertErrorReply(
    t,
    await app.inject({ method: 'DELETE', url: `/users/me/oauth-accounts/${accounts[0]?.id ?? ''}`, headers }),
    400,
    'OAUTH_LAST_LOGIN_METHOD'
  )
})

type Make = (t: Test) => { options: Partial<UsersOptions>; mongo: Db | null }

function onMongodb (store: MongoStore): [make: Make, needs: { skip: string | false }] {
  const make: Make = (t) => {
    const mongo = freshDbOn(t, store)
    const schemas = userSchemas({}, { id: objectIdId() }) as never
    return { options: { adapter: mongodb(mongo, { createTables: true }), schemas }, mongo }
  }
  return [make, store.options]
}

/** Reads the accounts that MongoDB stores in the documents of users, or in documents of their own. */
async function storedAccounts (mongo: Db): Promise<{ id: ObjectId; oauth_name: string }[]> {
  const users = await mongo.collection('User').find({}).toArray()
  const rows = await mongo.collection('oauth_account').find({}).toArray()
  return [
    ...users.flatMap((user) => (user['oauth_accounts'] ?? []) as { id: ObjectId; oauth_name: string }[]),
    ...rows.map(({ _id: id, oauth_name: oauthName, ...row }) => ({ ...row, id, oauth_name: String(oauthName) }))
  ]
}

const stores: Record<string, [make: Make, needs: { skip: string | false }]> = {
  sqlite: [() => ({ options: { adapter: sqlite(':memory:') }, mongo: null }), { skip: false }],
  'mongodb on FerretDB': onMongodb(ferretdb),
  'mongodb on mongoeco': onMongodb(mongoeco)
}

for (const [name, [make, needs]] of Object.entries(stores)) {
  t.test(`log in, read, link, unlink and remove over HTTP, with sessions in the store (${name})`, needs, async (t) => {
    const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic' })
    t.teardown(() => idp.close())
    const client = { clientId: 'client-id', clientSecret: 'client-secret', issuer: idp.url }
    const { options, mongo } = make(t)
    const { app, create, events } = await buildApp(t, {
      publicUrl: ORIGIN,
      ...options,
      features: [oauth({
        providers: ['first', 'second'].map((name) => openidConnect({ ...client, name })),
        insecureOrigins: [idp.url],
        backend: 'cookie',
        encryptionKey: SECRET
      })]
    }, async (app) => {
      addRoutes(app)
    })
    await create({ email: 'merlin@camelot.bt' })
    events.length = 0
    const browser = openBrowser(app)
    const enter = async (path: string): Promise<Page> =>
      browser.go((await authorize(browser, path, { 'sec-fetch-site': 'same-origin' })).href)
    const me = async (): Promise<string> => (await browser.ask('/users/me')).json<{ id: string }>().id
    const accounts = async (): Promise<{ id: string; oauth_name: string }[]> =>
      (await browser.ask('/users/me/oauth-accounts')).json<{ id: string; oauth_name: string }[]>()
    const remove = (id: string | undefined): Promise<number> =>
      app
        .inject({
          method: 'DELETE',
          url: `/users/me/oauth-accounts/${id}`,
          headers: {
            cookie: [...(browser.jar.get(new URL(ORIGIN).host) ?? [])].map((pair) => pair.join('=')).join('; '),
            origin: ORIGIN
          }
        })
        .then(({ statusCode }) => statusCode)

    t.equal((await enter('/auth/first/authorize')).status, 204)
    const id = await me()
    t.equal((await browser.ask('/guarded')).status, 200)
    t.equal((await enter('/auth/associate/second/authorize')).status, 200)
    const linked = await accounts()
    t.same(linked.map(({ oauth_name: oauthName }) => oauthName).toSorted(), ['first', 'second'])
    if (mongo !== null) {
      const document = (await mongo.collection('User').find({}).toArray()).find(({ email }) => email === ARTHUR)
      const stored = await storedAccounts(mongo)
      t.equal(String(document?._id), id)
      t.same(
        stored.map((account) => `${String(account.id)} ${account.oauth_name}`).toSorted(),
        linked.map((account) => `${account.id} ${account.oauth_name}`).toSorted()
      )
      t.notMatch(JSON.stringify([document, stored]), /access-|refresh-/)
      t.strictSame(
        await mongo.collection('single_use').find({}).toArray(),
        [],
        'no transaction of a login is stored'
      )
    }
    t.equal(await remove(linked[0]?.id), 204)
    t.equal(await remove(linked[1]?.id), 400, 'the last login method cannot be unlinked')
    t.same(await accounts(), linked.slice(1))

    browser.jar.clear()
    t.equal((await enter(`/auth/${linked[1]?.oauth_name}/authorize`)).status, 204)
    t.equal(await me(), id, 'the remaining account logs in the same user')
    t.same(
      events.filter(({ name }) => /Register|Link|Unlink/.test(name)).map(({ name }) => name),
      ['onBeforeRegister', 'onAfterRegister', 'onAfterLink', 'onAfterUnlink']
    )

    await app.users.delete(id as never)
    await app.users.settled()
    t.equal((await browser.ask('/users/me')).status, 401)
    t.same(await app.users.feature('oauth').list(id as never), [])
    if (mongo !== null) {
      t.match(
        (await mongo.collection('User').find({}).toArray()).map(({ email }) => email as string),
        ['merlin@camelot.bt']
      )
    }
    t.equal(idp.hits('revoke') > 0, true, 'the grants are revoked at the provider')
    browser.jar.clear()
    t.equal((await enter('/auth/second/authorize')).status, 204)
    t.not(await me(), id, 'a later login with the account creates a new user')
  })
}

function isCallback ({ pathname }: URL): boolean {
  return pathname.endsWith('/callback')
}

function isPlace ({ origin, pathname }: URL): boolean {
  return origin === ORIGIN && pathname.startsWith('/app')
}

function claimsOf (url: URL): Record<string, unknown> {
  return JSON.parse(
    Buffer.from(String(url.searchParams.get('state')?.split('.')[1]), 'base64url').toString()
  ) as Record<string, unknown>
}

async function userIdOf (app: FastifyInstance, page: Page): Promise<string> {
  if (page.status !== 200) throw new Error(`${page.status} ${page.body}`)
  const reply = await app.inject({
    url: '/users/me',
    headers: { authorization: `Bearer ${page.json<{ access_token: string }>().access_token}` }
  })
  return reply.json<{ id: string }>().id
}
