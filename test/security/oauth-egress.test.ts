import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  oauth,
  oauth2,
  openidConnect,
  type OauthOptions,
  type Provider,
  type ProviderFetch
} from '../../lib/features/oauth/index.js'
import { createClient } from '../../lib/features/oauth/engine/index.js'
import { openBrowser, ORIGIN, type Page } from '../helpers/browser.js'
import { buildApp, type TestApp } from '../helpers/build-app.js'
import { startOauthServer, type OauthServer } from '../helpers/oauth-server.js'

const CLIENT = { clientId: 'client-id', clientSecret: 'client-secret' }
/** A host without a DNS record. Only the proxy reaches it. */
const OUTSIDE = 'https://login.camelot.invalid'

interface Setup {
  built: TestApp
  idp: OauthServer
  login(): Promise<Page>
}

async function setUp (
  t: Test,
  fetch: (idp: OauthServer) => ProviderFetch,
  options: Partial<OauthOptions> = {}
): Promise<Setup> {
  const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic', issuer: OUTSIDE })
  t.teardown(() => idp.close())
  const provider: Provider = {
    ...openidConnect({ issuer: OUTSIDE, ...CLIENT }),
    server: {
      issuer: OUTSIDE,
      authorization_endpoint: `${OUTSIDE}/authorize`,
      token_endpoint: `${OUTSIDE}/token`,
      userinfo_endpoint: `${OUTSIDE}/userinfo`,
      jwks_uri: `${OUTSIDE}/jwks`
    }
  }
  const built = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({ providers: [provider], fetch: fetch(idp), timeoutMs: 10_000, ...options })]
  }, () => {})
  const browser = openBrowser(built.app)
  return {
    built,
    idp,
    async login () {
      const { authorization_url: there } = (await browser.ask('/auth/openid/authorize')).json<{
        authorization_url: string
      }>()
      const back = await browser.go(there.replace(OUTSIDE, idp.url), ({ pathname }) => pathname.endsWith('/callback'))
      return browser.ask(back.url.href)
    }
  }
}

/** Returns a `fetch` that works like an egress proxy: it reaches hosts that the application cannot look up. */
const proxied =
  (idp: OauthServer): ProviderFetch =>
    (url, init) =>
      fetch(url.replace(OUTSIDE, idp.url), init)

t.test('OAU-14: every call to a provider uses the option `fetch`, even if its host has no DNS record', async (t) => {
  const calls: [string, string, string, boolean, boolean][] = []
  const { login, built } = await setUp(t, (idp) => (url, init) => {
    calls.push([init.method, url, init.redirect, init.signal instanceof AbortSignal, init.body === undefined])
    return proxied(idp)(url, init)
  })
  const page = await login()
  t.equal(page.status, 200, page.body)
  t.match(
    built.events.map(({ name }) => name),
    ['onBeforeRegister', 'onAfterRegister']
  )
  t.strictSame(calls, [
    ['POST', `${OUTSIDE}/token`, 'manual', true, false],
    ['GET', `${OUTSIDE}/jwks`, 'manual', true, true]
  ])
})

/** Returns an endless stream of bytes. */
async function * endless (): AsyncGenerator<Uint8Array> {
  for (;;) {
    yield new Uint8Array(65_536)
    await sleep(0)
  }
}

const headers = new Headers({ 'content-type': 'application/json' })
const json =
  (status: number): ProviderFetch =>
    async () =>
      new Response('{}', { status })
const throwing =
  (error: unknown): ProviderFetch =>
    async () => {
      throw error
    }

t.test('OAU-14, OAU-08: a late, endless, redirected or failing reply of the option `fetch` is refused with 502 or 503', async (t) => {
  const cases: Record<string, [ProviderFetch, number]> = {
    'it never answers, and ignores the signal': [() => new Promise(() => {}), 503],
    'its answer never ends': [async () => ({ status: 200, headers, body: endless() }), 502],
    'it follows a redirect': [async () => ({ status: 200, redirected: true, headers, body: null }), 502],
    'it returns a redirect': [
      async () => new Response(null, { status: 302, headers: { location: 'https://169.254.169.254/' } }),
      502
    ],
    'it hides a redirect': [async () => ({ status: 0, headers, body: null }), 502],
    'it returns an informational status': [async () => ({ status: 101, headers, body: null }), 502],
    'the proxy is busy': [json(503), 503],
    'the proxy fails': [json(502), 503],
    'the proxy wants a password': [json(407), 502],
    'the connection fails': [
      throwing(
        Object.assign(new TypeError('fetch failed'), {
          cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
        })
      ),
      503
    ],
    'it has a bug': [throwing(new TypeError('x is not a function')), 502],
    'it throws nothing': [throwing(undefined), 502],
    'it throws at once': [
      () => {
        throw new Error('bug')
      },
      502
    ]
  }
  for (const [name, [fetch, status]] of Object.entries(cases)) {
    const { login, built } = await setUp(t, () => fetch, { timeoutMs: name.includes('never') ? 300 : 10_000 })
    const page = await login()
    t.equal(page.status, status, `${name}: ${page.body}`)
    t.same(built.events, [], `${name}: no user is logged in`)
  }
})

t.test('OAU-14: the option `fetch` is not called with forbidden URLs', async (t) => {
  const called: string[] = []
  const fetch: ProviderFetch = async (url) => {
    called.push(url)
    return new Response('{}')
  }
  for (const host of [
    'http://login.camelot.bt',
    'https://127.0.0.1',
    'https://10.0.0.1',
    'https://169.254.169.254',
    'https://[::1]',
    'https://[fd00::1]',
    'https://user@login.camelot.bt'
  ]) {
    const provider: Provider = {
      ...oauth2({
        ...CLIENT,
        authorizationEndpoint: 'https://a.bt/authorize',
        tokenEndpoint: 'https://a.bt/token',
        profile: async () => ({ id: '1', email: null, emailVerified: false, raw: {} })
      })
    }
    const log = { warn () {} } as never
    const client = createClient(
      {
        ...provider,
        server: { issuer: host, authorization_endpoint: 'https://a.bt/authorize', token_endpoint: `${host}/token` }
      },
      { insecureOrigins: new Set(), timeoutMs: 1000, fetch, clock: Date.now, log }
    )
    await t.rejects(client.refresh('token'), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' }, host)
  }
  t.same(called, [])
})

t.test('OAU-14: `fetch` must be a function', async (t) => {
  for (const fetch of [1, 'fetch', {}, true]) {
    await t.rejects(
      setUp(t, () => fetch as never),
      { code: 'FST_USERS_INVALID_OPTION', message: /oauth\.fetch/ }
    )
  }
})
