import t, { type Test } from 'tap'
import {
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type CookieTransportOptions,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, PASSWORD, buildApp, type TestApp } from './helpers/build-app.js'
import { createJar, type Jar } from './helpers/cookie-jar.js'

const LANCELOT = 'lancelot@camelot.bt'
const NAME = 'sess'
const HOST = 'app.camelot.bt'
const STRATEGIES: Record<string, () => UsersOptions['backends'][number]['strategy']> = {
  stored: () => databaseStrategy({ lifetimeSeconds: 3600 }),
  signed: () => jwtStrategy({ lifetimeSeconds: 3600 })
}

interface Deployment extends TestApp {
  lines: string[]
}

/** Builds one deployment of the application. Deployments can share a store and its sessions. */
async function deploy (
  t: Test,
  options: CookieTransportOptions,
  more: Partial<UsersOptions> = {},
  strategy = STRATEGIES.stored
): Promise<Deployment> {
  const lines: string[] = []
  const logger = {
    level: 'info',
    stream: {
      write: (line: string) => {
        lines.push(line)
      }
    }
  }
  const backends = [
    {
      name: 'cookie',
      transport: cookieTransport({ name: NAME, ...options }),
      strategy: strategy?.() ?? databaseStrategy({ lifetimeSeconds: 3600 })
    }
  ]
  return { ...(await buildApp(t, { backends, ...more }, undefined, { logger })), lines }
}

/** Sends a request with the cookies of the jar, and stores the cookies of the reply, as a browser does. */
async function visit (
  { app }: TestApp,
  jar: Jar,
  method: 'GET' | 'POST',
  url: string,
  payload?: object
): Promise<number> {
  const cookie = jar.header(HOST, url)
  const reply = await app.inject({
    method,
    url,
    headers: { host: HOST, ...(cookie === '' ? {} : { cookie }) },
    ...(payload === undefined ? {} : { payload })
  })
  jar.store(HOST, reply.headers['set-cookie'])
  return reply.statusCode
}

const login = (email: string): object => ({ username: email, password: PASSWORD })
const deploymentChanges: [string, CookieTransportOptions, CookieTransportOptions][] = [
  ['a domain is added', {}, { domain: 'camelot.bt' }],
  ['a path is added', {}, { path: '/auth' }],
  ['domain and path are added', {}, { domain: 'camelot.bt', path: '/auth' }],
  ['a path is added beside a domain', { domain: 'camelot.bt' }, { domain: 'camelot.bt', path: '/auth' }],
  ['a domain is added beside a path', { path: '/auth' }, { path: '/auth', domain: 'camelot.bt' }],
  ['cookies become partitioned', { sameSite: 'none' }, { sameSite: 'none', partitioned: true }],
  ['a domain is removed', { domain: 'camelot.bt' }, { formerly: [{ domain: 'camelot.bt' }] }],
  ['a path is removed', { path: '/auth' }, { formerly: [{ path: '/auth' }] }],
  [
    'a domain is changed',
    { domain: 'app.camelot.bt' },
    { domain: 'camelot.bt', formerly: [{ domain: 'app.camelot.bt' }] }
  ],
  ['cookies are no longer partitioned', { partitioned: true }, { formerly: [{ partitioned: true }] }]
]

for (const [change, before, after] of deploymentChanges) {
  t.test(
    `CK-03 (Q19): after a deployment where ${change}, login and logout delete the earlier cookie`,
    async (t) => {
      for (const [kind, strategy] of Object.entries(STRATEGIES)) {
        const shared = { adapter: memory() }
        const old = await deploy(t, before, shared, strategy)
        await old.create()
        await old.create({ email: LANCELOT })
        const now = await deploy(t, after, shared, strategy)
        for (const next of ['login', 'logout']) {
          const jar = createJar()
          t.equal(await visit(old, jar, 'POST', '/auth/cookie/login', login(ARTHUR)), 204)
          if (next === 'login') {
            t.equal(await visit(now, jar, 'POST', '/auth/cookie/login', login(LANCELOT)), 204, `${kind}: login`)
            t.equal(jar.count(NAME), 1, `${kind}: the browser has one cookie`)
          }
          t.equal(await visit(now, jar, 'POST', '/auth/cookie/logout'), 204, `${kind}: logout after ${next}`)
          t.equal(jar.count(NAME), 0, `${kind}: the browser has no cookie`)
        }
      }
    }
  )
}

