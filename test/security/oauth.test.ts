import { createHash, createHmac } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify, { type FastifyBaseLogger, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import {
  oauth,
  oauth2,
  openidConnect,
  reddit,
  type Identity,
  type OauthOptions,
  type Provider
} from '../../lib/features/oauth/index.js'
import { createClient, type EngineClient } from '../../lib/features/oauth/engine/index.js'
import { isPrivateIpHost, isPublicIp, lookupPublic } from '../../lib/features/oauth/engine/public-ip.js'
import { createRedirects } from '../../lib/features/oauth/redirects.js'
import users, { integerId, userSchemas, type User, type UsersOptions } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { watchedAdapter } from '../fixtures/watched-adapter.js'
import { openBrowser, ORIGIN, type Browser, type Page } from '../helpers/browser.js'
import { backends, buildApp, fastPasswords, PASSWORD, assertErrorReply, SECRET, type TestApp } from '../helpers/build-app.js'
import { faults, type Fault } from '../helpers/oauth-faults.js'
import { startOauthServer, type OauthServer, type ServerBehavior, type Role } from '../helpers/oauth-server.js'

const CLIENT = { clientId: 'client-id', clientSecret: 'client-secret' }
const STATE_SECRET = createHash('sha256').update(SECRET).digest('base64url')
const CALLBACK = '/auth/openid/callback'
const COOKIE = '__Host-users-oauth'

interface Setup extends TestApp {
  idp: OauthServer
  browser: Browser
}

async function startServer (t: Test, play: Partial<ServerBehavior> = {}): Promise<OauthServer> {
  const server = await startOauthServer({ clientAuthentication: 'client_secret_basic', ...play })
  t.teardown(() => server.close())
  return server
}

/** Creates an application with the provider `openid`, whose test server can simulate faults. */
async function setUp (
  t: Test,
  options: Partial<OauthOptions> = {},
  play: Partial<ServerBehavior> = {},
  users: Partial<UsersOptions> = {},
  server: FastifyServerOptions = {}
): Promise<Setup> {
  return appOn(t, await startServer(t, play), options, users, server)
}

async function appOn (
  t: Test,
  idp: OauthServer,
  options: Partial<OauthOptions> = {},
  users: Partial<UsersOptions> = {},
  server: FastifyServerOptions = {}
): Promise<Setup> {
  const built = await buildApp(
    t,
    {
      publicUrl: ORIGIN,
      ...users,
      features: [oauth({
        providers: [openidConnect({ issuer: idp.url, ...CLIENT, trustEmail: true })],
        insecureOrigins: [idp.url],
        stateSecret: STATE_SECRET,
        timeoutMs: 10_000, // the test server runs in the same process and can be slow
        ...options
      })]
    },
    () => {},
    server
  )
  return { ...built, idp, browser: openBrowser(built.app) }
}

/** Returns the URL of the callback with the response of the provider. */
async function comeBack (
  browser: Browser,
  start = '/auth/openid/authorize',
  headers: Record<string, string> = {}
): Promise<URL> {
  const page = await browser.ask(start, { headers })
  const address =
    page.status === 302 ? String(page.headers.location) : page.json<{ authorization_url: string }>().authorization_url
  return (await browser.go(address, ({ pathname }) => pathname.endsWith('/callback'))).url
}

async function login (browser: Browser): Promise<Page> {
  return browser.ask((await comeBack(browser)).href)
}

function failed (t: Test, page: Page, status: number, word: string, name = word): void {
  t.match([page.status, page.json()], [status, { code: `FST_USERS_${word}` }], name)
}

/** Asserts that nothing was exchanged, stored or issued. */
function untouched (t: Test, { idp, events }: Setup, name: string): void {
  t.same(
    [idp.hits('token'), events.map(({ name }) => name)],
    [0, []],
    `${name}: no code is exchanged, no user is stored or logged in`
  )
}

t.test(
  'OAU-01, OAU-03, row 68: a callback that does not match its transaction deletes it before the code is exchanged',
  async (t) => {
    const other = (setup: Setup): Browser => openBrowser(setup.app)
    const withCookie = async ({ browser }: Setup, url: URL, cookie: string): Promise<Page> => {
      browser.jar.clear()
      return browser.ask(url.href, { headers: { cookie } })
    }
    const attacks: Record<string, [string, (setup: Setup, url: URL) => Promise<Page>]> = {
      'another browser': ['OAUTH_INVALID_STATE', async (setup, url) => other(setup).ask(url.href)],
      'another browser with a login of its own': [
        'OAUTH_INVALID_STATE',
        async (setup, url) => {
          const victim = other(setup)
          await victim.ask('/auth/openid/authorize')
          return victim.ask(url.href)
        }
      ],
      'a cookie that is not ASCII (D9)': [
        'OAUTH_INVALID_STATE',
        (setup, url) => withCookie(setup, url, `${COOKIE}=${'é'.repeat(43)}`)
      ],
      'an empty cookie': ['OAUTH_INVALID_STATE', (setup, url) => withCookie(setup, url, `${COOKIE}=`)],
      'the digest in the place of the cookie': [
        'OAUTH_INVALID_STATE',
        (setup, url) => withCookie(setup, url, `${COOKIE}=${String(claimsOf(url).csrftoken)}`)
      ],
      'two cookies': [
        'OAUTH_INVALID_STATE',
        (setup, url) => withCookie(setup, url, `${COOKIE}=${setup.browser.cookie(COOKIE)}; ${COOKIE}=${'a'.repeat(43)}`)
      ],
      'a changed state': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) => {
          url.searchParams.set('state', `${url.searchParams.get('state')}x`)
          return browser.ask(url.href)
        }
      ],
      'an unsigned state': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) =>
          browser.ask(withState(url, `${encode({ alg: 'none', typ: 'JWT' })}.${encode(claimsOf(url))}.`))
      ],
      'a state for another audience (D7)': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), aud: 'users:reset' })))
      ],
      'a state without audience (D7)': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), aud: undefined })))
      ],
      'a state of another secret': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) => browser.ask(withState(url, sign(claimsOf(url), SECRET)))
      ],
      'a state without csrftoken': [
        'OAUTH_INVALID_STATE',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), csrftoken: undefined })))
      ],
      'a state whose csrftoken is no text': [
        'OAUTH_INVALID_STATE',
        ({ browser }, url) =>
          browser.ask(withState(url, sign({ ...claimsOf(url), csrftoken: [claimsOf(url).csrftoken] })))
      ],
      'a state of no transaction': [
        'OAUTH_INVALID_STATE',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), jti: 'another' })))
      ],
      'a state with an empty id': [
        'OAUTH_INVALID_STATE',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), jti: '' })))
      ],
      'a login that says it is for a user': [
        'OAUTH_INVALID_STATE',
        ({ browser }, url) => browser.ask(withState(url, sign({ ...claimsOf(url), sub: 'somebody' })))
      ],
      'an expired state': [
        'ACCESS_TOKEN_ALREADY_EXPIRED',
        ({ browser, tick }, url) => {
          tick(600)
          return browser.ask(url.href)
        }
      ],
      'a state that ended at another time than its transaction': [
        'OAUTH_INVALID_STATE',
        ({ browser, tick }, url) => {
          tick(601)
          return browser.ask(withState(url, sign({ ...claimsOf(url), exp: Math.floor(Date.now() / 1000) + 7200 })))
        }
      ],
      'too long a state': [
        'ACCESS_TOKEN_DECODE_ERROR',
        ({ browser }, url) => browser.ask(withState(url, 'a'.repeat(9000)))
      ]
    }
    const setup = await setUp(t)
    for (const [name, [word, attack]] of Object.entries(attacks)) {
      const url = await comeBack(setup.browser)
      failed(t, await attack(setup, url), 400, word, name)
      untouched(t, setup, name)
      setup.browser.jar.clear()
    }
  }
)

