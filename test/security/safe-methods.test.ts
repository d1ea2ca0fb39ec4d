import type { RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import { oauth, openidConnect, type OauthOptions } from '../../lib/features/oauth/index.js'
import type { UsersOptions } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { watchedAdapter } from '../fixtures/watched-adapter.js'
import { openBrowser, ORIGIN, type Page } from '../helpers/browser.js'
import { ARTHUR, buildApp, PASSWORD, assertErrorReply, type TestApp } from '../helpers/build-app.js'
import { startOauthServer } from '../helpers/oauth-server.js'

const LINK = '/auth/associate/openid'
const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin' }

/** Creates an application whose users can link provider accounts with both backends. */
async function setUp (
  t: Test,
  users: Partial<UsersOptions> = {},
  options: Partial<OauthOptions> = {}
): Promise<TestApp> {
  const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic' })
  t.teardown(() => idp.close())
  const provider = openidConnect({ issuer: idp.url, clientId: 'client-id', clientSecret: 'client-secret' })
  return buildApp(t, {
    publicUrl: ORIGIN,
    trustedOrigins: ['https://front.example.com'],
    ...users,
    features: [oauth({
      providers: [{ ...provider, responseMode: 'form_post' }],
      insecureOrigins: [idp.url],
      backend: 'cookie',
      redirects: ['/app'],
      ...options
    })]
  }, () => {})
}

/** Headers by which a browser reports the origin of a GET, and whether linking may start from there. */
const PLACES: [headers: Record<string, string>, allowed: boolean][] = [
  [SAME_ORIGIN, true],
  [{}, false],
  [{ 'sec-fetch-site': 'none' }, false],
  [{ 'sec-fetch-site': 'same-site' }, false],
  [{ 'sec-fetch-site': 'cross-site' }, false],
  [{ 'sec-fetch-site': '' }, false],
  [{ 'sec-fetch-site': 'same-origin, none' }, false],
  [{ origin: ORIGIN }, false],
  [{ origin: 'https://front.example.com' }, false],
  [{ origin: 'https://front.example.com', 'sec-fetch-site': 'same-site' }, false],
  [{ referer: `${ORIGIN}/app` }, false]
]

t.test('CSRF-07: a GET with a cookie starts linking only for pages of the same origin', async (t) => {
  const { create, cookie, send } = await setUp(t)
  await create()
  const session = await cookie(ARTHUR)
  for (const [headers, allowed] of PLACES) {
    for (const [route, status] of [
      ['authorize', 200],
      ['login', 302]
    ] as const) {
      const name = `${route} ${JSON.stringify(headers)}`
      const reply = await send('GET', `${LINK}/${route}`, undefined, { ...session, ...headers })
      if (allowed) t.equal(reply.statusCode, status, name)
      else assertErrorReply(t, reply, 403, 'CROSS_SITE_REQUEST', 'Forbidden', name)
      t.equal(reply.headers['set-cookie'] !== undefined, allowed, `${name}: a refusal sets no cookie`)
    }
  }
  assertErrorReply(t, await send('GET', `${LINK}/login`, undefined, SAME_ORIGIN), 401, 'UNAUTHENTICATED', 'Unauthorized')
})

t.test(
  'CSRF-01, CSRF-02: a POST starts linking from the origin of the application and trusted origins, and with a bearer token from any origin',
  async (t) => {
    const { create, cookie, bearer, send } = await setUp(t)
    await create()
    const session = await cookie(ARTHUR)
    const token = await bearer(ARTHUR)
    const own = [
      {},
      SAME_ORIGIN,
      { origin: ORIGIN },
      { origin: 'https://front.example.com', 'sec-fetch-site': 'same-site' }
    ]
    const foreign = [
      { 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
    ]
    for (const [route, status] of [
      ['authorize', 200],
      ['login', 303]
    ] as const) {
      for (const headers of own) {
        t.equal(
          (await send('POST', `${LINK}/${route}`, undefined, { ...session, ...headers })).statusCode,
          status,
          `${route} ${JSON.stringify(headers)}`
        )
      }
      for (const headers of foreign) {
        assertErrorReply(
          t,
          await send('POST', `${LINK}/${route}`, undefined, { ...session, ...headers }),
          403,
          'CROSS_SITE_REQUEST',
          'Forbidden',
          `${route} ${JSON.stringify(headers)}`
        )
        t.equal(
          (await send('POST', `${LINK}/${route}`, undefined, { ...token, ...headers })).statusCode,
          status,
          'no site can send a bearer token'
        )
      }
      t.equal(
        (await send('GET', `${LINK}/${route}`, undefined, token)).statusCode,
        route === 'login' ? 302 : 200,
        'an API client'
      )
      assertErrorReply(t, await send('POST', `${LINK}/${route}`), 401, 'UNAUTHENTICATED', 'Unauthorized')
    }
    t.equal(
      (
        await send('POST', `${LINK}/login`, 'ignored=1', {
          ...session,
          'content-type': 'application/x-www-form-urlencoded'
        })
      ).statusCode,
      303,
      'a form'
    )
  }
)

t.test('CSRF-07, LNK-04: linking that started with a form links the account', async (t) => {
  const { app, create, cookie } = await setUp(t)
  const { id } = await create()
  const browser = openBrowser(app)
  const session = (await cookie(ARTHUR)).cookie
  const [name = '', value = ''] = session.split('=')
  browser.jar.set(new URL(ORIGIN).host, new Map([[name, value]]))
  const there: Page = await browser.ask(`${LINK}/login?redirect=/app/me`, {
    method: 'POST',
    body: new URLSearchParams(),
    headers: { origin: ORIGIN }
  })
  t.equal(there.status, 303)
  const answered = await fetch(String(there.headers['location']), { redirect: 'manual' }).then((reply) => reply.text())
  const fields = new URLSearchParams(/data-fields="([^"]+)"/.exec(answered)?.[1])
  t.equal(
    (await browser.go(`${LINK}/callback?${fields.toString()}`, ({ pathname }) => pathname === '/app/me')).url.href,
    `${ORIGIN}/app/me`
  )
  t.match(await app.users.feature('oauth').list(id as never), [{ account_id: 'subject-1' }])
})

t.test(
  'CSRF-07, INP-06: no GET or HEAD route of the plugin changes the store, except that the start of a login stores its transaction',
  async (t) => {
    const store = watchedAdapter(memory())
    const built = await setUp(t, { adapter: store.adapter, requireVerification: false })
    const { routes, create, bearer, cookie, send, app, tick } = built
    const { id } = await create({ is_superuser: true, is_verified: true })
    const ours = routes.filter(({ url }) => url.startsWith('/auth') || url.startsWith('/users'))
    const urls = [...new Set(ours.map(({ url }) => url))]
    const withGet = urls.filter((url) => ours.some((route) => route.url === url && methodsOf(route).includes('GET')))
    t.same(
      ours.filter((route) => methodsOf(route).includes('HEAD')),
      [],
      'no HEAD route'
    )
    t.ok(withGet.length >= 8, 'the routes were found')

    const sessions = [{}, await bearer(ARTHUR), await cookie(ARTHUR)]
    const writes: string[] = []
    store.watch(({ method, model, proceed }) => {
      if (!method.startsWith('find')) writes.push(`${method} ${model.name}`)
      return proceed()
    })

    async function walk (expected: string): Promise<void> {
      for (const url of urls) {
        for (const method of ['GET', 'HEAD'] as const) {
          for (const session of sessions) {
            for (const query of [
              '',
              '?code=c&state=s',
              '?error=access_denied',
              `?token=t&username=${ARTHUR}&password=${PASSWORD}`
            ]) {
              writes.length = 0
              const { statusCode } = await send(method, url.replace(':id', String(id)) + query, undefined, {
                ...session,
                ...SAME_ORIGIN
              })
              await app.users.settled()
              const name = `${method} ${url}${query}: ${statusCode}`
              const starts = method === 'GET' && /openid\/(authorize|login)$/.test(url) && statusCode < 400
              t.same(
                writes.filter((write) => !/^(create|delete) single_use$/.test(write)),
                [],
                name
              )
              t.equal(writes.includes('create single_use'), starts, `${name}, ${expected}`)
              if (method === 'HEAD' || !withGet.includes(url)) t.equal(statusCode, 404, name)
            }
          }
        }
      }
    }
    await walk('with live sessions')
    tick(86_401)
    await walk('with sessions that ended')
  }
)

function methodsOf ({ method }: RouteOptions): readonly string[] {
  return [method].flat()
}