t.test(
  'CK-03 (Q19): a browser with two cookies can log in or out, and the log reports the cookies',
  async (t) => {
    for (const [kind, strategy] of Object.entries(STRATEGIES)) {
      const shared = { adapter: memory() }
      const old = await deploy(t, {}, shared, strategy)
      await old.create()
      const now = await deploy(t, { domain: 'camelot.bt' }, shared, strategy)
      /** Returns a jar with two valid session cookies of one user, one from each deployment. */
      const makeJarWithTwoCookies = async (): Promise<Jar> => {
        const [first, second] = [createJar(), createJar()]
        await visit(old, first, 'POST', '/auth/cookie/login', login(ARTHUR))
        await visit(now, second, 'POST', '/auth/cookie/login', login(ARTHUR))
        return first.with(second)
      }
      const jar = await makeJarWithTwoCookies()
      t.equal(jar.count(NAME), 2)
      t.equal(await visit(now, jar, 'GET', '/users/me'), 401, 'two cookies authenticate no user')
      t.match(
        now.lines.filter((line) => line.includes('several cookies of one name')),
        [/"level":40.*"cookie":"sess","count":2/]
      )
      t.notMatch(
        now.lines.join(''),
        jar
          .header(HOST, '/')
          .split('; ')[0]
          ?.slice(NAME.length + 1),
        'the log does not contain the cookies'
      )

      const loggingIn = jar.copy()
      t.equal(await visit(now, loggingIn, 'POST', '/auth/cookie/login', login(ARTHUR)), 204)
      t.equal(loggingIn.count(NAME), 1)
      t.equal(await visit(now, loggingIn, 'GET', '/users/me'), 200, `${kind}: a login works`)

      const leaving = await makeJarWithTwoCookies()
      const cookies = leaving.header(HOST, '/').split('; ')
      t.equal(await visit(now, leaving, 'POST', '/auth/cookie/logout'), 204, `${kind}: logout`)
      t.equal(leaving.count(NAME), 0)
      if (kind === 'stored') {
        for (const cookie of cookies) {
          t.equal(
            (await now.send('GET', '/users/me', undefined, { cookie })).statusCode,
            401,
            'both sessions have ended'
          )
        }
      }
    }
  }
)

t.test('CK-03 (Q19): a logout succeeds if only one of two cookies is valid', async (t) => {
  const now = await deploy(t, { domain: 'camelot.bt' })
  await now.create()
  const { cookie } = await now.cookie(ARTHUR)
  for (const header of [
    `${NAME}=${'a'.repeat(43)}; ${cookie}`,
    `${cookie}; ${NAME}=${'a'.repeat(43)}`,
    `${NAME}=; ${cookie}`,
    `${NAME}="x y"; ${cookie}`
  ]) {
    const { cookie: live } = await now.cookie(ARTHUR)
    const headers = { cookie: header.replace(cookie, live) }
    t.equal(
      (await now.send('GET', '/users/me', undefined, headers)).statusCode,
      401,
      'CK-03 applies to all other requests'
    )
    t.equal((await now.send('POST', '/auth/cookie/logout', undefined, headers)).statusCode, 204)
    t.equal((await now.send('GET', '/users/me', undefined, { cookie: live })).statusCode, 401, 'the session has ended')
  }
})