t.test(
  "OAU-01, row 75: the first failed check and the provider's refusal delete the transaction",
  async (t) => {
    const setup = await setUp(t)
    const { browser, app } = setup
    const url = await comeBack(browser)
    failed(t, await openBrowser(app).ask(url.href), 400, 'OAUTH_INVALID_STATE')
    failed(t, await browser.ask(url.href), 400, 'OAUTH_INVALID_STATE')
    const second = await comeBack(browser)
    failed(
      t,
      await browser.ask(`${CALLBACK}?error=access_denied&state=${second.searchParams.get('state')}`),
      400,
      'OAUTH_REFUSED'
    )
    failed(t, await browser.ask(second.href), 400, 'OAUTH_INVALID_STATE')
    const third = await comeBack(browser)
    failed(t, await browser.ask(`${CALLBACK}?state=${third.searchParams.get('state')}`), 400, 'BAD_REQUEST')
    failed(t, await browser.ask(third.href), 400, 'OAUTH_INVALID_STATE')
    untouched(t, setup, 'refusals')
  }
)

t.test('OAU-01: of a replay and twenty parallel callbacks, exactly one logs in', async (t) => {
  const { browser, app, idp, events } = await setUp(t)
  const url = await comeBack(browser)
  const cookie = `${COOKIE}=${browser.cookie(COOKIE)}`
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => app.inject({ url: url.pathname + url.search, headers: { cookie } }))
  )
  t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 1)
  for (const reply of replies.filter(({ statusCode }) => statusCode !== 200)) {
    assertErrorReply(t, reply, 400, 'OAUTH_INVALID_STATE')
  }
  t.equal(idp.hits('token'), 1)
  t.equal(events.filter(({ name }) => name === 'onAfterRegister').length, 1)
})

t.test('OAU-01, LNK-04, row 79: a login cannot finish as linking, and linking cannot finish as a login', async (t) => {
  const setup = await setUp(t)
  const { browser, create, bearer, events } = setup
  await create({ email: 'lady@lake.bt' })
  const headers = await bearer('lady@lake.bt')
  events.length = 0
  const started = await comeBack(browser)
  failed(
    t,
    await browser.ask(`/auth/associate/openid/callback${started.search}`, { headers }),
    400,
    'OAUTH_INVALID_STATE'
  )
  const linking = await comeBack(browser, '/auth/associate/openid/authorize', headers)
  failed(t, await browser.ask(`/auth/openid/callback${linking.search}`), 400, 'OAUTH_INVALID_STATE')
  untouched(t, setup, 'mixed purposes')
})

t.test("LNK-04: an attacker's callback URL opened by a logged-in victim links nothing", async (t) => {
  const setup = await setUp(t)
  const { browser, create, bearer, app, events } = setup
  await create({ email: 'attacker@lake.bt' })
  await create({ email: 'victim@lake.bt' })
  const [attacker, victim] = [await bearer('attacker@lake.bt'), await bearer('victim@lake.bt')]
  events.length = 0
  const url = await comeBack(browser, '/auth/associate/openid/authorize', attacker)
  failed(
    t,
    await openBrowser(app).ask(url.href, { headers: victim }),
    400,
    'OAUTH_INVALID_STATE',
    "in the victim's browser"
  )
  const switched = await comeBack(browser, '/auth/associate/openid/authorize', attacker)
  failed(t, await browser.ask(switched.href, { headers: victim }), 400, 'BAD_REQUEST', 'the user changed on the way')
  untouched(t, setup, 'another user')
})

t.test(
  'LNK-04: a session that ends during the call to the provider links nothing, and another session does not replace it',
  async (t) => {
    const idp = await startServer(t)
    const provider = openidConnect({ issuer: idp.url, ...CLIENT })
    let during = async (): Promise<unknown> => null
    const profile: Provider['profile'] = async (api) => {
      await during()
      return provider.profile(api)
    }
    const { app, browser, create, bearer, cookie, events } = await appOn(t, idp, {
      providers: [{ ...provider, profile }],
      requireVerification: true
    })
    const logout = (headers: Record<string, string>): Promise<unknown> =>
      app.inject({ method: 'POST', url: '/auth/cookie/logout', headers })
    const ends: Record<
      string,
      [number, string, (id: User['id'], session: Record<string, string>) => Promise<unknown>]
    > = {
      'log out': [401, 'UNAUTHENTICATED', (_, session) => logout(session)],
      'all sessions end': [401, 'UNAUTHENTICATED', (id) => app.users.endSessions(id)],
      'no longer active': [401, 'UNAUTHENTICATED', (id) => app.users.update(id, { is_active: false })],
      'no longer verified': [403, 'FORBIDDEN', (id) => app.users.update(id, { is_verified: false })],
      removed: [401, 'UNAUTHENTICATED', (id) => app.users.delete(id)],
      'with a session of another user beside it': [400, 'BAD_REQUEST', (id) => app.users.endSessions(id)]
    }
    await create({ email: 'other@lake.bt', is_verified: true })
    const other = await cookie('other@lake.bt')
    await browser.ask('/auth/openid/authorize')
    const bound = `${COOKIE}=${browser.cookie(COOKIE)}`
    for (const [name, [status, word, end]] of Object.entries(ends)) {
      const { id } = await create({ email: 'knight@lake.bt', is_verified: true })
      const session =
        word === 'BAD_REQUEST' ? { ...(await bearer('knight@lake.bt')), ...other } : await cookie('knight@lake.bt')
      const headers = { ...session, cookie: `${session.cookie}; ${bound}`, 'sec-fetch-site': 'same-origin' }
      const url = await comeBack(browser, '/auth/associate/openid/authorize', headers)
      during = () => end(id, session)
      events.length = 0
      failed(t, await browser.ask(url.href, { headers }), status, word, name)
      t.notOk(
        events.some((event) => event.name === 'onAfterLink'),
        name
      )
      if (name !== 'removed') await app.users.delete(id)
    }
  }
)

t.test('LNK-04, RST-13: a session that ends at any moment of the callback links nothing', async (t) => {
  const store = watchedAdapter(memory())
  const { app, browser, create, bearer } = await setUp(t, {}, {}, { adapter: store.adapter })
  for (let k = 1, ended = true; ended; k++) {
    const email = `knight${k}@lake.bt`
    const { id } = await create({ email })
    const headers = await bearer(email)
    const url = await comeBack(browser, '/auth/associate/openid/authorize', headers)
    ended = false
    store.watch(async ({ n, proceed }) => {
      if (n === k) {
        store.watch()
        await app.users.endSessions(id)
        ended = true
      }
      return await proceed()
    })
    const page = await browser.ask(url.href, { headers })
    store.watch()
    if (ended) failed(t, page, 401, 'UNAUTHENTICATED', `before call ${k}`)
    else t.equal(page.status, 200, `the callback succeeds after ${k - 1} calls`)
    t.equal((await store.rows('oauth_account')).length, ended ? 0 : 1, `call ${k}`)
    await app.users.delete(id)
  }
})

