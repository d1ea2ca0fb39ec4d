import { randomBytes } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import * as errors from '../lib/errors.js'
import { oauthErrors } from '../lib/features/oauth/errors.js'
import { rolesErrors } from '../lib/features/roles/errors.js'
import users, {
  adminOnly,
  bearerTransport,
  cookieTransport,
  createOnly,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  errorTable,
  isUsersError,
  jwtStrategy,
  readOnly,
  refuse,
  userSchemas,
  type CookieTransportOptions,
  type JwtStrategyOptions,
  type TransportDescription,
  type UsersError,
  type UsersHooks,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, PASSWORD, SECRET, backends, buildApp, fastPasswords } from './helpers/build-app.js'

type AnyOptions = Record<string, unknown>
const valid = (): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false
})

/** Starts an application. The options may have any type, because JavaScript callers can pass anything. */
async function start (t: Test, make: () => unknown): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, make() as UsersOptions)
  await app.ready()
  return app
}

/** Returns the error with which the application refuses to start. */
async function startError (t: Test, make: () => unknown): Promise<Partial<UsersError>> {
  return await start(t, make).then(
    () => ({}),
    (error: unknown) => error as UsersError
  )
}

const INVALID = 'FST_USERS_INVALID_OPTION'
const UNKNOWN = 'FST_USERS_UNKNOWN_OPTION'
const BAD_SECRET = 'FST_USERS_INVALID_SECRET'
const withCookie = (options: AnyOptions): AnyOptions => ({
  backends: [
    {
      name: 'cookie',
      transport: cookieTransport(options as CookieTransportOptions),
      strategy: databaseStrategy({ lifetimeSeconds: 60 })
    }
  ]
})
const withJwt = (options: AnyOptions): AnyOptions => ({
  backends: [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy(options as unknown as JwtStrategyOptions) }
  ]
})
const withStored = (options: AnyOptions): AnyOptions => ({
  backends: [
    {
      name: 'db',
      transport: bearerTransport(),
      strategy: databaseStrategy(options as unknown as { lifetimeSeconds: number })
    }
  ]
})

t.test('the options that the tables of this file modify are valid', async (t) => {
  await t.resolves(start(t, valid))
})

t.test(
  'CFG-01: missing, short, repeated and placeholder secrets refuse to start, and the message says what to do',
  async (t) => {
    const bad: Record<string, unknown> = {
      missing: undefined,
      null: null,
      empty: '',
      'a number': Number.MAX_SAFE_INTEGER,
      'an object': {},
      'a Buffer': randomBytes(64),
      'a function': () => SECRET,
      SECRET: 'SECRET',
      changeme: 'changeme',
      'keyboard cat': 'keyboard cat',
      '31 bytes': randomBytes(16).toString('hex').slice(1),
      'one letter': 'a'.repeat(64),
      blanks: ' '.repeat(64),
      'two letters': 'ab'.repeat(32),
      'a repeated word': 'excalibur-'.repeat(8),
      'few letters': 'abcabcabdabcabcabdabcabcabdabcabcabe',
      'a placeholder of 32 bytes': 'your-secret-key-change-me-please',
      'another placeholder': 'replace-me-with-a-long-random-secret',
      'a repeated placeholder': 'changeme-changeme-changeme-changeme!',
      'digits in order': '12345678901234567890123456789012345'
    }
    for (const [what, secret] of Object.entries(bad)) {
      const error = await startError(t, () => ({ ...valid(), secret }))
      t.equal(error.code, BAD_SECRET, what)
      t.match(error.message, /secret.*openssl rand/, what)
      const listed = await startError(t, () => ({ ...valid(), secret: [SECRET, secret] }))
      t.equal(listed.code, BAD_SECRET, `${what} in a list`)
      t.match(listed.message, 'secret[1]', what)
      if (secret === undefined) continue
      for (const purpose of ['reset', 'verify']) {
        const own = await startError(t, () => ({ ...valid(), tokens: { [purpose]: { secret } } }))
        t.equal(own.code, BAD_SECRET, `${what} for ${purpose}`)
        t.match(own.message, `tokens.${purpose}.secret`, what)
      }
      t.equal(
        (await startError(t, () => ({ ...valid(), ...withJwt({ lifetimeSeconds: 60, secret }) }))).code,
        BAD_SECRET,
        `${what} for a JWT backend`
      )
    }
    t.equal((await startError(t, () => ({ ...valid(), secret: [] }))).code, INVALID)
    for (const secret of [
      randomBytes(32).toString('base64url'),
      randomBytes(32).toString('hex'),
      randomBytes(32).toString('base64'),
      'Zwölf Boxkämpfer jagen Viktor quer',
      [randomBytes(24).toString('base64url'), SECRET]
    ]) {
      await t.resolves(start(t, () => ({ ...valid(), secret })))
    }
  }
)

