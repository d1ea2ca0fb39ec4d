import t, { type Test } from 'tap'
import { authenticate, type UsersOptions } from '../lib/index.js'
import { oauth, openidConnect, type OauthOptions } from '../lib/features/oauth/index.js'
import { sessions } from '../lib/features/sessions/index.js'
import { openBrowser, ORIGIN, type Browser, type Page } from './helpers/browser.js'
import { ARTHUR, assertErrorReply, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { codes, terms, type Codes } from './helpers/login-features.js'
import { startOidcProvider } from './helpers/oidc-provider.js'

const CALLBACK = '/auth/openid/callback'

interface Setup extends TestApp {
  codes: Codes
  browser: Browser
}

async function setUp (
  t: Test,
  options: Partial<OauthOptions> = {},
  more: Partial<UsersOptions> = {}
): Promise<Setup> {
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK])
  const { issuer, clientId, clientSecret } = idp
  const provider = openidConnect({ issuer, clientId, clientSecret, trustEmail: true })
  const built = await buildApp(
    t,
    {
      publicUrl: ORIGIN,
      features: [codes(), terms(), oauth({ providers: [provider], insecureOrigins: [issuer], ...options })],
      ...more
    },
    (app) => {
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
    }
  )
  return { ...built, codes: built.app.users.feature('codes') as Codes, browser: openBrowser(built.app) }
}

/** Runs the flow with replies in JSON up to the reply of the callback. */
async function enter (browser: Browser, query = ''): Promise<Page> {
  const { authorization_url: url } = (await browser.ask(`/auth/openid/authorize${query}`)).json<{ authorization_url: string }>()
  return browser.go(url)
}

const step = (browser: Browser, backend: string, name: string, fields: Record<string, string>): Promise<Page> =>
  browser.ask(`/auth/${backend}/login/${name}`, { method: 'POST', body: new URLSearchParams(fields) })

t.test('TOTP-05: a first login with a provider, in JSON, passes the steps, and the new user stays', async (t) => {
  const { app, browser, codes: api, events, send } = await setUp(t)
  const page = await enter(browser)
  t.equal(page.status, 403, page.body)
  const { detail } = page.json<{ detail: { code: string; ticket: string; steps: object[] } }>()
  t.match(detail, { code: 'LOGIN_STEP_REQUIRED', steps: [{ name: 'terms', version: 7 }] })
  const user = await app.users.getByEmail(ARTHUR)
  t.not(user, null, 'the pending login is no refusal')
  t.notOk(events.some(({ name }) => ['onAfterDelete', 'onIssueToken', 'onAfterLogin', 'onLoginFailed'].includes(name)))
  const payload = { ticket: detail.ticket, version: 7 }
  const done = await send('POST', '/auth/jwt/login/terms', payload)
  t.equal(done.statusCode, 200, done.body)
  const { access_token: token } = done.json<{ access_token: string }>()
  const session = await send('GET', '/session', undefined, { authorization: `Bearer ${token}` })
  t.match(session.json(), { methods: ['oauth:openid'] })
  t.match(events.at(-1), { name: 'onAfterLogin', method: 'oauth:openid' })

  await api.enrol(user as { id: unknown })
  const again = await enter(browser)
  t.match(again.json(), { detail: { steps: [{ name: 'code' }, { name: 'recovery' }] } })
  const { ticket } = again.json<{ detail: { ticket: string } }>().detail
  assertErrorReply(t, await send('POST', '/auth/jwt/login/code', { ticket, code: 'x' }), 400, 'CODE_WRONG')
  t.equal((await send('POST', '/auth/jwt/login/code', { ticket, code: api.sent.at(-1) })).statusCode, 200)
})