t.test('OAU-07: two tenants in one database share no accounts, even if their ids are equal', async (t) => {
  const idp = await startServer(t)
  const file = join(t.testdir(), 'app.db')
  const app = Fastify()
  t.teardown(() => app.close())
  for (const name of ['customers', 'staff']) {
    await app.register(
      async (scope) => {
        const adapter = sqlite(file, { tables: { user: { table: name }, accesstoken: { table: `${name}_token` } } })
        await scope.register(users, {
          name,
          adapter,
          secret: SECRET,
          publicUrl: ORIGIN,
          backends: backends(),
          passwords: fastPasswords,
          limits: false,
          schemas: userSchemas({}, { id: integerId() }),
          features: [oauth({
            providers: [openidConnect({ issuer: idp.url, ...CLIENT })],
            insecureOrigins: [idp.url]
          })]
        })
        scope.addHook('onReady', async () => {
          if (name === 'staff') {
            await scope.users.create({ email: 'merlin@camelot.bt', password: PASSWORD, is_superuser: true })
          }
        })
      },
      { prefix: `/${name}` }
    )
  }
  await app.ready()
  for (const name of ['customers', 'staff']) {
    const browser = openBrowser(app)
    const page = await browser.ask((await comeBack(browser, `/${name}/auth/openid/authorize`)).href)
    const me = await browser.ask(`/${name}/users/me`, {
      headers: { authorization: `Bearer ${page.json<{ access_token: string }>().access_token}` }
    })
    t.match(me.json(), { email: 'king.arthur@camelot.bt', is_superuser: false }, name)
  }
})

t.test('OAU-06: a response of one provider is refused at the callback of another', async (t) => {
  const second = await startServer(t, { clientAuthentication: 'client_secret_post' })
  const generic = oauth2({
    ...CLIENT,
    name: 'second',
    authorizationEndpoint: `${second.url}/authorize`,
    tokenEndpoint: `${second.url}/token`,
    scopes: ['a'],
    profile: async (api) => ({ id: 'x', email: null, emailVerified: false, raw: api.claims ?? {} })
  })
  const idp = await startServer(t, { sendIssuer: true })
  const { app, events } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({
      providers: [openidConnect({ issuer: idp.url, ...CLIENT }), generic],
      insecureOrigins: [idp.url, second.url]
    })]
  }, () => {})
  const browser = openBrowser(app)
  const url = await comeBack(browser)
  failed(
    t,
    await browser.ask(`/auth/second/callback${url.search}`),
    400,
    'OAUTH_INVALID_STATE',
    'its state at the other callback'
  )
  for (const iss of [null, second.url, `${idp.url}/`, '']) {
    const answer = await comeBack(browser)
    if (iss === null) answer.searchParams.delete('iss')
    else answer.searchParams.set('iss', iss)
    failed(t, await browser.ask(answer.href), 502, 'OAUTH_PROVIDER_FAILED', `iss ${iss}`)
  }
  t.same([idp.hits('token'), second.hits('token'), events], [0, 0, []])
  t.equal((await browser.ask((await comeBack(browser)).href)).status, 200, 'with the right iss the login succeeds')

  const tenant = await comeBack(browser, '/auth/second/authorize')
  tenant.searchParams.set('iss', idp.url)
  failed(
    t,
    await browser.ask(tenant.href),
    502,
    'OAUTH_PROVIDER_FAILED',
    'the iss of another provider at a provider that sends none'
  )
  t.equal(second.hits('token'), 0)
})

t.test('OAU-06, OAU-07: a name means the same provider in every registration', async (t) => {
  const at = (issuer: string): Partial<OauthOptions> & Pick<OauthOptions, 'providers'> => ({
    providers: [openidConnect({ issuer, ...CLIENT })],
    routes: { login: { prefix: `/${new URL(issuer).hostname}` }, associate: false, accounts: false }
  })
  const first = 'https://one.example'
  await t.rejects(
    buildApp(t, { publicUrl: ORIGIN, features: [oauth(at(first)), oauth({ ...at('https://two.example'), name: 'oauth-two' })] }, () => {}),
    { code: 'FST_USERS_INVALID_OPTION', message: /"openid"/ },
    'otherwise a user of the other issuer with the same id would log in as the user of this one'
  )
  await t.resolves(
    buildApp(t, {
      publicUrl: ORIGIN,
      features: [oauth(at(first)), oauth({
        ...at(first),
        name: 'oauth-two',
        backend: 'cookie',
        routes: { login: { prefix: '/web' }, associate: false, accounts: false }
      })]
    }, () => {})
  )
})

t.test(
  'CK-09: fifty started logins share one cookie, all tabs can finish, and the last one clears it',
  async (t) => {
    const { browser } = await setUp(t, { backend: 'cookie' })
    const host = new URL(ORIGIN).host
    const values = new Set<string | undefined>()
    for (let i = 0; i < 50; i++) {
      const page = await browser.ask('/auth/openid/authorize')
      t.match(
        page.headers['set-cookie'],
        new RegExp(`^${COOKIE}=[\\w-]{43}; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=Lax$`)
      )
      values.add(browser.cookie(COOKIE))
    }
    t.equal(values.size, 1)
    t.same([...(browser.jar.get(host)?.keys() ?? [])], [COOKIE])

    const other = openBrowser((await setUp(t, { backend: 'cookie' })).app)
    const tabs = [await comeBack(other), await comeBack(other)]
    t.match(
      [(await other.ask(String(tabs[1]))).status, other.cookie(COOKIE) !== undefined],
      [204, true],
      'the login in the other tab is not finished yet'
    )
    t.match([(await other.ask(String(tabs[0]))).status, other.cookie(COOKIE)], [204, undefined])
    t.same([...(other.jar.get(host)?.keys() ?? [])], ['__Host-users-cookie'])
  }
)

t.test(
  'OAU-12, OAU-11, OAU-13: HEAD has no effect; repeated parameters, other scopes and reserved parameters are refused',
  async (t) => {
    const setup = await setUp(t)
    const { browser, app } = setup
    const url = await comeBack(browser)
    for (const path of [url.href, '/auth/openid/authorize', `/auth/associate/openid/callback${url.search}`]) {
      t.equal((await browser.ask(path, { method: 'HEAD' })).status, 404, path)
    }
    for (const name of ['code', 'state', 'error', 'iss', 'code_verifier']) {
      const page = await browser.ask(`${url.href}&${name}=a&${name}=b`)
      t.match([page.status, page.json()], [400, { code: 'FST_ERR_VALIDATION' }], name)
    }
    untouched(t, setup, 'before')
    t.equal((await browser.ask(url.href)).status, 200, 'the code and the transaction can still be used')

    for (const scope of ['admin', 'openid admin', 'openid%0aadmin', 'OPENID', 'openid&scopes=admin']) {
      assertErrorReply(
        t,
        await app.inject({ url: `/auth/openid/authorize?scopes=${scope}` }),
        400,
        'BAD_REQUEST',
        'Bad Request',
        scope
      )
    }
    const start = await browser.ask(
      '/auth/openid/authorize?redirect_uri=https://evil.example&client_id=x&response_type=token&state=fixed&nonce=fixed&scope=admin&prompt=none'
    )
    const given = new URL(start.json<{ authorization_url: string }>().authorization_url).searchParams
    t.match(Object.fromEntries(given), {
      redirect_uri: `${ORIGIN}/auth/openid/callback`,
      client_id: 'client-id',
      response_type: 'code',
      scope: 'openid email'
    })
    t.notMatch([...given.values()], ['fixed'])
    t.notOk(given.has('prompt'))
  }
)

t.test('OAU-02, OAU-09: PKCE always uses S256, and only the query of a request matters', async (t) => {
  const { browser, idp } = await setUp(t)
  const url = await comeBack(browser, '/auth/openid/authorize', {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'gopher',
    forwarded: 'host=evil.example;proto=http'
  })
  t.equal(url.origin, ORIGIN)
  t.equal((await browser.ask(url.href, { headers: { host: 'evil.example' } })).status, 200)
  const { form } = idp.last('token')
  t.equal(form.redirect_uri, `${ORIGIN}/auth/openid/callback`)
  t.equal(
    createHash('sha256').update(String(form.code_verifier)).digest('base64url'),
    idp.seen.find(({ role }) => role === 'authorize')?.url.searchParams.get('code_challenge')
  )
})

