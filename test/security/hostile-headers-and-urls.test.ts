import type { AddressInfo } from 'node:net'
import type { FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { authenticate, currentUser, type User } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { ARTHUR, buildApp, PASSWORD, type Extend, type TestApp } from '../helpers/build-app.js'
import { rawRequest, type RawReply } from '../fixtures/raw-request.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'

const MERLIN = 'merlin@camelot.bt'

interface ListeningApp extends TestApp {
  store: WatchedAdapter
  user: User
  own: { authorization: string }
  admin: { authorization: string }
  session: { cookie: string }
  host: string
  raw(lines: readonly string[], body?: string | Buffer): Promise<RawReply>
}

/** Creates a listening application with a user, a superuser and their sessions. `server` are options of Fastify. */
async function start (t: Test, server: FastifyServerOptions = {}, extend: Extend = addGuarded): Promise<ListeningApp> {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter }, extend, server)
  const user = await built.create()
  await built.create({ email: MERLIN, is_superuser: true })
  await built.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = built.app.server.address() as AddressInfo
  const host = `127.0.0.1:${port}`
  return {
    ...built,
    store,
    user,
    host,
    own: await built.bearer(ARTHUR),
    admin: await built.bearer(MERLIN),
    session: await built.cookie(ARTHUR),
    raw: ([line = '', ...headers], body) => rawRequest(port, [`${line} HTTP/1.1`, `Host: ${host}`, ...headers], body)
  }
}

function addGuarded (app: Parameters<Extend>[0]): void {
  app.get('/guarded', { preHandler: authenticate }, async (request) => currentUser(request).email)
  app.post('/guarded', { preHandler: authenticate }, async (request) => currentUser(request).email)
  app.get(
    '/optional',
    { preHandler: authenticate({ optional: true }) },
    async (request) => request.user?.email ?? 'nobody'
  )
  app.get('/admin', { preHandler: authenticate({ superuser: true }) }, async (request) => currentUser(request).email)
}

t.test('BR-01, BR-02: a request with two Authorization headers or a malformed one is anonymous, without an error', async (t) => {
  const { raw, own, admin, app } = await start(t)
  const token = own.authorization.slice(7)
  const refused: string[][] = [
    [`Authorization: Bearer ${token}`, `Authorization: Bearer ${token}`],
    [`Authorization: Bearer ${token}`, 'authorization: Basic eDp5'],
    ['AUTHORIZATION: x', `Authorization: Bearer ${token}`],
    [`Authorization: Bearer ${token}`, `Authorization: ${admin.authorization}`],
    [`Authorization: Bearer ${token}, Bearer ${token}`],
    [`Authorization: Bearer,${token}`],
    [`Authorization: Bearer\t${token}`],
    [`Authorization: Bearer  ${token}`],
    [`Authorization: Bearer${token}`],
    [`Authorization: ${token}`],
    [`Authorization: Token ${token}`],
    [`Authorization: Bearer "${token}"`],
    [`Authorization: Bearer ${token}\xff`],
    [`Authorization: Bearer ${token} x`],
    ['Authorization: Bearer \xe9\xe8\xff'],
    ['Authorization: Bearer %00%zz%'],
    ['Authorization: Bearer ='],
    ['Authorization: Bearer'],
    ['Authorization: Bearer '],
    ['Authorization:'],
    [`Authorization: Bearer ${'x'.repeat(10_000)}`],
    [`Authorization: Bearer ${'a.'.repeat(4000)}`],
    [`Authorization: Bearer ${token}=`],
    [`Proxy-Authorization: Bearer ${token}`],
    [`X-Access-Token: ${token}`],
    [`Cookie: __Host-users-cookie=${token}`],
    [`Cookie: access_token=${token}`]
  ]
  for (const headers of refused) {
    const label = headers.join(' | ').slice(0, 60)
    const reply = await raw(['GET /users/me', ...headers])
    t.equal(reply.status, 401, label)
    t.ok(
      reply.headers.some(([name, value]) => name === 'www-authenticate' && value === 'Bearer'),
      'the reply has a challenge'
    )
    t.equal((await raw(['GET /optional', ...headers])).body.includes('nobody'), true, `optional: ${label}`)
    t.equal((await raw(['GET /guarded', ...headers])).status, 401, `guarded: ${label}`)
  }
  for (const url of [`/users/me?access_token=${token}`, `/users/me?token=${token}&authorization=Bearer%20${token}`]) {
    t.equal((await raw([`GET ${url}`])).status, 401, 'a token in the query')
  }
  for (const scheme of ['bearer', 'BEARER', 'bEaReR']) {
    t.equal((await raw(['GET /users/me', `Authorization: ${scheme} ${token}`])).status, 200, scheme)
  }
  t.equal((await app.inject({ url: '/users/me', headers: own })).statusCode, 200)
})