t.test('TOTP-05: a login with a provider in the browser passes the steps, and no server sees the ticket', async (t) => {
  const { app, browser, codes: api, create } = await setUp(t, { backend: 'cookie', redirects: ['/app'] })
  const first = await browser.go('/auth/openid/login?redirect=/app/inbox', ({ pathname }) => pathname === '/app/inbox')
  t.equal(first.url.search, '?error=LOGIN_PENDING')
  const given = new URLSearchParams(first.url.hash.slice(1))
  t.strictSame([...given.keys()], ['ticket', 'steps'])
  t.match(given.get('ticket'), /^[A-Za-z0-9_-]{43}$/)
  t.equal(given.get('steps'), 'terms')
  t.notOk(browser.cookie('__Host-users-cookie'), 'there is no session')
  const kept = decodeURIComponent(browser.cookie('__Host-users-oauth-pending') ?? '')
  t.strictSame(JSON.parse(kept), { code: 'LOGIN_STEP_REQUIRED', steps: [{ name: 'terms', version: 7 }] })
  t.match(browser.cookie('__Host-users-login'), /^[A-Za-z0-9_-]{43}$/)

  const user = (await app.users.getByEmail(ARTHUR)) as { id: unknown }
  await api.enrol(user)
  const stranger = openBrowser(app)
  for (const [who, backend] of [
    [stranger, 'cookie'],
    [browser, 'jwt']
  ] as const) {
    const reply = await app.inject({
      method: 'POST',
      url: `/auth/${backend}/login/terms`,
      headers: { cookie: `__Host-users-login=${who.cookie('__Host-users-login') ?? ''}` },
      payload: { ticket: given.get('ticket'), version: 7 }
    })
    assertErrorReply(t, reply, 400, 'LOGIN_TICKET_INVALID')
  }
  const headers = { cookie: `__Host-users-login=${browser.cookie('__Host-users-login')}` }
  const next = await app.inject({
    method: 'POST',
    url: '/auth/cookie/login/terms',
    headers,
    payload: { ticket: given.get('ticket'), version: 7 }
  })
  t.equal(next.statusCode, 403, 'the user has a second factor by now')
  const { ticket } = next.json<{ detail: { ticket: string } }>().detail
  const done = await step(browser, 'cookie', 'code', { ticket, code: String(api.sent.at(-1)) })
  t.equal(done.status, 204, done.body)
  t.notOk(browser.cookie('__Host-users-login'), 'the cookie of the pending login is deleted')
  t.match((await browser.ask('/session')).json(), { methods: ['oauth:openid', 'otp'] })
  t.type(create, 'function')
})

t.test('LNK-01: linking a provider account is not a login and runs no steps', async (t) => {
  const { browser, create, codes: api, login, send } = await setUp(t)
  const user = await create()
  await api.enrol(user)
  const { ticket } = (await login('jwt', ARTHUR, PASSWORD)).json<{ detail: { ticket: string } }>().detail
  const answer = await send('POST', '/auth/jwt/login/code', { ticket, code: api.sent.at(-1) })
  t.equal(answer.statusCode, 403, 'terms are left')
  const last = await send('POST', '/auth/jwt/login/terms', {
    ticket: answer.json<{ detail: { ticket: string } }>().detail.ticket,
    version: 7
  })
  const authorization = `Bearer ${last.json<{ access_token: string }>().access_token}`
  const start = await browser.ask('/auth/associate/openid/authorize', { headers: { authorization } })
  t.equal(start.status, 200, start.body)
  t.equal(api.sent.length, 1)
})

t.test('a first login whose step fails on the server is undone', async (t) => {
  const failing = codes({
    needed () {
      throw new Error('the store of the step does not answer')
    }
  })
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK])
  const { issuer, clientId, clientSecret } = idp
  const provider = openidConnect({ issuer, clientId, clientSecret, trustEmail: true })
  const { app } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [failing, oauth({ providers: [provider], insecureOrigins: [issuer] })]
  })
  const page = await enter(openBrowser(app))
  t.equal(page.status, 500)
  t.equal(await app.users.getByEmail(ARTHUR), null)
})

t.test('remember_me is kept over a login with a provider and its steps', async (t) => {
  const idp = await startOidcProvider(t, [ORIGIN + CALLBACK])
  const { issuer, clientId, clientSecret } = idp
  const provider = openidConnect({ issuer, clientId, clientSecret, trustEmail: true })
  const own = { providers: [provider], insecureOrigins: [issuer] }
  for (const [feature, query, expected] of [
    [sessions({ rememberMe: {} }), '?remember_me=true', true],
    [sessions({ rememberMe: {} }), '', undefined],
    [sessions(), '?remember_me=true', undefined]
  ] as const) {
    const { app, send } = await buildApp(t, { publicUrl: ORIGIN, features: [feature, terms(), oauth(own)] }, (app) => {
      app.get('/session', { preHandler: authenticate }, async ({ authentication }) => authentication?.session)
    })
    const pending = await enter(openBrowser(app), query)
    const { ticket } = pending.json<{ detail: { ticket: string } }>().detail
    const done = await send('POST', '/auth/jwt/login/terms', { ticket, version: 7 })
    const { access_token: token } = done.json<{ access_token: string }>()
    const session = await send('GET', '/session', undefined, { authorization: `Bearer ${token}` })
    t.equal(session.json<{ details: { remember_me?: boolean } }>().details.remember_me, expected, query)
  }
})