t.test('OAU-04, OAU-05: id_tokens with one defect are refused', async (t) => {
  const setup = await setUp(t)
  const { browser, idp, events } = setup
  const now = Math.floor(Date.now() / 1000)
  const forgeries: Record<string, Partial<ServerBehavior>> = {
    'no id_token': { idToken: false },
    'no JWT': { idToken: 'garbage' },
    'an empty one': { idToken: '' },
    unsigned: { idToken: { alg: 'none' } },
    'signed with the client secret': { idToken: { alg: 'HS256' } },
    'signed with a foreign key': { idToken: { foreignKey: true } },
    'signed with a foreign key of the other algorithm': { idToken: { alg: 'ES256', foreignKey: true } },
    'an unknown key id': { idToken: { kid: 'unknown' } },
    'a critical header': { idToken: { header: { crit: ['b64'], b64: false } } },
    'another issuer': { idTokenClaims: { iss: 'https://evil.example' } },
    'no issuer': { idTokenClaims: { iss: undefined } },
    'another audience': { idTokenClaims: { aud: 'another' } },
    'no audience': { idTokenClaims: { aud: undefined } },
    'two audiences without azp': { idTokenClaims: { aud: ['client-id', 'another'] } },
    'azp of another client': { idTokenClaims: { aud: ['client-id', 'another'], azp: 'another' } },
    'an old one': { idTokenClaims: { exp: now - 120 } },
    'without end': { idTokenClaims: { exp: undefined } },
    'an end that is text': { idTokenClaims: { exp: String(now + 300) } },
    'without time': { idTokenClaims: { iat: undefined } },
    'not yet good': { idTokenClaims: { nbf: now + 600 } },
    'no nonce': { idTokenClaims: { nonce: undefined } },
    'another nonce': { idTokenClaims: { nonce: 'another' } },
    'no subject': { idTokenClaims: { sub: undefined } },
    'userinfo of another subject': {
      claims: { sub: 'subject-1' },
      userinfoClaims: { sub: 'subject-2', email: 'a@camelot.bt' }
    }
  }
  const good = structuredClone({
    idToken: idp.behavior.idToken,
    idTokenClaims: {},
    userinfoClaims: {},
    claims: idp.behavior.claims
  })
  for (const [name, play] of Object.entries(forgeries)) {
    Object.assign(idp.behavior, structuredClone(good), play)
    failed(t, await login(browser), 502, 'OAUTH_PROVIDER_FAILED', name)
  }
  t.same(events, [], 'no user was stored or logged in')
  Object.assign(idp.behavior, good)
  t.equal((await login(browser)).status, 200, 'a valid id_token is accepted')
})

t.test('EML-08: a provider account without an e-mail is refused, and no e-mail is invented', async (t) => {
  const store = watchedAdapter(memory())
  const [idp, other] = [await startServer(t), await startServer(t)]
  const anonymous = other.stage(reddit(CLIENT))
  other.answer('https://oauth.reddit.com/api/v1/me', { id: 'k1', name: 'knight', icon_img: 'x@placeholder.example' })
  const { app, create, bearer, events } = await buildApp(
    t,
    {
      publicUrl: ORIGIN,
      adapter: store.adapter,
      features: [oauth({
        providers: [openidConnect({ issuer: idp.url, ...CLIENT, trustEmail: true }), anonymous],
        insecureOrigins: [idp.url, other.url],
        isVerifiedByDefault: true,
        associateByEmail: true
      })]
    },
    () => {}
  )
  await create({ email: 'lady@lake.bt' })
  const headers = await bearer('lady@lake.bt')
  const known = openBrowser(app)
  idp.behavior.claims = { sub: 'known', email: 'known@camelot.bt', email_verified: true }
  t.equal((await login(known)).status, 200)
  const rows = async (): Promise<unknown> => [await store.rows('user'), await store.rows('oauth_account')]
  const before = await rows()
  events.length = 0
  for (const claims of [
    {},
    { email: null },
    { email: '' },
    { email: ' ' },
    { email: 'nobody' },
    { email: 'nobody@localhost' },
    { preferred_username: 'a@b.example', upn: 'a@b.example', name: 'a@b.example' }
  ]) {
    for (const sub of ['known', 'new']) {
      idp.behavior.claims = { sub, email_verified: true, ...claims }
      failed(t, await login(openBrowser(app)), 400, 'OAUTH_NOT_AVAILABLE_EMAIL', `${sub} ${JSON.stringify(claims)}`)
    }
  }
  for (const path of ['/auth/reddit/authorize', '/auth/associate/reddit/authorize']) {
    const browser = openBrowser(app)
    const url = await comeBack(browser, path, headers)
    failed(t, await browser.ask(url.href, { headers }), 400, 'OAUTH_NOT_AVAILABLE_EMAIL', path)
  }
  t.same(await rows(), before)
  t.same(events, [])
})

t.test('VER-10: an e-mail verified by one provider account counts for no other account', async (t) => {
  const { app, browser, idp, create, bearer } = await setUp(t, { associateByEmail: true })
  const email = 'king.arthur@camelot.bt'
  const { id } = await create({ email, is_verified: true })
  const accounts = async (): Promise<string[]> =>
    (await app.users.feature('oauth').list(id as never)).map(({ account_id: account }) => account)
  idp.behavior.claims = { sub: 'x', email, email_verified: true }
  t.equal((await login(openBrowser(app))).status, 200, 'the provider X verified the e-mail')
  for (const proof of [{}, { email_verified: false }, { email_verified: 'x' }]) {
    idp.behavior.claims = { sub: 'y', email, ...proof }
    failed(t, await login(openBrowser(app)), 400, 'OAUTH_USER_ALREADY_EXISTS', 'Y did not')
  }
  t.same(await accounts(), ['x'])

  const headers = await bearer(email)
  idp.behavior.claims = { sub: 'y', email: 'mordred@camelot.bt', email_verified: true }
  const codeOfY = (await comeBack(openBrowser(app))).searchParams.get('code') ?? ''
  idp.behavior.claims = { sub: 'z', email: 'arthur@work.example', email_verified: true }
  const url = await comeBack(browser, '/auth/associate/openid/authorize', headers)
  url.searchParams.set('code', codeOfY)
  idp.behavior.claims = { sub: 'y', email: 'mordred@camelot.bt', email_verified: true }
  failed(
    t,
    await browser.ask(url.href, { headers }),
    502,
    'OAUTH_PROVIDER_FAILED',
    'the code of Y in the linking that was started for Z'
  )
  t.same(await accounts(), ['x'])
})