t.test(
  'CK-03 (Q19): two valid cookies of different users are refused at logout, and a login ends both sessions',
  async (t) => {
    const now = await deploy(t, { domain: 'camelot.bt' })
    await now.create()
    await now.create({ email: LANCELOT })
    const [arthurCookie, lancelotCookie] = [(await now.cookie(ARTHUR)).cookie, (await now.cookie(LANCELOT)).cookie]
    for (const cookie of [`${arthurCookie}; ${lancelotCookie}`, `${lancelotCookie}; ${arthurCookie}`]) {
      for (const [method, url] of [
        ['GET', '/users/me'],
        ['POST', '/guarded'],
        ['POST', '/auth/cookie/logout']
      ] as const) {
        const reply = await now.send(method, url, undefined, { cookie })
        t.equal(reply.statusCode, 401, `${method} ${url}`)
        t.equal(reply.headers['set-cookie'], undefined)
      }
    }
    for (const cookie of [arthurCookie, lancelotCookie]) {
      t.equal(
        (await now.send('GET', '/users/me', undefined, { cookie })).statusCode,
        200,
        'both sessions are still valid'
      )
    }
    t.equal(
      (await now.send(
        'POST',
        '/auth/cookie/login',
        login(ARTHUR),
        { cookie: `${arthurCookie}; ${lancelotCookie}` }
      )).statusCode,
      204
    )
    for (const cookie of [arthurCookie, lancelotCookie]) {
      t.equal((await now.send('GET', '/users/me', undefined, { cookie })).statusCode, 401)
    }
  }
)

t.test('CK-03 (Q19): a logout with many cookies of one name is refused without a look-up for each', async (t) => {
  const now = await deploy(t, { domain: 'camelot.bt' })
  await now.create()
  const { cookie } = await now.cookie(ARTHUR)
  const many = Array.from({ length: 50 }, (_none, i) => `${NAME}=${String(i).padStart(43, 'a')}`).join('; ')
  t.equal((await now.send('POST', '/auth/cookie/logout', undefined, { cookie: `${cookie}; ${many}` })).statusCode, 401)
  t.equal((await now.send('GET', '/users/me', undefined, { cookie })).statusCode, 200)
})

t.test('row 16: in compatibility mode the last of two cookies is used, and logout ends only its session', async (t) => {
  const now = await deploy(t, { domain: 'camelot.bt' }, { compatibility: 'fastapi-users' })
  await now.create()
  await now.create({ email: LANCELOT })
  const [arthurCookie, lancelotCookie] = [(await now.cookie(ARTHUR)).cookie, (await now.cookie(LANCELOT)).cookie]
  const cookie = `${arthurCookie}; ${lancelotCookie}`
  t.equal((await now.send('GET', '/users/me', undefined, { cookie })).json<{ email: string }>().email, LANCELOT)
  const reply = await now.send('POST', '/auth/cookie/logout', undefined, { cookie })
  t.equal(reply.statusCode, 204)
  t.equal([reply.headers['set-cookie']].flat().length, 2, 'the host-only cookie and the configured one are cleared')
  t.equal((await now.send('GET', '/users/me', undefined, { cookie: lancelotCookie })).statusCode, 401)
  t.equal((await now.send('GET', '/users/me', undefined, { cookie: arthurCookie })).statusCode, 200)
})

t.test('a password change renews the cookie and deletes the one from an earlier deployment', async (t) => {
  const shared = { adapter: memory() }
  const old = await deploy(t, {}, shared)
  await old.create()
  const jar = createJar()
  await visit(old, jar, 'POST', '/auth/cookie/login', login(ARTHUR))
  const now = await deploy(t, { domain: 'camelot.bt' }, shared)
  const reply = await now.send(
    'PATCH',
    '/users/me',
    { password: 'guinevere-2' },
    { host: HOST, cookie: jar.header(HOST, '/') }
  )
  t.equal(reply.statusCode, 200)
  jar.store(HOST, reply.headers['set-cookie'])
  t.equal(jar.count(NAME), 1)
  t.equal(await visit(now, jar, 'GET', '/users/me'), 200)
})

