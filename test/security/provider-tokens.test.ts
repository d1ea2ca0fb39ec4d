// The tokens of providers and the sessions of the application, which do not depend on each other.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sqlite } from '../../lib/entries/sqlite.js'
import { oauth, openidConnect } from '../../lib/features/oauth/index.js'
import { openBrowser, ORIGIN, type Browser, type Page } from '../helpers/browser.js'
import { buildApp, type TestApp } from '../helpers/build-app.js'
import { startOauthServer, type OauthServer } from '../helpers/oauth-server.js'
import { makeSigner } from '../helpers/oauth-tokens.js'

interface Setup extends TestApp {
  idp: OauthServer
  browser: Browser
  file: string
  log: string[]
}

async function setUp (t: Test): Promise<Setup> {
  const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic' })
  t.teardown(() => idp.close())
  const file = join(t.testdir(), 'users.sqlite')
  const log: string[] = []
  const client = { issuer: idp.url, clientId: 'client-id', clientSecret: 'client-secret', trustEmail: true }
  const built = await buildApp(
    t,
    {
      adapter: sqlite(file),
      publicUrl: ORIGIN,
      features: [
        oauth({
          backend: 'cookie',
          providers: [openidConnect(client), openidConnect({ ...client, name: 'second' })],
          insecureOrigins: [idp.url],
          encryptionKey: randomBytes(32).toString('base64'),
          accountsInReplies: true,
          timeoutMs: 10_000
        })
      ]
    },
    () => {},
    {
      logger: {
        level: 'trace',
        stream: {
          write: (line: string) => {
            log.push(line)
          }
        }
      }
    }
  )
  return { ...built, idp, file, log, browser: openBrowser(built.app) }
}

/** Logs in, or links the account if the browser has a session. Returns the pages of the application. */
async function visit (browser: Browser, start: string): Promise<Page[]> {
  const begun = await browser.ask(start, { headers: { 'sec-fetch-site': 'same-origin' } })
  const { authorization_url: url } = begun.json<{ authorization_url: string }>()
  const callback = await browser.go(url, ({ pathname }) => pathname.endsWith('/callback'))
  return [begun, await browser.ask(callback.url.href)]
}

t.test(
  'OAU-15: no reply, event or log line contains tokens of a provider, and the database contains them only encrypted',
  async (t) => {
    const { browser, idp, app, events, log, file } = await setUp(t)
    const pages = [
      ...(await visit(browser, '/auth/openid/authorize')),
      ...(await visit(browser, '/auth/associate/second/authorize')),
      ...(await visit(browser, '/auth/openid/authorize')),
      await browser.ask('/users/me'),
      await browser.ask('/users/me/oauth-accounts')
    ]
    t.same(pages.map(({ status }) => status), [200, 204, 200, 200, 200, 204, 200, 200])
    const { id } = pages[6]?.json<{ id: string }>() ?? {}
    const stored = await (app.users.feature('oauth') as { tokens(id: string, provider: string): Promise<unknown> })
      .tokens(String(id), 'openid')
    const secrets = [...idp.tokens.access, ...idp.tokens.refresh]
    t.ok(secrets.length >= 6, `${secrets.length} tokens`)
    t.ok(secrets.some((token) => JSON.stringify(stored).includes(token)), 'code can read the tokens')
    await app.users.settled()

    const places: Record<string, string[]> = {
      replies: pages.map(({ body, headers }) => body + JSON.stringify(headers)),
      events: events.map((event) => JSON.stringify(event)),
      'log lines': log,
      database: [file, `${file}-wal`].map((name) => readFileSync(name, 'latin1'))
    }
    for (const [place, texts] of Object.entries(places)) {
      t.ok(texts.length > 0, `there are ${place}`)
      t.same(secrets.filter((token) => texts.some((text) => text.includes(token))), [], place)
      t.notOk(texts.some((text) => text.includes('"id_token"')), `no id_token: ${place}`)
    }
  }
)

t.test('OAU-15: a session does not depend on the provider after the login, and its logout sends nothing to it', async (t) => {
  const { browser, idp } = await setUp(t)
  await visit(browser, '/auth/openid/authorize')
  const before = idp.seen.length
  await idp.close()
  t.equal((await browser.ask('/users/me')).status, 200)
  t.equal((await browser.ask('/auth/cookie/logout', { method: 'POST' })).status, 204)
  t.equal((await browser.ask('/users/me')).status, 401)
  t.equal(idp.seen.length, before)
})

t.test('OAU-17: no route logs in with a token of a provider that a client posts', async (t) => {
  const { browser, idp, send, routes } = await setUp(t)
  const claims = { sub: 'lancelot', email: 'lancelot@camelot.bt', email_verified: true }
  idp.behavior.claims = claims
  const [, entered] = await visit(browser, '/auth/openid/authorize')
  t.equal(entered?.status, 204, 'the account of the provider can log in')
  const now = Math.floor(Date.now() / 1000)
  // signed by the provider, for this client and this account
  const idToken = makeSigner().sign({ iss: idp.url, aud: 'client-id', iat: now, exp: now + 300, ...claims })
  const given = {
    ...{ id_token: idToken, access_token: idToken, token: idToken, credential: idToken, code: idToken },
    ...{ username: claims.email, password: idToken }
  }
  const tried: string[] = []
  for (const { method, url } of routes.filter(({ url }) => url.startsWith('/auth/'))) {
    for (const name of ['GET', 'POST'] as const) {
      if (![method].flat().includes(name)) continue
      const query = new URLSearchParams({ ...given, state: idToken }).toString()
      const reply = await send(name, name === 'GET' ? `${url}?${query}` : url, name === 'GET' ? undefined : given)
      t.notMatch(reply.body, /access_token/, `${name} ${url}`)
      t.notOk(reply.cookies.some((cookie) => cookie.name === '__Host-users-cookie' && cookie.value !== ''), `${name} ${url}`)
      tried.push(`${name} ${url}`)
    }
  }
  for (const route of ['GET /auth/openid/callback', 'POST /auth/jwt/login', 'POST /auth/cookie/login']) {
    t.ok(tried.includes(route), route)
  }
  t.equal((await send('GET', '/users/me', undefined, { authorization: `Bearer ${idToken}` })).statusCode, 401)
  t.equal((await send('GET', '/users/me', undefined, { cookie: `__Host-users-cookie=${idToken}` })).statusCode, 401)
})