t.test('OAU-07, OAU-19: ids and e-mails of a profile are validated', async (t) => {
  const profile: { given: Record<string, unknown> } = { given: {} }
  const idp = await startServer(t, { clientAuthentication: 'client_secret_post' })
  const provider: Provider = oauth2({
    ...CLIENT,
    name: 'openid',
    authorizationEndpoint: `${idp.url}/authorize`,
    tokenEndpoint: `${idp.url}/token`,
    trustEmail: true,
    profile: async () => ({ raw: {}, ...profile.given }) as never
  })
  const { app, events } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({ providers: [provider], insecureOrigins: [idp.url], isVerifiedByDefault: true })]
  }, () => {})
  const browser = openBrowser(app)
  const email = 'a@camelot.bt'
  for (const id of [
    undefined,
    null,
    '',
    ' ',
    0,
    -1,
    1.5,
    2 ** 53,
    Number.NaN,
    true,
    {},
    [],
    ['1'],
    'x'.repeat(400),
    'a\u0000b',
    'a\ud800'
  ]) {
    profile.given = { id, email, emailVerified: true }
    failed(t, await login(browser), 502, 'OAUTH_PROVIDER_FAILED', `id ${JSON.stringify(id)}`)
  }
  for (const address of [[email], { value: email }, 1, true]) {
    profile.given = { id: '1', email: address, emailVerified: true }
    failed(t, await login(browser), 502, 'OAUTH_PROVIDER_FAILED', `address ${JSON.stringify(address)}`)
  }
  for (const address of [
    null,
    undefined,
    '',
    'no address',
    'a\n@camelot.bt',
    `${email}\n${email}`,
    'a@localhost',
    `${'a'.repeat(400)}@camelot.bt`
  ]) {
    profile.given = { id: '1', email: address, emailVerified: true }
    failed(t, await login(browser), 400, 'OAUTH_NOT_AVAILABLE_EMAIL', `address ${JSON.stringify(address)}`)
  }
  t.same(events, [])
  profile.given = { id: '1', email: ' spaced@camelot.bt\n', emailVerified: true }
  t.equal((await login(browser)).status, 200)
  t.ok(await app.users.getByEmail('spaced@camelot.bt'), 'white space around an e-mail is removed')
  let number = 1000
  for (const [emailVerified, expected] of [
    [true, true],
    ['true', false],
    [1, false],
    [undefined, false],
    [false, false]
  ] as const) {
    const address = `user${++number}@camelot.bt`
    profile.given = { id: number, email: address, emailVerified }
    t.equal((await login(browser)).status, 200)
    t.equal((await app.users.getByEmail(address))?.is_verified, expected, `${JSON.stringify(emailVerified)}`)
  }
  profile.given = { id: String(number), email: 'other@camelot.bt', emailVerified: true }
  events.length = 0
  t.equal((await login(browser)).status, 200)
  t.same(
    events.map(({ name }) => name),
    ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'],
    'a number and its digits are the same account'
  )
})

t.test(
  'OAU-08, OAU-14, DEP-01: no invalid response of a provider leads to a login',
  async (t) => {
    const { browser, idp, events } = await setUp(t)
    const hasty = await appOn(t, idp, { timeoutMs: 300 })
    idp.behavior.claims = { sub: 'subject-1' }
    idp.behavior.userinfoClaims = { email: 'a@camelot.bt' }
    const late = new Set<Fault>(['tarpit', 'drip', 'switches', 'cut', 'cutWithin', 'error429', 'error503'])
    for (const role of ['token', 'jwks', 'userinfo'] as const satisfies readonly Role[]) {
      for (const fault of Object.keys(faults) as Fault[]) {
        idp.fail(role, fault)
        const page = await login(late.has(fault) ? hasty.browser : browser)
        if (late.has(fault)) {
          failed(t, page, 503, 'OAUTH_PROVIDER_UNAVAILABLE', `${role}: ${fault}`)
          t.match(page.headers['retry-after'], /^\d+$/)
        } else {
          failed(t, page, 502, 'OAUTH_PROVIDER_FAILED', `${role}: ${fault}`)
        }
      }
      idp.fail(role, null)
    }
    t.same([...events, ...hasty.events], [])
    t.equal((await login(browser)).status, 200, 'the next login succeeds')
  }
)

t.test('OAU-08, DEP-01, DEP-02: failed, false or late discovery is refused and retried at the next login', async (t) => {
  const { browser, idp } = await setUp(t)
  const hasty = await appOn(t, idp, { timeoutMs: 500 })
  for (const [fault, word] of [
    ['html', 'FAILED'],
    ['error500', 'FAILED'],
    ['emptyObject', 'FAILED'],
    ['redirectLoop', 'FAILED'],
    ['endless', 'FAILED'],
    ['tarpit', 'UNAVAILABLE'],
    ['switches', 'UNAVAILABLE'],
    ['cut', 'UNAVAILABLE'],
    ['error503', 'UNAVAILABLE']
  ] as const) {
    idp.fail('discovery', fault)
    failed(
      t,
      await (fault === 'tarpit' ? hasty.browser : browser).ask('/auth/openid/authorize'),
      word === 'FAILED' ? 502 : 503,
      `OAUTH_PROVIDER_${word}`,
      fault
    )
  }
  idp.fail('discovery', null)
  idp.behavior.issuer = 'https://evil.example'
  failed(t, await browser.ask('/auth/openid/authorize'), 502, 'OAUTH_PROVIDER_FAILED', 'another issuer')
  idp.behavior.issuer = idp.url
  t.equal((await login(browser)).status, 200)
})

t.test('DEP-01: an unreachable provider is reported as unavailable', async (t) => {
  const { browser, idp, events } = await setUp(t)
  const url = await comeBack(browser)
  await idp.close()
  const page = await browser.ask(url.href)
  failed(t, page, 503, 'OAUTH_PROVIDER_UNAVAILABLE')
  t.match(page.headers['retry-after'], /^\d+$/)
  failed(t, await browser.ask(url.href), 400, 'OAUTH_INVALID_STATE', 'the transaction is spent')
  t.same(events, [])
})

t.test('OAU-14: only https URLs with public IP addresses are called, except insecureOrigins', async (t) => {
  const hits: string[] = []
  const server = createServer((request, reply) => {
    hits.push(String(request.url))
    reply.end()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
      })
  )
  const { port } = server.address() as AddressInfo
  const hosts = [
    `http://127.0.0.1:${port}`,
    `https://127.0.0.1:${port}`,
    `https://localhost:${port}`,
    `https://[::1]:${port}`,
    `https://[::ffff:127.0.0.1]:${port}`,
    `https://2130706433:${port}`,
    `https://0x7f.1:${port}`,
    'https://169.254.169.254',
    'https://10.0.0.1',
    'https://192.168.1.1',
    'https://[fd00::1]',
    'https://[fe80::1]'
  ]
  for (const host of hosts) {
    const { app } = await buildApp(t, {
      publicUrl: ORIGIN,
      features: [oauth({ providers: [openidConnect({ issuer: host, ...CLIENT })], timeoutMs: 2000 })]
    }, () => {})
    assertErrorReply(
      t,
      await app.inject({ url: '/auth/openid/authorize' }),
      502,
      'OAUTH_PROVIDER_FAILED',
      'OAUTH_PROVIDER_FAILED',
      host
    )
  }
  t.same(hits, [])

  const idp = await startServer(t)
  const { app } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({
      providers: [inner('https://169.254.169.254/latest'), inner(`http://127.0.0.1:${port}/inner`, 'other')],
      insecureOrigins: [idp.url],
      timeoutMs: 2000
    })]
  }, () => {})
  failed(
    t,
    await openBrowser(app)
      .go('/auth/inner/authorize')
      .then((page) => (page.status === 200 ? finish(app, 'inner') : page)),
    502,
    'OAUTH_PROVIDER_FAILED',
    'an API within the network'
  )
  failed(t, await finish(app, 'other'), 502, 'OAUTH_PROVIDER_FAILED', 'an API at an origin that is not named')
  t.same(hits, [])

  function inner (api: string, name = 'inner'): Provider {
    return oauth2({
      clientId: 'client-id',
      clientSecret: 'client-secret',
      clientAuthentication: 'client_secret_basic',
      name,
      authorizationEndpoint: `${idp.url}/authorize`,
      tokenEndpoint: `${idp.url}/token`,
      profile: async ({ fetchJson }) => fetchJson(api) as never
    })
  }

  async function finish (app: TestApp['app'], name: string): Promise<Page> {
    const browser = openBrowser(app)
    return browser.ask((await comeBack(browser, `/auth/${name}/authorize`)).href)
  }
})