t.test('row 28, CFG-05: wrong options refuse to start with a coded error that names the option', async (t) => {
  const backend = backends()[0]
  const stub = { readToken: () => null, writeToken: () => ({ token: 'x', lifetimeSeconds: 1 }) }
  const describe = (): TransportDescription => ({ scheme: {}, login: {}, logout: {} })
  const table: [string, () => unknown, string, string | RegExp][] = [
    ['no options', () => undefined, INVALID, 'adapter'],
    ['an unknown option', () => ({ ...valid(), secrets: [] }), UNKNOWN, 'secrets'],
    ['an option in the wrong case', () => ({ ...valid(), publicURL: 'https://a.example' }), UNKNOWN, 'publicURL'],
    ['no adapter', () => ({ ...valid(), adapter: undefined }), INVALID, /adapter.*sqlite/],
    ['null for the adapter', () => ({ ...valid(), adapter: null }), INVALID, 'adapter'],
    ['text for the adapter', () => ({ ...valid(), adapter: 'app.db' }), INVALID, 'adapter'],
    ['an adapter function that was not called', () => ({ ...valid(), adapter: memory }), INVALID, 'adapter'],
    [
      'an adapter without delete',
      () => ({
        ...valid(),
        adapter: {
          ...Object.fromEntries(
            ['define', 'open', 'create', 'findOne', 'findMany', 'update'].map((name) => [name, () => {}])
          )
        }
      }),
      INVALID,
      'adapter'
    ],
    ['no backends', () => ({ ...valid(), backends: undefined }), INVALID, 'backends'],
    ['an empty list of backends', () => ({ ...valid(), backends: [] }), INVALID, 'backends'],
    ['backends by name', () => ({ ...valid(), backends: { jwt: backend } }), INVALID, 'backends'],
    [
      'a backend without a name',
      () => ({ ...valid(), backends: [{ ...backend, name: undefined }] }),
      INVALID,
      'backends[].name'
    ],
    ['null for a backend', () => ({ ...valid(), backends: [null] }), INVALID, 'backends'],
    ['text for a backend', () => ({ ...valid(), backends: ['jwt'] }), INVALID, 'backends'],
    [
      'an unknown option of a backend',
      () => ({ ...valid(), backends: [{ ...backend, prefix: '/x' }] }),
      UNKNOWN,
      'prefix'
    ],
    [
      'a backend without transport',
      () => ({ ...valid(), backends: [{ ...backend, transport: undefined }] }),
      INVALID,
      'transport'
    ],
    [
      'a backend without strategy',
      () => ({ ...valid(), backends: [{ ...backend, strategy: undefined }] }),
      INVALID,
      'strategy'
    ],
    [
      'a transport function that was not called',
      () => ({ ...valid(), backends: [{ ...backend, transport: bearerTransport }] }),
      INVALID,
      'transport'
    ],
    [
      'a strategy for a transport',
      () => ({ ...valid(), backends: [{ ...backend, transport: backend?.strategy }] }),
      INVALID,
      'transport'
    ],
    [
      'a transport for a strategy',
      () => ({ ...valid(), backends: [{ ...backend, strategy: backend?.transport }] }),
      INVALID,
      'strategy'
    ],
    [
      'a transport without methods',
      () => ({
        ...valid(),
        backends: [{ ...backend, transport: defineTransport({ name: 'x', describe, setup: () => ({}) as never }) }]
      }),
      INVALID,
      'transport'
    ],
    [
      'an empty object as a transport',
      () => ({
        ...valid(),
        backends: [{ ...backend, transport: defineTransport({ name: 'x', describe, setup: () => undefined as never }) }]
      }),
      INVALID,
      'transport'
    ],
    [
      'a strategy without writeToken',
      () => ({
        ...valid(),
        backends: [
          {
            ...backend,
            strategy: defineStrategy({ name: 'x', setup: () => ({ ...stub, writeToken: undefined }) as never })
          }
        ]
      }),
      INVALID,
      'strategy'
    ],
    [
      'an empty object as a strategy',
      () => ({
        ...valid(),
        backends: [{ ...backend, strategy: defineStrategy({ name: 'x', setup: () => null as never }) }]
      }),
      INVALID,
      'strategy'
    ],
    [
      'two backends with the same name',
      () => ({ ...valid(), backends: [backend, backend] }),
      'FST_USERS_DUPLICATE_BACKEND',
      'jwt'
    ],
    [
      'two backends with the same name and others between',
      () => ({ ...valid(), backends: [...backends(), { ...backends()[1], name: 'jwt' }] }),
      'FST_USERS_DUPLICATE_BACKEND',
      'jwt'
    ],
    ['schemas that userSchemas did not create', () => ({ ...valid(), schemas: {} }), INVALID, /schemas.*userSchemas/],
    ['fields instead of schemas', () => ({ ...valid(), schemas: { name: Type.String() } }), INVALID, 'schemas'],
    ['a helper without methods', () => ({ ...valid(), passwords: {} }), INVALID, /passwords.*argon2Passwords/],
    ['text for the helper', () => ({ ...valid(), passwords: 'argon2' }), INVALID, 'passwords'],
    ['text for validatePassword', () => ({ ...valid(), validatePassword: 'long' }), INVALID, 'validatePassword'],
    ['a pattern for validatePassword', () => ({ ...valid(), validatePassword: /.{8}/ }), INVALID, 'validatePassword'],
    ['a number for the clock', () => ({ ...valid(), clock: 0 }), INVALID, 'clock'],
    ['a Date for the clock', () => ({ ...valid(), clock: new Date() }), INVALID, 'clock'],
    [
      'an unknown hook',
      () => ({ ...valid(), hooks: { onAfterRegistration: () => {} } }),
      'FST_USERS_UNKNOWN_HOOK',
      /onAfterRegistration.*onAfterRegister/
    ],
    [
      'a hook named __proto__',
      () => ({ ...valid(), hooks: JSON.parse('{"__proto__": 1}') as object }),
      'FST_USERS_UNKNOWN_HOOK',
      '__proto__'
    ],
    [
      'a hook that is not a function',
      () => ({ ...valid(), hooks: { onAfterRegister: 'x' } }),
      'FST_USERS_INVALID_HOOK',
      'onAfterRegister'
    ],
    [
      'a list of hooks',
      () => ({ ...valid(), hooks: { onAfterRegister: [() => {}] } }),
      'FST_USERS_INVALID_HOOK',
      'onAfterRegister'
    ],
    [
      'a hook with a callback',
      () => ({
        ...valid(),
        hooks: {
          onAfterRegister: (_payload: object, _context: object, done: () => void) => {
            done()
          }
        }
      }),
      'FST_USERS_INVALID_HOOK',
      'onAfterRegister'
    ],
    ['a function for hooks', () => ({ ...valid(), hooks: () => {} }), INVALID, 'hooks'],
    ['text for hooks', () => ({ ...valid(), hooks: 'onAfterRegister' }), INVALID, 'hooks'],
    ['an unknown group of routes', () => ({ ...valid(), routes: { login: false } }), UNKNOWN, 'routes.login'],
    [
      'an unknown option of a group',
      () => ({ ...valid(), routes: { auth: { prefix: '/a', tags: [] } } }),
      UNKNOWN,
      'routes.auth.tags'
    ],
    ['text for routes', () => ({ ...valid(), routes: '/api' }), INVALID, 'routes'],
    ['false for routes', () => ({ ...valid(), routes: false }), INVALID, 'routes'],
    ['true for a group', () => ({ ...valid(), routes: { auth: true } }), INVALID, 'routes.auth'],
    ['null for a group', () => ({ ...valid(), routes: { auth: null } }), INVALID, 'routes.auth'],
    ['text for a group', () => ({ ...valid(), routes: { auth: '/auth' } }), INVALID, 'routes.auth'],
    ['a group without prefix', () => ({ ...valid(), routes: { users: {} } }), INVALID, 'routes.users.prefix'],
    [
      'a prefix without a slash',
      () => ({ ...valid(), routes: { users: { prefix: 'users' } } }),
      INVALID,
      'routes.users.prefix'
    ],
    [
      'a prefix with a space',
      () => ({ ...valid(), routes: { users: { prefix: '/my users' } } }),
      INVALID,
      'routes.users.prefix'
    ],
    ['an empty prefix', () => ({ ...valid(), routes: { users: { prefix: '' } } }), INVALID, 'routes.users.prefix'],
    ['a number for a prefix', () => ({ ...valid(), routes: { users: { prefix: 5 } } }), INVALID, 'routes.users.prefix'],
    [
      'a list for a prefix',
      () => ({ ...valid(), routes: { users: { prefix: ['/users'] } } }),
      INVALID,
      'routes.users.prefix'
    ],
    ['text for tokens', () => ({ ...valid(), tokens: 'x' }), INVALID, 'tokens'],
    ['an unknown purpose', () => ({ ...valid(), tokens: { login: {} } }), UNKNOWN, 'tokens.login'],
    [
      'an unknown option of a purpose',
      () => ({ ...valid(), tokens: { reset: { lifetime: 60 } } }),
      UNKNOWN,
      'tokens.reset.lifetime'
    ],
    ['text for a purpose', () => ({ ...valid(), tokens: { reset: SECRET } }), INVALID, 'tokens.reset'],
    [
      'a number for an audience',
      () => ({ ...valid(), tokens: { reset: { audience: 5 } } }),
      INVALID,
      'tokens.reset.audience'
    ],
    [
      'an empty audience',
      () => ({ ...valid(), tokens: { verify: { audience: '' } } }),
      INVALID,
      'tokens.verify.audience'
    ],
    ['a public URL without scheme', () => ({ ...valid(), publicUrl: 'app.example' }), INVALID, /publicUrl.*https:/],
    ['a public URL with another scheme', () => ({ ...valid(), publicUrl: 'ftp://app.example' }), INVALID, 'publicUrl'],
    ['a public URL with a wildcard', () => ({ ...valid(), publicUrl: 'https://*.app.example' }), INVALID, 'publicUrl'],
    ['a number for the public URL', () => ({ ...valid(), publicUrl: 80 }), INVALID, 'publicUrl'],
    [
      'a URL object for the public URL',
      () => ({ ...valid(), publicUrl: new URL('https://app.example') }),
      INVALID,
      'publicUrl'
    ],
    ['text for trusted origins', () => ({ ...valid(), trustedOrigins: 'https://a.example' }), INVALID, 'trustedOrigins'],
    ['a wrong sensitiveChanges', () => ({ ...valid(), sensitiveChanges: 'ask' }), INVALID, /sensitiveChanges.*confirm/],
    ['true for sensitiveChanges', () => ({ ...valid(), sensitiveChanges: true }), INVALID, 'sensitiveChanges'],
    [
      'an unknown option of jwtStrategy',
      () => ({ ...valid(), ...withJwt({ lifetimeSeconds: 60, audiences: ['x'] }) }),
      UNKNOWN,
      'jwtStrategy.audiences'
    ],
    [
      'a strategy without its options',
      () => ({ ...valid(), ...withStored(undefined as unknown as AnyOptions) }),
      INVALID,
      'databaseStrategy'
    ],
    [
      'text for the audience',
      () => ({ ...valid(), ...withJwt({ lifetimeSeconds: 60, audience: 'x' }) }),
      INVALID,
      'jwtStrategy.audience'
    ],
    [
      'an empty list of audiences',
      () => ({ ...valid(), ...withJwt({ lifetimeSeconds: 60, audience: [] }) }),
      INVALID,
      'jwtStrategy.audience'
    ],
    [
      'a number among the audiences',
      () => ({ ...valid(), ...withJwt({ lifetimeSeconds: 60, audience: ['x', 1] }) }),
      INVALID,
      'jwtStrategy.audience'
    ],
    [
      'an unknown option of databaseStrategy',
      () => ({ ...valid(), ...withStored({ lifetimeSeconds: 60, table: 'x' }) }),
      UNKNOWN,
      'databaseStrategy.table'
    ]
  ]
  for (const origin of [
    '*',
    'https://*',
    'https://*.example.com',
    '*.example.com',
    'example.com',
    'null',
    '',
    'https://a.example/path',
    'https://a.example?x',
    'https://a.example#x',
    'https://user@a.example',
    'file:///',
    'chrome-extension://x',
    'moz-extension://x',
    'capacitor://',
    'capacitor://localhost/',
    'capacitor://*',
    'Capacitor://localhost',
    'capacitor:localhost',
    'javascript://localhost',
    'data://x',
    'ws://localhost',
    'http://*:80',
    'http://a.example:*',
    'http://127.0.0.2:*',
    'http://localhost:*/',
    5,
    null,
    new URL('https://a.example')
  ]) {
    table.push([
      `trusted origin ${String(origin)}`,
      () => ({ ...valid(), trustedOrigins: ['https://fine.example', origin] }),
      INVALID,
      'trustedOrigins[1]'
    ])
  }
  for (const name of ['', 'Users', '1a', 'a b', 'a/b', '../x', 'ä', 'a'.repeat(33), 5, ['users']]) {
    table.push([`name ${String(name)}`, () => ({ ...valid(), name }), INVALID, 'name'])
    table.push([
      `backend name ${String(name)}`,
      () => ({ ...valid(), backends: [{ ...backend, name }] }),
      INVALID,
      'backends'
    ])
  }
  for (const flag of ['requireVerification', 'revealExistingAccounts', 'openapiSecurity']) {
    for (const value of ['false', 0, {}]) {
      table.push([`${flag}: ${String(value)}`, () => ({ ...valid(), [flag]: value }), INVALID, flag])
    }
  }
  for (const seconds of [0, -1, 0.5, undefined, null, Infinity, NaN, '3600', true, [60]]) {
    table.push([
      `stored lifetime ${String(seconds)}`,
      () => ({ ...valid(), ...withStored({ lifetimeSeconds: seconds }) }),
      INVALID,
      'databaseStrategy.lifetimeSeconds'
    ])
    if (seconds !== undefined) {
      table.push([
        `JWT lifetime ${String(seconds)}`,
        () => ({ ...valid(), ...withJwt({ lifetimeSeconds: seconds }) }),
        INVALID,
        'jwtStrategy.lifetimeSeconds'
      ])
      table.push([
        `reset lifetime ${String(seconds)}`,
        () => ({ ...valid(), tokens: { reset: { lifetimeSeconds: seconds } } }),
        INVALID,
        'tokens.reset.lifetimeSeconds'
      ])
    }
    if (seconds !== undefined) {
      table.push([
        `cookie maxAge ${String(seconds)}`,
        () => ({ ...valid(), ...withCookie({ maxAge: seconds }) }),
        INVALID,
        'cookieTransport.maxAge'
      ])
    }
  }
  for (const [options, code, named] of [
    [{ sameSite: 'none', secure: false }, INVALID, 'sameSite'],
    [{ sameSite: 'None' }, INVALID, 'sameSite'],
    [{ sameSite: true }, INVALID, 'sameSite'],
    [{ sameSite: '' }, INVALID, 'sameSite'],
    [{ name: '__Host-x', domain: 'a.example' }, INVALID, '__Host-'],
    [{ name: '__Host-x', path: '/x' }, INVALID, '__Host-'],
    [{ name: '__Host-x', secure: false }, INVALID, '__Host-'],
    [{ name: '__Secure-x', secure: false }, INVALID, '__Secure-'],
    [{ name: 'a b' }, INVALID, 'name'],
    [{ name: 'a;b' }, INVALID, 'name'],
    [{ name: 'a=b' }, INVALID, 'name'],
    [{ name: '' }, INVALID, 'name'],
    [{ name: 'ä' }, INVALID, 'name'],
    [{ name: 5 }, INVALID, 'name'],
    [{ path: '/;x' }, INVALID, 'path'],
    [{ path: '/a\r\nset-cookie: x=y' }, INVALID, 'path'],
    [{ path: 'x' }, INVALID, 'path'],
    [{ path: 5 }, INVALID, 'path'],
    [{ domain: 'a.example; x' }, INVALID, 'domain'],
    [{ domain: 5 }, INVALID, 'domain'],
    [{ domain: '' }, INVALID, 'domain'],
    [{ secure: 'false' }, INVALID, 'secure'],
    [{ secure: 0 }, INVALID, 'secure'],
    [{ httpOnly: 'no' }, INVALID, 'httpOnly'],
    [{ max_age: 5 }, UNKNOWN, 'cookieTransport.max_age'],
    [{ signed: true }, UNKNOWN, 'cookieTransport.signed']
  ] as const) {
    table.push([`cookie ${JSON.stringify(options)}`, () => ({ ...valid(), ...withCookie(options) }), code, named])
  }

  for (const [what, make, code, named] of table) {
    const error = await startError(t, make)
    t.equal(error.code, code, what)
    t.match(error.message, named, what)
  }
})