t.test('LOG-03: a login ends the session of the presented cookie, with the user of that session', async (t) => {
  const ended: { token: string; email: string }[] = []
  const strategy = databaseStrategy({ lifetimeSeconds: 3600 })
  const watching: typeof strategy = {
    ...strategy,
    plugin: Object.assign(
      (scope: Parameters<typeof strategy.plugin>[0], options: Parameters<typeof strategy.plugin>[1]) =>
        strategy.plugin(scope, {
          ...options,
          receive (made) {
            options.receive({
              ...made,
              async destroyToken (token, user) {
                ended.push({ token, email: user.email })
                await made.destroyToken?.(token, user)
              }
            })
          }
        }),
      strategy.plugin
    )
  }
  const built = await buildApp(t, { backends: [{ name: 'cookie', transport: cookieTransport(), strategy: watching }] })
  await built.create()
  await built.create({ email: LANCELOT })
  const { cookie } = await built.cookie(LANCELOT)
  t.equal((await built.send('POST', '/auth/cookie/login', login(ARTHUR), { cookie })).statusCode, 204)
  t.same(ended, [{ token: cookie.split('=')[1], email: LANCELOT }])
})

t.test('CK-01: a partitioned cookie has the Partitioned attribute when it is set and when it is cleared', async (t) => {
  const built = await buildApp(t, {
    backends: [
      {
        name: 'cookie',
        transport: cookieTransport({ partitioned: true, sameSite: 'none' }),
        strategy: databaseStrategy({ lifetimeSeconds: 60 })
      }
    ]
  })
  await built.create()
  const reply = await built.login('cookie', ARTHUR)
  t.match(
    reply.headers['set-cookie'],
    /^__Host-users-cookie=[\w-]{43}; Path=\/; HttpOnly; Secure; Partitioned; SameSite=None$/
  )
  const cookie = String(reply.headers['set-cookie']).split(';')[0] ?? ''
  const logout = await built.send('POST', '/auth/cookie/logout', undefined, { cookie })
  t.same([logout.headers['set-cookie']].flat(), [
    '__Host-users-cookie=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=None',
    '__Host-users-cookie=; Max-Age=0; Path=/; HttpOnly; Secure; Partitioned; SameSite=None'
  ])
})

t.test('CFG-05: wrong values of partitioned and formerly refuse to start', (t) => {
  const wrong: [object, string, RegExp][] = [
    [{ partitioned: 'yes' }, 'INVALID_OPTION', /cookieTransport\.partitioned/],
    [{ partitioned: true, secure: false }, 'INVALID_OPTION', /cookieTransport\.partitioned.*secure/],
    [{ formerly: { domain: 'camelot.bt' } }, 'INVALID_OPTION', /cookieTransport\.formerly/],
    [{ formerly: ['camelot.bt'] }, 'INVALID_OPTION', /cookieTransport\.formerly\[0\]/],
    [{ formerly: [{}, null] }, 'INVALID_OPTION', /cookieTransport\.formerly\[1\]/],
    [{ formerly: [{ path: 'app' }] }, 'INVALID_OPTION', /cookieTransport\.formerly\[0\]\.path/],
    [{ formerly: [{ domain: 'a; b' }] }, 'INVALID_OPTION', /cookieTransport\.formerly\[0\]\.domain/],
    [{ formerly: [{ partitioned: 1 }] }, 'INVALID_OPTION', /cookieTransport\.formerly\[0\]\.partitioned/],
    [{ formerly: [{ secure: true }] }, 'UNKNOWN_OPTION', /cookieTransport\.formerly\[0\]\.secure/]
  ]
  for (const [options, word, message] of wrong) {
    t.throws(
      () => cookieTransport(options as CookieTransportOptions),
      { code: `FST_USERS_${word}`, message },
      JSON.stringify(options)
    )
  }
  t.doesNotThrow(() => cookieTransport({ partitioned: false, formerly: [] }))
  t.end()
})
