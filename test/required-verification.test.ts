import t from 'tap'
import { bearerTransport, cookieTransport, databaseStrategy, jwtStrategy, type UsersOptions } from '../lib/index.js'
import { ARTHUR, buildApp, assertErrorReply } from './helpers/build-app.js'

const makeBackends = (jwt?: boolean, cookie?: boolean): UsersOptions['backends'] => [
  {
    name: 'jwt',
    transport: bearerTransport(),
    strategy: jwtStrategy({ lifetimeSeconds: 3600 }),
    ...(jwt === undefined ? {} : { requireVerification: jwt })
  },
  {
    name: 'cookie',
    transport: cookieTransport(),
    strategy: databaseStrategy({ lifetimeSeconds: 3600 }),
    ...(cookie === undefined ? {} : { requireVerification: cookie })
  }
]

/**
 * The options, and where an unverified user is then refused: login and logout by backend, and the routes of `/users`.
 */
const table: [string, Partial<UsersOptions>, { jwt: boolean; cookie: boolean; users: boolean }][] = [
  ['nothing', {}, { jwt: false, cookie: false, users: false }],
  ['the top-level option', { requireVerification: true }, { jwt: true, cookie: true, users: true }],
  ['the bearer backend', { backends: makeBackends(true) }, { jwt: true, cookie: false, users: false }],
  ['the cookie backend', { backends: makeBackends(undefined, true) }, { jwt: false, cookie: true, users: false }],
  ['the auth routes', { routes: { auth: { requireVerification: true } } }, { jwt: true, cookie: true, users: false }],
  [
    'the users routes',
    { routes: { users: { requireVerification: true } } },
    { jwt: false, cookie: false, users: true }
  ],
  [
    'the users routes with another prefix',
    { routes: { users: { prefix: '/people', requireVerification: true } } },
    { jwt: false, cookie: false, users: true }
  ],
  [
    'the top-level option, except for one backend',
    { requireVerification: true, backends: makeBackends(false) },
    { jwt: false, cookie: true, users: true }
  ],
  [
    'the top-level option, except for the auth routes',
    { requireVerification: true, routes: { auth: { requireVerification: false } } },
    { jwt: false, cookie: false, users: true }
  ],
  [
    'the top-level option, except for the users routes',
    { requireVerification: true, routes: { users: { requireVerification: false } } },
    { jwt: true, cookie: true, users: false }
  ],
  [
    'the auth routes, except for one backend',
    { backends: makeBackends(undefined, false), routes: { auth: { requireVerification: true } } },
    { jwt: true, cookie: false, users: false }
  ]
]

for (const [what, options, expected] of table) {
  t.test(`row 17, LOG-05: verification required by ${what}`, async (t) => {
    const built = await buildApp(t, options)
    const users = typeof options.routes?.users === 'object' ? (options.routes.users.prefix ?? '/users') : '/users'
    const { id } = await built.create({ is_verified: true })
    const sessions = {
      jwt: (await built.bearer(ARTHUR)) as Record<string, string>,
      cookie: (await built.cookie(ARTHUR)) as Record<string, string>
    }
    await built.app.users.update(id, { is_verified: false })
    for (const backend of ['jwt', 'cookie'] as const) {
      const login = await built.login(backend, ARTHUR)
      t.equal(login.statusCode >= 400, expected[backend], `login at ${backend}`)
      if (expected[backend]) assertErrorReply(t, login, 400, 'LOGIN_USER_NOT_VERIFIED')
      const byCode = built.app.users.login((await built.app.users.get(id)) ?? (t.fail('no user') as never), {
        backend,
        method: 'magic'
      })
      if (expected[backend]) await t.rejects(byCode, { code: 'FST_USERS_LOGIN_USER_NOT_VERIFIED' })
      else await t.resolves(byCode)
      const me = await built.send('GET', `${users}/me`, undefined, sessions[backend])
      t.equal(me.statusCode, expected.users ? 403 : 200, `profile by ${backend}`)
      const change = await built.send('PATCH', `${users}/me`, {}, sessions[backend])
      t.equal(change.statusCode, expected.users ? 403 : 200, `change by ${backend}`)
      t.equal(
        (await built.send('GET', '/guarded', undefined, sessions[backend])).statusCode,
        200,
        "the application's own routes are not affected"
      )
      const logout = await built.send('POST', `/auth/${backend}/logout`, undefined, sessions[backend])
      t.equal(logout.statusCode, expected[backend] ? 403 : 204, `logout at ${backend}`)
    }
  })
}

t.test('CFG-05: requireVerification in an unsupported group or with a wrong value refuses to start', async (t) => {
  const wrong: [object, string, RegExp][] = [
    [{ backends: makeBackends('yes' as never) }, 'INVALID_OPTION', /backends\["jwt"\]\.requireVerification/],
    [{ routes: { users: { requireVerification: 1 } } }, 'INVALID_OPTION', /routes\.users\.requireVerification/],
    [{ routes: { auth: { requireVerification: 'true' } } }, 'INVALID_OPTION', /routes\.auth\.requireVerification/],
    [{ routes: { auth: { prefix: 'auth' } } }, 'INVALID_OPTION', /routes\.auth\.prefix/],
    [
      { routes: { register: { prefix: '/auth', requireVerification: true } } },
      'UNKNOWN_OPTION',
      /routes\.register\.requireVerification/
    ],
    [
      { routes: { verify: { prefix: '/auth', requireVerification: false } } },
      'UNKNOWN_OPTION',
      /routes\.verify\.requireVerification/
    ],
    [{ routes: { reset: {} } }, 'INVALID_OPTION', /routes\.reset\.prefix/]
  ]
  for (const [options, word, message] of wrong) {
    await t.rejects(buildApp(t, options), { code: `FST_USERS_${word}`, message }, JSON.stringify(options))
  }
})