t.test('valid options start', async (t) => {
  const fine: [string, AnyOptions][] = [
    ['a name', { name: 'staff' }],
    ['a JWT strategy without options', withJwt(undefined as unknown as AnyOptions)],
    ['a JWT strategy without a lifetime', withJwt({})],
    ['a public URL with a path', { publicUrl: 'https://app.example/base/' }],
    [
      'trusted origins',
      {
        trustedOrigins: [
          'https://a.example',
          'http://localhost:3000',
          'https://[::1]:8443',
          'https://a.example/',
          'capacitor://localhost',
          'ionic://localhost',
          'com.example.app://main',
          'tauri://localhost:1420',
          'http://localhost:*',
          'https://[::1]:*'
        ]
      }
    ],
    ['flags', { requireVerification: true, revealExistingAccounts: false, sensitiveChanges: 'confirm' }],
    ['no routes', { routes: { auth: false, register: false, reset: false, verify: false, users: false } }],
    ['other prefixes', { routes: { auth: { prefix: '/api/v1/auth' }, users: { prefix: '/' } } }],
    [
      'tokens',
      { tokens: { reset: { lifetimeSeconds: 1, audience: 'x', secret: randomBytes(32).toString('hex') }, verify: {} } }
    ],
    [
      'undefined for optional options',
      { name: undefined, hooks: undefined, routes: undefined, tokens: undefined, clock: undefined }
    ],
    ['tokens that never expire', { compatibility: { endlessTokens: true }, ...withStored({ lifetimeSeconds: null }) }],
    [
      'a cookie with SameSite=None',
      withCookie({
        sameSite: 'none',
        secure: true,
        domain: 'a.example',
        path: '/x',
        httpOnly: false,
        maxAge: 1,
        name: '__Secure-x'
      })
    ]
  ]
  for (const [what, options] of fine) {
    await t.resolves(
      start(t, () => ({ ...valid(), ...options })),
      what
    )
  }
})