t.test('OAU-14: private and special IP addresses are not public', async (t) => {
  const inside = [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.168.0.1',
    '198.18.0.1',
    '198.51.100.7',
    '203.0.113.9',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::7f00:1',
    '64:ff9b::7f00:1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '3fff::1'
  ]
  for (const address of inside) t.equal(isPublicIp(address), false, address)
  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '192.0.1.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450:4001::1'
  ]) {
    t.equal(isPublicIp(address), true, address)
  }
  t.same(['[::1]', '127.0.0.1', 'localhost', 'example.com', '[2606:4700::1111]'].map(isPrivateIpHost), [
    true,
    true,
    false,
    false,
    false
  ])
})

t.test('OAU-10: error texts of a provider or an attacker are not sent back unchanged', async (t) => {
  const { app } = await setUp(t, { backend: 'cookie', redirects: ['/app'] })
  for (const error of [
    '<script>alert(1)</script>',
    '"><img src=x>',
    'a\nset-cookie: x=1',
    'x'.repeat(101),
    '\u0000',
    'javascript:alert`1`',
    '{{7*7}}',
    ''
  ]) {
    const reply = await app.inject({
      url: `${CALLBACK}?${new URLSearchParams({ error, error_description: error, error_uri: 'https://evil.example' }).toString()}`
    })
    assertErrorReply(t, reply, 400, 'OAUTH_REFUSED', 'Bad Request', JSON.stringify(error))
    t.match(reply.headers, {
      'content-type': /^application\/json/,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store'
    })
    t.notOk(reply.headers.location)
  }
  assertErrorReply(
    t,
    await app.inject({ url: `${CALLBACK}?error=access_denied&error_description=no` }),
    400,
    'OAUTH_REFUSED',
    'access_denied'
  )
})

t.test(
  'OAU-16, LOGG-01, LOGG-02: redirects and logs contain no code, state, token or cookie',
  async (t) => {
    const lines: string[] = []
    const { browser, idp } = await setUp(
      t,
      { backend: 'cookie', redirects: ['/app'] },
      {},
      {},
      {
        logger: {
          level: 'trace',
          stream: {
            write: (line: string) => {
              lines.push(line)
            }
          }
        }
      }
    )
    const url = await comeBack(browser, '/auth/openid/login?redirect=/app')
    const cookie = browser.cookie(COOKIE)
    const page = await browser.ask(url.href)
    t.match([page.status, page.headers.location], [302, `${ORIGIN}/app`])
    for (const fault of ['error400', 'huge', 'cut'] as const) {
      idp.fail('token', fault)
      const failure = await browser.ask((await comeBack(browser, '/auth/openid/login')).href)
      t.match(failure.headers.location, new RegExp(`^${ORIGIN}/app\\?error=OAUTH_PROVIDER_(FAILED|UNAVAILABLE)$`))
    }
    idp.fail('token', null)
    idp.fail('userinfo', 'error401')
    idp.behavior.claims = { sub: 'x' }
    await browser.ask((await comeBack(browser, '/auth/openid/login')).href)

    const log = lines.join('')
    t.match(log, '/auth/openid/callback')
    t.match(log, 'a call to a provider failed')
    const secrets = ['code', 'state']
      .map((name) => url.searchParams.get(name))
      .concat(
        cookie ?? null,
        CLIENT.clientSecret,
        ...idp.tokens.access,
        ...idp.tokens.refresh,
        ...idp.seen.map(({ form }) => form.code_verifier ?? null)
      )
    for (const secret of secrets.filter((value) => value !== null)) {
      t.notOk(log.includes(secret), `the log lacks ${secret.slice(0, 12)}…`)
    }
  }
)

t.test('CSRF-03: another site cannot start a login of a cookie backend', async (t) => {
  const { app } = await setUp(t, { backend: 'cookie' })
  for (const headers of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' }
  ]) {
    assertErrorReply(
      t,
      await app.inject({ url: '/auth/openid/authorize', headers }),
      403,
      'CROSS_SITE_REQUEST',
      'Forbidden',
      JSON.stringify(headers)
    )
  }
  for (const headers of [{}, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, { origin: ORIGIN }]) {
    t.equal((await app.inject({ url: '/auth/openid/authorize', headers })).statusCode, 200, JSON.stringify(headers))
  }
})

t.test('RDR-01, RDR-02, RDR-03, RDR-05: a browser is redirected to allowed targets only', async (t) => {
  const hostile = [
    '',
    ' ',
    '//evil.example',
    '///evil.example',
    '////evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/\r/evil.example',
    '\u0000//evil.example',
    '/\u0000/evil.example',
    '/..//evil.example',
    '/app/..//evil.example',
    '/./ /evil.example',
    '/app/../../evil',
    '/app/..',
    '/application',
    '/appendix',
    '/APP',
    '/',
    '/other',
    'app',
    './app',
    '../app',
    '?x=1',
    '#x',
    'evil.example',
    'https:evil.example',
    'https:/evil.example',
    'http:evil.example',
    'https:///evil.example',
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://app.example.com/x',
    'about:blank',
    'mailto:a@b.example',
    'https://evil.example',
    'https://evil.example/app',
    'http://app.example.com/app',
    'https://app.example.com:8443/app',
    'https://app.example.com.evil.example/app',
    'https://app.example.com@evil.example/app',
    'https://evil.example@app.example.com/app',
    'https://user:pass@app.example.com/app',
    'https://evil.example#@app.example.com/app',
    'https://evil.example?app.example.com/app',
    'https://evil.example\\@app.example.com/app',
    'https://app.example.com\\.evil.example/app',
    'https://app.example.com%2eevil.example/app',
    'https://xapp.example.com/app',
    'https://аpp.example.com/app',
    '%2f%2fevil.example',
    '/%2f%2fevil.example',
    '/app/%2f%2fevil.example',
    '/app/%5cevil.example',
    '/app/%252f%252fevil.example',
    '/app/%25252f',
    '/app/..%2f..%2fother',
    '/app/%2e%2e/other',
    '/app/.%2e/other',
    '/app/%00',
    '/app/%0d%0aset-cookie:x=1',
    '/app/\r\nset-cookie: x=1',
    '/app\u2028x',
    '/app\u00a0x',
    '/app/%7f',
    'http://[',
    'http://%',
    'https://[::1',
    'https://app.example.com:99999/app',
    `/app/${'a'.repeat(2100)}`
  ]
  t.ok(hostile.length >= 60, `${hostile.length} forms`)
  const { app, idp } = await setUp(t, { backend: 'cookie', redirects: ['/app', 'https://shop.example.com/account/'] })
  for (const redirect of hostile) {
    const reply = await app.inject({ url: `/auth/openid/login?${new URLSearchParams({ redirect }).toString()}` })
    assertErrorReply(t, reply, 400, 'OAUTH_BAD_REDIRECT', 'OAUTH_BAD_REDIRECT', encodeURIComponent(redirect.slice(0, 60)))
  }
  t.equal((await app.inject({ url: '/auth/openid/login?redirect=/app&redirect=/app' })).statusCode, 400)
  t.equal(idp.hits('discovery'), 0)

  const { resolve } = createRedirects(['/app', 'https://shop.example.com/account/'], `${ORIGIN}/base`)
  const allowed: Record<string, string> = {
    '/app': `${ORIGIN}/app`,
    '/app/': `${ORIGIN}/app/`,
    '/app/a/b?c=d&e=%2f#f': `${ORIGIN}/app/a/b?c=d&e=%2f#f`,
    '/app?next=//evil.example': `${ORIGIN}/app?next=//evil.example`,
    '/app/./a/../b': `${ORIGIN}/app/b`,
    '/app/grüße': `${ORIGIN}/app/gr%C3%BC%C3%9Fe`,
    'HTTPS://APP.EXAMPLE.COM:443/app': `${ORIGIN}/app`,
    'https://shop.example.com/account/orders': 'https://shop.example.com/account/orders'
  }
  for (const [text, href] of Object.entries(allowed)) t.equal(resolve(text), href, text)
  for (const text of [
    'https://shop.example.com/account',
    'https://shop.example.com/accounts/',
    'https://shop.example.com/'
  ]) {
    t.equal(resolve(text), null, text)
  }
})

