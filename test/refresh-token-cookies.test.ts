import t, { type Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type BackendOptions,
  type UsersOptions
} from '../lib/index.js'
import { refreshTokens, type RefreshTokensOptions } from '../lib/features/refresh-tokens/index.js'
import { ARTHUR, assertErrorReply, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'

const SITE = 'https://app.camelot.example'
const LANCELOT = 'lancelot@camelot.bt'

const spa: BackendOptions = { name: 'spa', transport: bearerTransport(), strategy: jwtStrategy() }
const web: BackendOptions = { name: 'web', transport: cookieTransport(), strategy: jwtStrategy() }

/** A browser with the cookies of one site. It ignores their paths. */
class Browser {
  readonly cookies = new Map<string, string>()
  readonly #send: TestApp['send']

  constructor (send: TestApp['send']) {
    this.#send = send
  }

  async post (url: string, payload?: unknown, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const reply = await this.#send('POST', url, payload, { 'sec-fetch-site': 'same-origin', cookie, ...headers })
    for (const line of [reply.headers['set-cookie'] ?? []].flat()) {
      const [pair = ''] = line.split(';')
      const [name = '', value = ''] = pair.split('=')
      if (/max-age=0/i.test(line)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return reply
  }

  login (backend: string, username = ARTHUR, headers = {}): Promise<LightMyRequestResponse> {
    return this.post(`/auth/${backend}/login`, { username, password: PASSWORD }, headers)
  }
}

async function serve (
  t: Test,
  backends: RefreshTokensOptions['backends'] = [{ name: 'spa', cookie: true }, 'web'],
  options: Partial<UsersOptions> = {}
): Promise<TestApp & { browser(): Browser }> {
  const features = [refreshTokens(backends === undefined ? {} : { backends })]
  const built = await buildApp(t, { backends: [spa, web], publicUrl: SITE, ...options, features })
  return { ...built, browser: () => new Browser(built.send) }
}

function refused (t: Test, reply: LightMyRequestResponse, name?: string): void {
  assertErrorReply(t, reply, 400, 'REFRESH_TOKEN_INVALID', undefined, name)
}

const cookieLines = ({ headers }: LightMyRequestResponse): string[] => [headers['set-cookie'] ?? []].flat()

t.test('RT-05: in a browser, the refresh token is in a cookie that only the login routes of the backend receive', async (t) => {
  const { register, browser, send } = await serve(t)
  await register()
  const arthur = browser()
  const login = await arthur.login('spa')
  const body = login.json<Record<string, unknown>>()
  t.match(body, { token_type: 'bearer', expires_in: 600 })
  t.notOk('refresh_token' in body, 'scripts cannot read it')
  t.equal(cookieLines(login).length, 1)
  t.match(
    cookieLines(login)[0],
    /^__Secure-users-spa-refresh=[^;]+; Max-Age=12\d{5}; Path=\/auth\/spa; HttpOnly; Secure; SameSite=Strict$/
  )
  const refreshed = await arthur.post('/auth/spa/refresh')
  t.equal(refreshed.statusCode, 200)
  const { access_token: token, ...rest } = refreshed.json<Record<string, string>>()
  t.same(rest, { token_type: 'bearer', expires_in: 600 })
  const guarded = await send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` })
  t.equal(guarded.statusCode, 200)
  t.equal(guarded.headers['set-cookie'], undefined)
  refused(t, await send('POST', '/auth/spa/refresh'), 'without the cookie')
  refused(t, await browser().post('/auth/spa/refresh', { refresh_token: arthur.cookies.get('__Secure-users-spa-refresh') }), 'in the body')
})

t.test('RT-05, CSRF-01: requests of other sites neither refresh nor log in nor end a session', async (t) => {
  const { register, browser } = await serve(t)
  await register()
  const arthur = browser()
  await arthur.login('spa')
  const before = arthur.cookies.get('__Secure-users-spa-refresh')
  for (const headers of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: 'https://blog.camelot.example' },
    { 'sec-fetch-site': 'cross-site' }
  ]) {
    for (const path of ['/auth/spa/refresh', '/auth/spa/revoke', '/auth/web/refresh']) {
      assertErrorReply(t, await arthur.post(path, undefined, headers), 403, 'CROSS_SITE_REQUEST', 'Forbidden')
    }
    assertErrorReply(t, await arthur.login('spa', ARTHUR, headers), 403, 'CROSS_SITE_REQUEST', 'Forbidden')
  }
  t.equal(arthur.cookies.get('__Secure-users-spa-refresh'), before)
  t.equal((await arthur.post('/auth/spa/refresh')).statusCode, 200)
})

t.test('a session in a cookie is refreshed by a second cookie', async (t) => {
  const { register, browser, tick, app } = await serve(t)
  await register()
  const arthur = browser()
  t.equal((await arthur.login('web')).statusCode, 204)
  t.same([...arthur.cookies.keys()].sort(), ['__Host-users-web', '__Secure-users-web-refresh'])
  const guarded = async (): Promise<number> => {
    const cookie = `__Host-users-web=${arthur.cookies.get('__Host-users-web') ?? ''}`
    return (await app.inject({ url: '/guarded', headers: { cookie } })).statusCode
  }
  tick(700)
  t.equal(await guarded(), 401, 'the session cookie has expired')
  const refreshed = await arthur.post('/auth/web/refresh')
  t.same([refreshed.statusCode, cookieLines(refreshed).length], [204, 2])
  t.equal(await guarded(), 200)

  t.equal((await arthur.post('/auth/web/logout')).statusCode, 204)
  t.same([...arthur.cookies.keys()], [], 'a logout deletes both')
})

t.test('a logout, a revocation and a further login end the session of the cookie', async (t) => {
  const { register, browser, send } = await serve(t)
  await register()
  await register({ email: LANCELOT })
  const copyOf = (one: Browser): Browser => {
    const copy = browser()
    for (const [name, value] of one.cookies) copy.cookies.set(name, value)
    return copy
  }
  const one = browser()
  const { access_token: token } = (await one.login('spa')).json<{ access_token: string }>()
  const stolen = copyOf(one)
  const logout = await send('POST', '/auth/spa/logout', undefined, { authorization: `Bearer ${token}` })
  t.match(cookieLines(logout), [/^__Secure-users-spa-refresh=; Max-Age=0; Path=\/auth\/spa; /])
  refused(t, await stolen.post('/auth/spa/refresh'), 'after a logout')

  const two = browser()
  await two.login('spa')
  const copy = copyOf(two)
  t.equal((await two.post('/auth/spa/revoke')).statusCode, 200, 'the access token may have expired')
  t.same([...two.cookies], [])
  refused(t, await copy.post('/auth/spa/refresh'), 'after a revocation')

  const three = browser()
  await three.login('spa')
  const former = copyOf(three)
  await three.login('spa', LANCELOT)
  refused(t, await former.post('/auth/spa/refresh'), 'after a login of another user in the same browser')
  t.equal((await three.post('/auth/spa/refresh')).statusCode, 200)
})

t.test('a changed password renews both cookies of the browser that changed it', async (t) => {
  const { register, browser, send } = await serve(t)
  await register()
  const arthur = browser()
  await arthur.login('web')
  const before = new Map(arthur.cookies)
  const cookie = [...arthur.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const headers = { cookie, 'sec-fetch-site': 'same-origin' }
  const changed = await send('PATCH', '/users/me', { password: 'excalibur-22' }, headers)
  t.equal(changed.statusCode, 200)
  for (const line of cookieLines(changed)) arthur.cookies.set(line.split('=')[0] ?? '', line.split(';')[0]?.split('=')[1] ?? '')
  t.not(arthur.cookies.get('__Secure-users-web-refresh'), before.get('__Secure-users-web-refresh'))
  t.equal((await arthur.post('/auth/web/refresh')).statusCode, 204)
})

t.test('several cookies of the name are refused', async (t) => {
  const { register, browser, send } = await serve(t)
  await register()
  const arthur = browser()
  await arthur.login('spa')
  const value = arthur.cookies.get('__Secure-users-spa-refresh') ?? ''
  const cookie = `__Secure-users-spa-refresh=${value}; __Secure-users-spa-refresh=${value}x`
  refused(t, await send('POST', '/auth/spa/refresh', undefined, { cookie, 'sec-fetch-site': 'same-origin' }))
})

t.test('the path of the cookie follows publicUrl, the prefix of the plugin and that of the routes', async (t) => {
  const { register, browser } = await serve(t, [{ name: 'spa', cookie: {} }], {
    publicUrl: `${SITE}/api/`,
    routes: { auth: { prefix: '/account' } }
  })
  await register()
  const login = await browser().post('/account/spa/login', { username: ARTHUR, password: PASSWORD })
  t.match(cookieLines(login), [/Path=\/api\/account\/spa;/])
})

const BAD = 'FST_USERS_INVALID_OPTION'
const badOptions: Record<string, [options: unknown, code: string, text: RegExp]> = {
  'an unknown key': [{ idle: 1 }, 'FST_USERS_UNKNOWN_OPTION', /refreshTokens\.idle/],
  'no object': [7, BAD, /refreshTokens/],
  'a fraction': [{ idleSeconds: 0.5 }, BAD, /idleSeconds/],
  'no seconds': [{ idleSeconds: 0 }, BAD, /idleSeconds/],
  'text for seconds': [{ absoluteSeconds: '30d' }, BAD, /absoluteSeconds/],
  'more than 30 days': [{ absoluteSeconds: 31 * 86_400 }, BAD, /longSessions/],
  'idle for longer than the session': [{ idleSeconds: 7200, absoluteSeconds: 3600 }, BAD, /absoluteSeconds/],
  'a long grace time': [{ graceSeconds: 61 }, BAD, /graceSeconds/],
  'a negative grace time': [{ graceSeconds: -1 }, BAD, /graceSeconds/],
  'no backend': [{ backends: [] }, BAD, /backends/],
  'text for backends': [{ backends: 'spa' }, BAD, /backends/],
  'an unknown backend': [{ backends: ['jwt'] }, 'FST_USERS_UNKNOWN_BACKEND', /jwt/],
  'a backend twice': [{ backends: ['spa', { name: 'spa' }] }, BAD, /twice/],
  'an unknown key of a backend': [{ backends: [{ name: 'spa', cookies: true }] }, 'FST_USERS_UNKNOWN_OPTION', /cookies/],
  'a body for a cookie session': [{ backends: [{ name: 'web', cookie: false }] }, BAD, /cookie/],
  'text for the cookie': [{ backends: [{ name: 'spa', cookie: 'yes' }] }, BAD, /cookie/],
  'an unknown attribute': [{ backends: [{ name: 'spa', cookie: { sameSite: 'none' } }] }, 'FST_USERS_UNKNOWN_OPTION', /sameSite/],
  'a __Host- cookie with a path': [{ backends: [{ name: 'spa', cookie: { name: '__Host-a' } }] }, BAD, /__Host-/],
  'a path with a semicolon': [{ backends: [{ name: 'spa', cookie: { path: '/a;b' } }] }, BAD, /cookie/]
}

for (const [name, [options, code, text]] of Object.entries(badOptions)) {
  t.test(`options: ${name} stops the start`, async (t) => {
    // wrong types are the point of these cases
    const start = async (): Promise<unknown> =>
      buildApp(t, { backends: [spa, web], features: [refreshTokens(options as RefreshTokensOptions)] })
    await t.rejects(start(), { code, message: text })
  })
}

t.test('options: the feature needs a backend that stores no tokens, or names of backends', async (t) => {
  const stored: BackendOptions = { name: 'stored', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 600 }) }
  await t.rejects(buildApp(t, { backends: [stored], features: [refreshTokens()] }), { code: BAD, message: /JWT strategy/ })
  const { register, login, send } = await buildApp(t, {
    backends: [stored],
    features: [refreshTokens({ backends: ['stored'] })]
  })
  await register()
  const first = (await login('stored', ARTHUR)).json<{ access_token: string; refresh_token: string }>()
  const second = (await send('POST', '/auth/stored/refresh', { refresh_token: first.refresh_token })).json<typeof first>()
  for (const { access_token: token } of [first, second]) {
    t.equal((await send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` })).statusCode, 200)
  }
  await send('POST', '/auth/stored/revoke', { token: second.refresh_token })
  for (const { access_token: token } of [first, second]) {
    t.equal((await send('GET', '/guarded', undefined, { authorization: `Bearer ${token}` })).statusCode, 401, 'both have ended')
  }
})