t.test('an error in setup() of a strategy refuses to start', async (t) => {
  const [backend] = backends()
  const fault = new Error('no')
  const strategy = defineStrategy({
    name: 'x',
    setup () {
      throw fault
    }
  })
  const later = defineStrategy({ name: 'x', setup: () => Promise.reject(fault) })
  for (const made of [strategy, later]) {
    t.equal(await startError(t, () => ({ ...valid(), backends: [{ ...backend, strategy: made }] })), fault)
  }
})

t.test('the options are not modified', async (t) => {
  const freeze = (value: unknown, seen = new Set<unknown>()): void => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return
    seen.add(value)
    for (const key of Reflect.ownKeys(value)) freeze(Reflect.get(value, key), seen)
    Object.freeze(value)
  }
  const options: UsersOptions = {
    ...valid(),
    secret: [SECRET, randomBytes(32).toString('hex')],
    backends: [
      {
        name: 'jwt',
        transport: bearerTransport(),
        strategy: jwtStrategy({ lifetimeSeconds: 60, keys: [{ kid: 'a', secret: SECRET }], audience: ['x'] })
      },
      {
        name: 'cookie',
        transport: cookieTransport({ maxAge: 60 }),
        strategy: databaseStrategy({ lifetimeSeconds: 60 })
      }
    ],
    schemas: userSchemas({ nickname: Type.Optional(Type.String()), credits: adminOnly(Type.Integer({ default: 0 })) }),
    hooks: { onAfterRegister () {} },
    routes: { auth: { prefix: '/a' } },
    tokens: { reset: { lifetimeSeconds: 60 } },
    trustedOrigins: ['https://a.example'],
    publicUrl: 'https://app.example'
  }
  for (const [key, value] of Object.entries(options)) if (key !== 'adapter') freeze(value)
  Object.freeze(options)
  const app = await start(t, () => options)
  await app.users.create({ email: ARTHUR, password: PASSWORD })
  for (const backend of ['jwt', 'cookie']) {
    const reply = await app.inject({
      method: 'POST',
      url: `/a/${backend}/login`,
      payload: { username: ARTHUR, password: PASSWORD }
    })
    t.equal(reply.statusCode, backend === 'jwt' ? 200 : 204)
  }
  const again = await start(t, () => ({ ...options, adapter: memory() }))
  t.ok(again.users, 'the same backends and schemas work in a second application')
})