t.test(
  'CK-02, CK-03, CK-04, CK-07: a request with two session cookies, another name or a malformed value is anonymous, without an error',
  async (t) => {
    const {
      raw,
      session: { cookie },
      cookie: logIn,
      app
    } = await start(t)
    const [name = '', token = ''] = cookie.split('=')
    const { cookie: other } = await logIn(ARTHUR)
    const refused: string[][] = [
      [`Cookie: ${cookie}; ${other}`],
      [`Cookie: ${other}; ${cookie}`],
      [`Cookie: ${cookie}`, `Cookie: ${cookie}`],
      [`Cookie: ${cookie}`, `cookie: ${name}=x`],
      [`Cookie: ${name}=`, `Cookie: ${cookie}`],
      [`Cookie: ${cookie};${name}`, `Cookie: ${name}=`],
      [`Cookie: ${name.replace('__Host-', '')}=${token}`],
      [`Cookie: ${name.toLowerCase()}=${token}`],
      [`Cookie: ${name.toUpperCase()}=${token}`],
      [`Cookie: x${cookie}`],
      [`Cookie: x=${cookie}`],
      [`Cookie: x="a; ${name}"=${token}`],
      [`Cookie: ${name} =${token}`],
      [`Cookie: ${name}= ${token}`],
      [`Cookie: ${name}="${token}"`],
      [`Cookie: ${name}=%${token}`],
      [`Cookie: ${name}=${encodeURIComponent(`${token}%`)}`],
      [`Cookie: ${name}=${token}\xff`],
      [`Cookie: ${name}=${token},${token}`],
      [`Cookie: ${name}=${'x'.repeat(9000)}`],
      [`Cookie: ${';'.repeat(8000)}`],
      [`Cookie: ${'='.repeat(8000)}`],
      [`Cookie: ${name}=\xf0\x9f\x91\x91`],
      ['Cookie: %'],
      ['Cookie:'],
      [`Cookie: $Version=1; ${name}=${token}; ${name}=${token}`],
      [`Authorization: Bearer ${token}`],
      [`Cookie2: ${cookie}`]
    ]
    for (const headers of refused) {
      const label = headers.join(' | ').slice(0, 60)
      t.equal((await raw(['GET /users/me', ...headers])).status, 401, label)
      t.equal((await raw(['GET /optional', ...headers])).body.includes('nobody'), true, `optional: ${label}`)
    }
    t.equal(
      (await raw(['GET /users/me', `Cookie: a=%; b="${'\xff'}"; ${cookie}; c`])).status,
      200,
      'the valid cookie is found among malformed ones'
    )
    t.equal((await app.inject({ url: '/users/me', headers: { cookie } })).statusCode, 200, 'the session is still valid')
  }
)