t.test(
  'RDR-01, RDR-02: targets may be Capacitor, private-use schemes, and loopback with any port',
  async (t) => {
    const places = [
      'capacitor://localhost/app',
      'ionic://localhost',
      'com.example.app:/done',
      'com.example.other://login',
      'http://127.0.0.1:*/done',
      'http://[::1]:*',
      'http://localhost:3000/done'
    ]
    const { resolve } = createRedirects(places, ORIGIN)
    const allowed = [
      'capacitor://localhost/app',
      'capacitor://localhost/app/inbox?tab=1#top',
      'ionic://localhost/any',
      'com.example.app:/done',
      'com.example.app:/done/now?x=1',
      'com.example.other://login/x',
      'http://127.0.0.1:49152/done',
      'http://127.0.0.1:1/done/x',
      'http://127.0.0.1/done',
      'http://[::1]:8080/',
      'http://localhost:3000/done'
    ]
    for (const text of allowed) t.equal(resolve(text), text, text)
    t.equal(resolve('COM.EXAMPLE.APP:/done'), 'com.example.app:/done')
    t.equal(resolve(undefined), 'capacitor://localhost/app')
    const refused = [
      'capacitor://localhost',
      'capacitor://localhost/application',
      'capacitor://evil.example/app',
      'capacitor://localhost:1/app',
      'capacitor://localhost.evil.example/app',
      'capacitor://user@localhost/app',
      'capacitor:/app',
      'capacitor:app',
      'com.example.app:/other',
      'com.example.app:/done/../other',
      'com.example.app:/..//evil.example',
      'com.example.app:done',
      'com.example.app://done',
      'com.example.app://evil.example/done',
      'com.example.evil:/done',
      'com.example.app.evil:/done',
      'com.example.app:/done/%2f%2fevil',
      'com.example.app:/\\evil',
      'com.example.app:/do\tne',
      'com.example.other://login:1',
      'com.example.other://u@login',
      'com.example.other://LOGIN',
      'com.example.other:/login',
      'https://127.0.0.1:49152/done',
      'http://127.0.0.1:49152/other',
      'http://127.0.0.2:49152/done',
      'http://127.0.0.1.evil.example:1/done',
      'http://127.0.0.1:1@evil.example/done',
      'http://localhost:3001/done',
      'http://127.0.0.1:99999/done',
      'http://127.0.0.1:*/done',
      'javascript://localhost/app',
      'javascript:/done',
      'data:/done',
      'x:/done',
      'intent://localhost/app',
      'file:///app',
      'http:/done'
    ]
    for (const text of refused) t.equal(resolve(text), null, text)
    for (const place of [
      'javascript:/x',
      'myapp:/done',
      'myapp://done',
      'capacitor://evil.example',
      'capacitor:/x',
      'com.example.app:done',
      'com.example.app:/done?x=1',
      'http://10.0.0.1:*/x',
      'http://127.0.0.1:*x',
      'http://*/x',
      'http://evil.example:*/'
    ]) {
      t.throws(() => createRedirects([place], ORIGIN), { code: 'FST_USERS_INVALID_OPTION' }, place)
    }

    const { browser } = await setUp(t, { backend: 'cookie', redirects: ['com.example.app:/done'] })
    const page = await browser.ask(
      (await comeBack(browser, '/auth/openid/login?redirect=com.example.app:/done/inbox')).href
    )
    t.match([page.status, page.headers.location], [302, 'com.example.app:/done/inbox'])
    const started = await comeBack(browser, '/auth/openid/login')
    started.searchParams.delete('code')
    started.searchParams.set('error', 'access_denied')
    t.equal((await browser.ask(started.href)).headers.location, 'com.example.app:/done?error=OAUTH_REFUSED')
  }
)

t.test('RDR-01: a target that is no longer allowed at the callback is refused', async (t) => {
  const adapter = memory()
  const idp = await startServer(t)
  const build = (place: string): Promise<TestApp> =>
    buildApp(t, {
      adapter,
      publicUrl: ORIGIN,
      features: [oauth({
        providers: [openidConnect({ issuer: idp.url, ...CLIENT })],
        insecureOrigins: [idp.url],
        backend: 'cookie',
        redirects: [place]
      })]
    }, () => {})
  const [before, after] = [await build('/app'), await build('/other')]
  const browser = openBrowser(before.app)
  const url = await comeBack(browser, '/auth/openid/login?redirect=/app')
  const page = await after.app.inject({
    url: url.pathname + url.search,
    headers: { cookie: `${COOKIE}=${browser.cookie(COOKIE)}` }
  })
  assertErrorReply(t, page, 400, 'OAUTH_BAD_REDIRECT')
  t.equal(idp.hits('token'), 0)
})

t.test('RDR-04: a posted response is redirected with 303 and only its own parameters', async (t) => {
  const idp = await startServer(t)
  const provider: Provider = { ...openidConnect({ issuer: idp.url, ...CLIENT }), responseMode: 'form_post' }
  const { app, create, bearer } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({ providers: [provider], insecureOrigins: [idp.url] })]
  }, () => {})
  const browser = openBrowser(app)
  const { authorization_url: address } = (await browser.ask('/auth/openid/authorize')).json<{
    authorization_url: string
  }>()
  t.equal(new URL(address).searchParams.get('response_mode'), 'form_post')
  const { method, url, params } = await idp.visit(address)
  t.same([method, url.href], ['POST', ORIGIN + CALLBACK])
  params.set('user', '{"name":"x"}')
  params.set('redirect', 'https://evil.example')
  const cross = openBrowser(app) // a post from the provider's page comes without our cookie
  const posted = await cross.ask(CALLBACK, {
    method: 'POST',
    body: params,
    headers: { origin: idp.url, 'sec-fetch-site': 'cross-site' }
  })
  const target = new URL(String(posted.headers.location))
  t.same(
    [posted.status, target.origin + target.pathname, [...target.searchParams.keys()]],
    [303, ORIGIN + CALLBACK, ['code', 'state']]
  )
  t.equal((await browser.ask(target.href)).status, 200)
  t.equal(idp.hits('token'), 1)

  await create({ email: 'lady@lake.bt' })
  const headers = await bearer('lady@lake.bt')
  const link = (await browser.ask('/auth/associate/openid/authorize', { headers })).json<{
    authorization_url: string
  }>()
  const answer = await idp.visit(link.authorization_url)
  const linked = await cross.ask(answer.url.pathname, { method: 'POST', body: answer.params })
  failed(
    t,
    await browser.ask(String(linked.headers.location), { headers }),
    400,
    'OAUTH_ACCOUNT_ALREADY_LINKED',
    'linking works the same way'
  )
  for (const body of ['code=a&code=b', 'code=%ff%fe%', `code=${'a'.repeat(20_000)}`]) {
    const { statusCode } = await app.inject({
      method: 'POST',
      url: CALLBACK,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: body
    })
    t.ok([303, 400, 413].includes(statusCode), `${body.slice(0, 20)} ${statusCode}`)
  }
  t.equal(
    (await app.inject({ method: 'POST', url: CALLBACK, headers: { 'content-type': 'text/plain' }, payload: 'x' }))
      .statusCode,
    415
  )
})