t.test(
  'app.users.addHook refuses unknown events, values that are not functions, callback-style hooks and hooks after ready',
  async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(users, valid())
    const add = app.users.addHook as (name: unknown, hook: unknown) => void
    const wrong: [unknown, unknown, string][] = [
      ['onNothing', () => {}, 'FST_USERS_UNKNOWN_HOOK'],
      ['onafterregister', () => {}, 'FST_USERS_UNKNOWN_HOOK'],
      ['onRequest', () => {}, 'FST_USERS_UNKNOWN_HOOK'],
      ['toString', () => {}, 'FST_USERS_UNKNOWN_HOOK'],
      [undefined, () => {}, 'FST_USERS_UNKNOWN_HOOK'],
      ['onAfterRegister', undefined, 'FST_USERS_INVALID_HOOK'],
      ['onAfterRegister', 'x', 'FST_USERS_INVALID_HOOK'],
      ['onAfterRegister', {}, 'FST_USERS_INVALID_HOOK'],
      ['onAfterRegister', [() => {}], 'FST_USERS_INVALID_HOOK'],
      ['onAfterRegister', (_a: unknown, _b: unknown, _c: unknown) => {}, 'FST_USERS_INVALID_HOOK']
    ]
    for (const [name, hook, code] of wrong) {
      t.throws(
        () => {
          add(name, hook)
        },
        { code },
        `${String(name)} ${typeof hook}`
      )
    }
    app.users.addHook('onAfterRegister', () => {})
    await app.ready()
    t.throws(
      () => {
        app.users.addHook('onAfterRegister', () => {})
      },
      { code: 'FST_USERS_HOOKS_CLOSED' }
    )
  }
)