t.test(
  'CSRF-02, CSRF-05, CSRF-08: no spelling or repetition of Origin and related headers lets another site use a cookie',
  async (t) => {
    const {
      raw,
      session: { cookie },
      own,
      store,
      host
    } = await start(t)
    const here = `http://${host}`
    const body = JSON.stringify({ email: 'stolen@camelot.bt' })
    const before = await store.dump()
    const foreign: string[][] = [
      ['Origin: https://evil.example'],
      ['Origin: null'],
      ['Origin:'],
      [`Origin: ${here}`, 'Origin: https://evil.example'],
      ['Origin: https://evil.example', `Origin: ${here}`],
      [`Origin: ${here}.evil.example`],
      [`Origin: http://evil.example#${host}`],
      [`Origin: http://${host}@evil.example`],
      [`Origin: ${here}/`],
      [`Origin: ${here}/x`],
      [`Origin: http://user@${host}`],
      [`Origin: ${here} `, 'Sec-Fetch-Site: cross-site'],
      [`Origin: ${here}`, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: cross-site'],
      ['Sec-Fetch-Site: cross-site'],
      ['Sec-Fetch-Site: same-site'],
      ['Sec-Fetch-Site: SAME-ORIGIN'],
      ['Sec-Fetch-Site: '],
      [
        'Origin: https://evil.example',
        'X-Forwarded-Host: evil.example',
        'Forwarded: host=evil.example',
        'X-Original-Host: evil.example'
      ],
      ['Origin: https://evil.example', `Referer: ${here}/`],
      ['Origin: https://evil.example', 'Authorization: Bearer junk'],
      [
        'Origin: https://evil.example',
        'Authorization: Basic eDp5',
        'X-Requested-With: XMLHttpRequest',
        'X-HTTP-Method-Override: GET'
      ],
      ['Origin: https://evil.example', 'Upgrade: h2c']
    ]
    for (const headers of foreign) {
      const label = headers.join(' | ')
      const change = await raw(
        [
          'PATCH /users/me',
          `Cookie: ${cookie}`,
          'Content-Type: application/json',
          `Content-Length: ${body.length}`,
          ...headers
        ],
        body
      )
      t.equal(change.status, 403, label)
      t.equal(
        (await raw(['POST /guarded', `Cookie: ${cookie}`, 'Content-Length: 0', ...headers])).status,
        403,
        `guarded: ${label}`
      )
      t.equal(
        (await raw(['POST /auth/cookie/logout', `Cookie: ${cookie}`, 'Content-Length: 0', ...headers])).status,
        403,
        `logout: ${label}`
      )
      const form = `username=${ARTHUR}&password=${PASSWORD}`
      t.equal(
        (
          await raw(
            [
              'POST /auth/cookie/login',
              'Content-Type: application/x-www-form-urlencoded',
              `Content-Length: ${form.length}`,
              ...headers
            ],
            form
          )
        ).status,
        403,
        `login: ${label}`
      )
    }
    t.equal(await store.dump(), before)
    t.equal(
      (await raw(['POST /guarded', `Cookie: ${cookie}`, 'Content-Length: 0', `Origin: ${here}`])).status,
      200,
      'the origin of the application is accepted'
    )
    t.equal(
      (
        await raw([
          'POST /guarded',
          `Authorization: ${own.authorization}`,
          'Content-Length: 0',
          'Origin: https://evil.example'
        ])
      ).status,
      200,
      'bearer sessions need no check'
    )
  }
)

t.test('INP-02, INP-08: repeated and malformed framing headers never skip validation and never cause a 5xx', async (t) => {
  const { raw, store } = await start(t)
  const before = await store.dump()
  const bad = '{"email":1,"password":{}}'
  const good = JSON.stringify({ email: 'lancelot@camelot.bt', password: PASSWORD })
  const length = `Content-Length: ${bad.length}`
  const cases: [string[], string][] = [
    [['Content-Type: application/json', 'Content-Type: text/plain', length], bad],
    [['Content-Type: text/plain', 'Content-Type: application/json', `Content-Length: ${good.length}`], good],
    [['Content-Type: application/json', `Content-Length: ${good.length}`, 'Content-Length: 1'], good],
    [['Content-Type: application/json', `Content-Length: ${good.length}`, 'Transfer-Encoding: chunked'], good],
    [['Content-Type: application/json', 'Content-Length: -1'], good],
    [['Content-Type: application/json', 'Content-Length: 1e3'], good],
    [['Content-Type: application/json', 'Content-Length: 0x10'], good],
    [['Content-Type: application/json', 'Content-Length: 99999999999999999999'], good],
    [['Content-Type: application/json', 'Content-Length: 20000000'], good],
    [['Content-Type: application/json', 'Content-Length: 0'], ''],
    [['Content-Type: application/json', 'Transfer-Encoding: chunked'], 'zz\r\n{}\r\n0\r\n\r\n'],
    [['Content-Type: application/json', 'Transfer-Encoding: chunked'], `5000\r\n${'x'.repeat(0x5000)}\r\n0\r\n\r\n`],
    [['Content-Type: application/json', 'Transfer-Encoding: chunked, identity'], '2\r\n{}\r\n0\r\n\r\n'],
    [['Content-Type: application/json', 'Content-Encoding: gzip', `Content-Length: ${bad.length}`], bad],
    [['Content-Type: application/json', 'Expect: 200-maybe', length], bad],
    [['Content-Type: application/json\x0b', length], bad],
    [[`Content-Type: ${'application/json;'.repeat(800)}`, length], bad],
    [['Content-Type: \xff\xfe', length], bad],
    [[`X-Huge: ${'x'.repeat(20_000)}`, 'Content-Type: application/json', length], bad],
    [[...Array.from({ length: 900 }, (_, i) => `X-${i}: y`), 'Content-Type: application/json', length], bad],
    [['X-Bad header: y', 'Content-Type: application/json', length], bad],
    [['Content-Type: application/json', length, ' folded: y'], bad]
  ]
  for (const [headers, body] of cases) {
    const { status } = await raw(['POST /auth/register', ...headers], body)
    t.ok(status >= 400 && status < 500, `${status} ${headers.join(' | ').slice(0, 90)}`)
  }
  t.equal(await store.dump(), before)
})

t.test(
  'USR-05, SES-11: unusual spellings of ids and paths are 404 or 400, and reach no other route or user',
  async (t) => {
    const { raw, admin, own, user, store } = await start(t)
    const id = String(user.id)
    const before = await store.dump()
    const auth = `Authorization: ${admin.authorization}`
    const ids = [
      '../me',
      '..%2fme',
      '%2e%2e%2fme',
      '%2e%2e/me',
      './me',
      `${id}/`,
      `${id}%2f`,
      `${id}%00`,
      `${id}%20`,
      `%20${id}`,
      `${id};x`,
      `${id}%3bx`,
      `${id},${id}`,
      '%',
      '%zz',
      '%E0%A4%A',
      '%ff%fe',
      '%c0%af',
      '%ed%a0%80',
      '%00',
      '%0d%0aX: y',
      "1'%20OR%201=1--",
      '$ne',
      '%7B%22$ne%22:null%7D',
      '[object%20Object]',
      'null',
      'undefined',
      'NaN',
      '0',
      '-1',
      '1e0',
      '__proto__',
      'constructor',
      'toString',
      'x'.repeat(10_000),
      '%F0%9F%91%91',
      `${id.slice(0, -1)}`,
      `${id}0`,
      'ME',
      'Me',
      'me%20',
      '*',
      ':id'
    ]
    for (const bad of ids) {
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const body = method === 'PATCH' ? '{"is_superuser":true}' : ''
        const reply = await raw(
          [
            `${method} /users/${bad}`,
            auth,
            ...(body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${body.length}`])
          ],
          body
        )
        t.ok([400, 404, 414].includes(reply.status), `${method} /users/${bad.slice(0, 30)}: ${reply.status}`)
      }
    }
    t.equal(await store.dump(), before)
    const paths = [
      '//users//me',
      '/users//me',
      '/USERS/me',
      '/users/me/',
      '/users/me;x=1',
      '/./users/me',
      '/x/../users/me',
      '/users/%6De%2f',
      '/auth//jwt/login',
      '/auth/jwt/login/',
      'http://evil.example/users/me/',
      '*',
      '/users/me\\',
      '/users/me%3fx'
    ]
    for (const path of paths) {
      const reply = await raw([`GET ${path}`, `Authorization: ${own.authorization}`])
      t.ok([400, 403, 404].includes(reply.status), `${path}: ${reply.status}`)
      t.notMatch(reply.body, ARTHUR)
    }
    t.equal(
      (await raw(['GET /users/%6d%65', `Authorization: ${own.authorization}`])).status,
      200,
      'another spelling of the same path is the same route'
    )
    t.equal((await raw(['GET /users/%6d%65'])).status, 401)
    t.equal(
      (await raw([`GET /users/urn:uuid:${id.toUpperCase()}`, auth])).status,
      200,
      'another form of the same id is the same user'
    )
  }
)

t.test(
  'INP-06, CSRF-07, LOG-08: a route answers only its own method, and safe methods change nothing',
  async (t) => {
    const { raw, routes, own, admin, session, user, store, app } = await start(t)
    const ours = routes.filter(({ url }) => url.startsWith('/auth') || url.startsWith('/users'))
    const allowed = new Map<string, Set<string>>()
    for (const { url, method } of ours) {
      for (const one of [method].flat()) allowed.set(url, (allowed.get(url) ?? new Set()).add(one))
    }
    t.ok(allowed.size >= 10, 'the routes were found')
    t.notOk(
      [...allowed.values()].some((methods) => methods.has('HEAD')),
      'no HEAD route'
    )
    const credentials = [
      [],
      [`Authorization: ${own.authorization}`],
      [`Authorization: ${admin.authorization}`],
      [`Cookie: ${session.cookie}`]
    ]
    await app.users.settled()
    const before = await store.dump()
    for (const [url, methods] of allowed) {
      const path = url.replace(':id', String(user.id))
      for (const method of [
        'HEAD',
        'OPTIONS',
        'TRACE',
        'PUT',
        'PROPFIND',
        'LOCK',
        ...['GET', 'POST', 'PATCH', 'DELETE'].filter((one) => !methods.has(one))
      ]) {
        if (method === 'DELETE' && path === '/users/me') continue // this is /users/:id with an invalid id
        for (const headers of credentials) {
          const { status } = await raw([
            `${method} ${path}`,
            ...headers,
            'X-HTTP-Method-Override: POST',
            'X-HTTP-Method: DELETE',
            'X-Method-Override: PATCH'
          ])
          t.equal(status, 404, `${method} ${url}`)
        }
      }
      for (const query of ['_method=DELETE', `username=${ARTHUR}&password=${PASSWORD}`]) {
        await raw([`GET ${path}?${query}`, `Authorization: ${admin.authorization}`])
      }
    }
    t.equal((await raw(['DELETE /users/me', `Authorization: ${own.authorization}`])).status, 403)
    t.equal((await raw(['DELETE /users/me', `Authorization: ${admin.authorization}`])).status, 404)
    await app.users.settled()
    t.equal(await store.dump(), before)
  }
)

t.test('LOG-10: credentials in the query are not read', async (t) => {
  const { app } = await start(t)
  for (const backend of ['jwt', 'cookie']) {
    for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
      const reply = await app.inject({
        method: 'POST',
        url: `/auth/${backend}/login?username=${ARTHUR}&password=${PASSWORD}`,
        headers: { 'content-type': type },
        payload: type.endsWith('json') ? '{}' : ''
      })
      t.equal(reply.statusCode, 400)
      t.equal(reply.headers['set-cookie'], undefined)
    }
  }
})

t.test(
  'CFG-06, CK-06: forwarded headers and Host change neither cookies nor the cross-site check, for every trustProxy setting',
  async (t) => {
    for (const trustProxy of [false, true]) {
      const { raw, session, store, tokenOf } = await start(t, { trustProxy })
      const form = `username=${ARTHUR}&password=${PASSWORD}`
      const steer = [
        'X-Forwarded-Proto: http',
        'X-Forwarded-Host: evil.example',
        'X-Forwarded-For: 1.2.3.4, evil',
        'X-Forwarded-Port: 80',
        'X-Forwarded-Prefix: /evil',
        'Forwarded: proto=http;host=evil.example',
        'X-Original-URL: /users/me',
        'X-Rewrite-URL: /users/me'
      ]
      const reply = await raw(
        [
          'POST /auth/cookie/login',
          'Content-Type: application/x-www-form-urlencoded',
          `Content-Length: ${form.length}`,
          ...steer
        ],
        form
      )
      t.equal(reply.status, 204)
      const cookie = reply.headers.find(([name]) => name === 'set-cookie')?.[1] ?? ''
      t.match(cookie, /^__Host-users-cookie=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
      const before = await store.dump()
      t.equal(
        (
          await raw([
            'POST /guarded',
            `Cookie: ${session.cookie}`,
            'Content-Length: 0',
            'Origin: http://evil.example',
            ...steer
          ])
        ).status,
        403
      )
      t.equal(await store.dump(), before)
      const body = JSON.stringify({ email: ARTHUR })
      const forgot = await raw(
        ['POST /auth/forgot-password', 'Content-Type: application/json', `Content-Length: ${body.length}`, ...steer],
        body
      )
      t.equal(forgot.status, 202)
      t.notMatch(forgot.text + (await tokenOf('onAfterForgotPassword')), 'evil')
    }
  }
)

t.test('CFG-06, CSRF-05: with publicUrl, the Host header does not affect the origin check', async (t) => {
  const { app, cookie, create } = await buildApp(
    t,
    { publicUrl: 'https://camelot.bt/app', trustedOrigins: ['https://round.table.bt'] },
    addGuarded
  )
  await create()
  const session = await cookie(ARTHUR)
  const post = async (headers: Record<string, string>): Promise<number> =>
    (await app.inject({ method: 'POST', url: '/guarded', headers: { ...session, ...headers } })).statusCode
  t.equal(await post({ host: 'evil.example', origin: 'http://evil.example' }), 403)
  t.equal(await post({ host: 'evil.example', origin: 'https://evil.example', 'sec-fetch-site': 'same-site' }), 403)
  for (const origin of [
    'http://camelot.bt',
    'https://camelot.bt.evil.example',
    'https://camelot.bt@evil.example',
    'https://CAMELOT.bt',
    'https://camelot.bt:444',
    'https://camelot.bt/app',
    'https://www.camelot.bt',
    'https://round.table.bt.evil',
    'http://round.table.bt',
    'null'
  ]) {
    t.equal(await post({ origin }), 403, origin)
  }
  t.equal(await post({ host: 'anything', origin: 'https://camelot.bt' }), 200)
  t.equal(await post({ origin: 'https://round.table.bt', 'sec-fetch-site': 'cross-site' }), 200)
})

t.test('RL-08, BR-05: router options that allow more spellings of a path bypass no guard', async (t) => {
  const routerOptions = {
    caseSensitive: false,
    ignoreTrailingSlash: true,
    ignoreDuplicateSlashes: true,
    useSemicolonDelimiter: true
  }
  const { raw, own, admin, user, store, session } = await start(t, { routerOptions })
  const before = await store.dump()
  const spellings = (path: string): string[] => [
    path,
    path.toUpperCase(),
    `${path}/`,
    path.replaceAll('/', '//'),
    `${path};x=1`,
    `/${path.toUpperCase()}//;a`
  ]
  for (const path of ['/users/me', '/guarded', '/admin', `/users/${user.id}`]) {
    for (const spelling of spellings(path)) {
      t.equal((await raw([`GET ${spelling}`])).status, 401, spelling)
      t.equal((await raw([`HEAD ${spelling}`])).status, path.startsWith('/users') ? 404 : 401, `HEAD ${spelling}`)
      const forbidden = path === '/admin' || path.endsWith(String(user.id))
      const found = await raw([`GET ${spelling}`, `Authorization: ${own.authorization}`])
      t.equal(found.status, forbidden ? 403 : 200, `as a user: ${spelling}`)
      t.equal(
        (await raw([`GET ${spelling}`, `Authorization: ${admin.authorization}`])).status,
        200,
        `as a superuser: ${spelling}`
      )
    }
  }
  for (const spelling of spellings('/guarded')) {
    t.equal(
      (
        await raw([
          `POST ${spelling}`,
          `Cookie: ${session.cookie}`,
          'Content-Length: 0',
          'Origin: https://evil.example'
        ])
      ).status,
      403,
      spelling
    )
  }
  for (const spelling of spellings('/auth/register')) {
    const reply = await raw(
      [`POST ${spelling}`, 'Content-Type: application/json', 'Content-Length: 25'],
      '{"email":1,"password":{}}'
    )
    t.equal(reply.status, 400, spelling)
    t.match(reply.body, 'FST_ERR_VALIDATION')
  }
  t.equal(await store.dump(), before)
})

t.test('LOGG-02, USR-04: replies with 404 contain neither path nor query', async (t) => {
  const { raw, admin, own } = await start(t)
  const canary = 'canary-4711'
  for (const id of [canary, '00000000-0000-4000-8000-000000000000']) {
    const reply = await raw([`GET /users/${id}?token=${canary}`, `Authorization: ${admin.authorization}`])
    t.equal(reply.status, 404)
    t.notMatch(reply.text, canary)
    t.same(JSON.parse(reply.body), {
      statusCode: 404,
      code: 'FST_USERS_NOT_FOUND',
      error: 'Not Found',
      message: 'There is no user with this id. Check the id.',
      detail: 'Not Found'
    })
    t.equal(
      (await raw([`GET /users/${id}`, `Authorization: ${own.authorization}`])).status,
      403,
      'a user without superuser rights gets the same reply'
    )
  }
})