t.test('DEP-01: invalid HTTP is refused, and secrets are created for each exchange', async (t) => {
  const secrets: string[] = []
  const idp = await startServer(t, {
    clientSecret: (secret) => secrets.push(secret) > 0,
    clientAuthentication: 'client_secret_post'
  })
  let count = 0
  const provider: Provider = {
    ...openidConnect({ issuer: idp.url, ...CLIENT }),
    clientAuthentication: 'client_secret_post',
    clientSecret: async () => `made-${++count}`
  }
  const { app } = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({ providers: [provider], insecureOrigins: [idp.url] })]
  }, () => {})
  for (let i = 0; i < 2; i++) t.equal((await login(openBrowser(app))).status, 200)
  t.same(secrets, ['made-1', 'made-2'])

  for (const bytes of ['SSH-2.0-OpenSSH_9\r\n', 'HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n']) {
    const raw = createServer((_request, reply: ServerResponse) => {
      reply.socket?.end(bytes)
    })
    await new Promise<void>((resolve) => {
      raw.listen(0, '127.0.0.1', resolve)
    })
    t.teardown(
      () =>
        new Promise((resolve) => {
          raw.close(resolve)
        })
    )
    const issuer = `http://127.0.0.1:${(raw.address() as AddressInfo).port}`
    const built = await buildApp(t, {
      publicUrl: ORIGIN,
      features: [oauth({ providers: [openidConnect({ issuer, ...CLIENT })], insecureOrigins: [issuer] })]
    }, () => {})
    assertErrorReply(
      t,
      await built.app.inject({ url: '/auth/openid/authorize' }),
      502,
      'OAUTH_PROVIDER_FAILED',
      'OAUTH_PROVIDER_FAILED',
      bytes.slice(0, 12)
    )
  }
})

t.test('row 81, OAU-08: expiry, refresh and revocation work, and misuse by a profile is refused', async (t) => {
  const idp = await startServer(t, { clientAuthentication: 'none', clientSecret: null })
  const reasons: unknown[] = []
  const log = {
    warn: ({ reason }: { reason: unknown }) => {
      reasons.push(reason)
    }
  } as unknown as FastifyBaseLogger
  const base: Provider = oauth2({
    clientId: 'client-id',
    authorizationEndpoint: `${idp.url}/authorize`,
    tokenEndpoint: `${idp.url}/token`,
    profile: async (api) => ({ id: String((await api.userInfo()).sub), email: null, emailVerified: false, raw: {} })
  })
  const server = {
    issuer: idp.url,
    authorization_endpoint: `${idp.url}/authorize`,
    token_endpoint: `${idp.url}/token`,
    userinfo_endpoint: `${idp.url}/userinfo`
  }
  const clientOf = (provider: Provider): EngineClient =>
    createClient(provider, { insecureOrigins: new Set([idp.url]), timeoutMs: 10_000, clock: () => 1_000_000, log })
  const verifier = 'v'.repeat(43)
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  const redirectUri = `${ORIGIN}/callback`
  const identify = async (provider: Provider): Promise<Identity> => {
    const client = clientOf(provider)
    const { params } = await idp.visit(
      await client.authorizationUrl({ redirectUri, state: 's', scopes: [], challenge, nonce: null })
    )
    return client.identify({ redirectUri, code: String(params.get('code')), iss: undefined, verifier, nonce: null })
  }
  const plain: Provider = { ...base, server }
  idp.behavior.idToken = false
  t.match(
    await identify(plain),
    { accountId: 'subject-1', email: null, tokens: { expiresAt: 4600, refreshToken: /^refresh-/ } },
    'a public client gets no id_token'
  )
  Object.assign(idp.behavior, {
    expiresIn: null,
    refreshTokens: false,
    tokenAnswer: { refresh_token: null, token_type: undefined }
  })
  t.match(
    (await identify(plain)).tokens,
    { expiresAt: null, refreshToken: null },
    'a reply without optional values'
  )
  idp.behavior.tokenAnswer = { expires_at: 77_777 }
  t.equal((await identify(plain)).tokens.expiresAt, 77_777)
  Object.assign(idp.behavior, { tokenAnswer: {}, idToken: 'garbage' })
  t.equal(
    (await identify(plain)).accountId,
    'subject-1',
    'an id_token that was not requested and cannot be validated is ignored'
  )

  const text: unknown = 'text' // code may throw any value
  const faults: Provider['profile'][] = [
    () => Promise.reject(text),
    async (api) => ({ id: await api.fetchJson('no address'), email: null, emailVerified: false, raw: {} }),
    async (api) => ({
      id: await api.fetchJson(idp.url.replace('//', '//user:secret@')),
      email: null,
      emailVerified: false,
      raw: {}
    }),
    async () => JSON.parse('null') as never
  ]
  reasons.length = 0
  for (const profile of faults) {
    await t.rejects(identify({ ...plain, profile }), { code: 'FST_USERS_OAUTH_PROVIDER_FAILED' })
  }
  t.same(reasons.slice(0, 3), ['unknown', 'a URL is malformed', 'a URL contains a user name'])
  t.notMatch(reasons.join(), 'secret')

  Object.assign(idp.behavior, { idToken: false, refreshTokens: true })
  idp.tokens.refresh.add('old')
  t.match(await clientOf(plain).refresh('old'), { refreshToken: /^refresh-/ })
  idp.tokens.refresh.add('kept')
  idp.behavior.tokenAnswer = { refresh_token: undefined }
  t.equal(
    (await clientOf(plain).refresh('kept')).refreshToken,
    'kept',
    'the refresh token is kept if the provider sends no new one'
  )

  idp.tokens.access.add('a')
  await clientOf(plain).revoke({ accessToken: 'a', refreshToken: 'r', expiresAt: null })
  t.equal(idp.hits('revoke'), 0, 'without a revocation endpoint no request is sent')
  const revocable: Provider = { ...plain, server: { ...server, revocation_endpoint: `${idp.url}/revoke` } }
  for (const refreshToken of ['r', null]) {
    await clientOf(revocable).revoke({ accessToken: 'a', refreshToken, expiresAt: null })
  }
  t.same(
    idp.seen.filter(({ role }) => role === 'revoke').map(({ form }) => form.token),
    ['r', 'a']
  )

  const look = (name: string, options = {}): Promise<unknown[]> =>
    new Promise((resolve) => {
      lookupPublic(name, options, (...found) => {
        resolve(found)
      })
    })
  t.same(await look('8.8.8.8'), [null, '8.8.8.8', 4], 'one IP address is returned if one is requested')
  t.same(await look('8.8.8.8', { all: true }), [null, [{ address: '8.8.8.8', family: 4 }]])
  t.match(await look('nowhere.invalid'), [{ syscall: 'getaddrinfo' }])
})

function claimsOf (url: URL): Record<string, unknown> {
  return JSON.parse(
    Buffer.from(String(url.searchParams.get('state')?.split('.')[1]), 'base64url').toString()
  ) as Record<string, unknown>
}

function withState (url: URL, state: string): string {
  url.searchParams.set('state', state)
  return url.href
}

function sign (claims: object, secret = STATE_SECRET): string {
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

function encode (value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