t.test('methods of app.users throw FST_USERS_NOT_READY before the application is ready', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, valid())
  await t.rejects(app.users.getByEmail(ARTHUR), { code: 'FST_USERS_NOT_READY' })
  await app.ready()
  t.equal(await app.users.getByEmail(ARTHUR), null)
})

t.test('userSchemas refuses reserved or malformed names, and required fields that no client can set', async (t) => {
  const text = Type.String()
  const taken = [
    'id',
    'email',
    'password',
    'hashed_password',
    'session_stamp',
    'is_active',
    'is_superuser',
    'is_verified',
    'current_password',
    'constructor',
    'prototype'
  ]
  const malformed = ['', '1st', 'a-b', 'a b', 'a.b', 'ä', 'a"b', '_x', 'a'.repeat(64)]
  for (const name of [...taken, ...malformed]) t.throws(() => userSchemas({ [name]: text }), TypeError, name)
  t.throws(() => userSchemas(Object.fromEntries([['__proto__', text]])), TypeError)
  for (const mark of [readOnly, adminOnly]) {
    t.throws(() => userSchemas({ credits: mark(Type.Integer()) }), TypeError)
    t.doesNotThrow(() => userSchemas({ credits: mark(Type.Integer({ default: 0 })), note: mark(Type.Optional(text)) }))
  }
  t.doesNotThrow(() => userSchemas({ birth_year: createOnly(Type.Integer()), display_name: text }))
})

t.test('every error has a unique code, a status and a message, and has a factory', async (t) => {
  const makers: Record<string, unknown> = {
    ...errors,
    ...oauthErrors,
    ...rolesErrors,
    FST_USERS_REFUSED: () => refuse(403, 'NO', 'No.')
  }
  const table = errorTable([{ errors: oauthErrors.definitions }, { errors: rolesErrors.definitions }])
  const codes = table.map(({ code }) => code)
  t.equal(new Set(codes).size, codes.length)
  for (const { code, statusCode, message } of table) {
    t.match(code, /^FST_USERS_[A-Z]+(_[A-Z]+)*$/)
    t.ok(Number.isInteger(statusCode) && statusCode >= 400 && statusCode < 600, code)
    t.ok(message.length > 10 && message.endsWith('.') !== message.endsWith('%s'), code)
    const make = makers[code] as ((args?: unknown) => UsersError) | undefined
    t.type(make, 'function', `${code} is exported`)
    const error = make?.(['a', 'b', 'c'])
    t.match(error, { code, statusCode })
    t.ok(isUsersError(error) && error instanceof Error && error.detail !== undefined, code)
    t.notMatch(error?.message, '%s')
  }
  t.same(
    Object.keys(makers)
      .filter((name) => name.startsWith('FST_USERS_'))
      .sort(),
    [...codes].sort()
  )
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 'FST_ERR_VALIDATION' }),
    Object.assign(new Error('x'), { code: 5 }),
    { code: 'FST_USERS_FORBIDDEN' },
    null,
    'FST_USERS_FORBIDDEN'
  ]) {
    t.notOk(isUsersError(other))
  }
})

t.test('refuse() creates errors with a status from 400 to 499, and with 403 for any other status', async (t) => {
  for (const [given, statusCode] of [
    [400, 400],
    [409, 409],
    [499, 499],
    [399, 403],
    [500, 403],
    [200, 403],
    [0, 403],
    [NaN, 403],
    [404.5, 403]
  ] as const) {
    t.match(
      refuse(given, 'NO_BETA', 'Not yet.'),
      { statusCode, code: 'FST_USERS_REFUSED', detail: 'NO_BETA', message: 'Not yet.' },
      String(given)
    )
  }
})

t.test('the hooks option may contain any subset of the hooks', async (t) => {
  const seen: string[] = []
  const hooks: UsersHooks = {
    onAfterRegister ({ user }) {
      seen.push(user.email)
    }
  }
  const built = await buildApp(t, { hooks })
  await built.register()
  t.same(seen, [ARTHUR])
})
