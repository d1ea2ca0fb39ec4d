import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import users, {
  argon2Passwords,
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  defineStrategy,
  jwtStrategy,
  passwordPolicy,
  userSchemas,
  type CompatibilityOptions,
  type CookieTransportOptions,
  type DatabaseAdapter,
  type NewUser,
  type User,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { captureEvents, type CapturedEvents } from '../../lib/testing/index.js'
import { cookieOf, fastPasswords, storedModel, storedRows } from '../helpers/build-app.js'
import { CENTURY, SECRETS, signLikePython } from './rows.js'

const EMAIL = 'king.arthur@camelot.bt'
const PASSWORD = 'cafe\u0301-cafe\u0301-9' // in Unicode NFD

interface Service {
  app: FastifyInstance
  adapter: DatabaseAdapter
  user: User
  events: CapturedEvents
  operationIds: string[]
  login(backend: string, password?: string): Promise<LightMyRequestResponse>
}

const backends = (cookie: CookieTransportOptions = {}): UsersOptions['backends'] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ secret: SECRETS.auth, lifetimeSeconds: 3600 }) },
  { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) },
  {
    name: 'cookie',
    transport: cookieTransport(cookie),
    strategy: jwtStrategy({ secret: SECRETS.auth, lifetimeSeconds: 3600 })
  }
]

async function serve (t: Test, options: Partial<UsersOptions> = {}): Promise<Service> {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter = memory()
  const routes: object[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  await app.register(users, {
    adapter,
    secret: SECRETS.auth,
    passwords: fastPasswords,
    limits: false,
    backends: backends(),
    ...options
  })
  const events = captureEvents(app)
  app.get('/guarded', { preHandler: authenticate }, async (request) => currentUser(request))
  app.get('/superusers', { preHandler: authenticate({ superuser: true }) }, async () => ({}))
  app.get('/in-handler', async (request, reply) => await app.authenticate(request, reply))
  await app.ready()
  return {
    app,
    adapter,
    user: await app.users.create({ email: EMAIL, password: PASSWORD }),
    events,
    operationIds: routes
      .map((route) => (route as { schema?: { operationId?: string } }).schema?.operationId)
      .filter((id) => id !== undefined),
    login: (backend, password = PASSWORD) =>
      app.inject({
        method: 'POST',
        url: `/auth/${backend}/login`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ username: EMAIL, password }).toString()
      })
  }
}

const bearer = (token: string): { headers: { authorization: string } } => ({
  headers: { authorization: `Bearer ${token}` }
})
const claimsIn = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token.split('.')[1]), 'base64url').toString()) as Record<string, unknown>
const accessToken = async ({ login }: Service, backend = 'jwt'): Promise<string> =>
  (await login(backend)).json<{ access_token: string }>().access_token

interface Part {
  /** The default value and the value of FastAPI Users. */
  ours: unknown
  theirs: unknown
  /** Returns a result that depends on the setting. */
  look: (service: Service) => Promise<unknown>
  seen: { ours: unknown; theirs: unknown }
}

type Name = Exclude<keyof CompatibilityOptions, 'preset'>

const parts: Partial<Record<Name, Part>> = {
  errorStyle: {
    ours: 'fastify',
    theirs: 'fastapi',
    look: async ({ app }) => {
      const [body, guard] = [
        await app.inject({ method: 'POST', url: '/auth/register', payload: {} }),
        await app.inject('/guarded')
      ]
      return [body.statusCode, Object.keys(body.json<object>()), guard.statusCode, Object.keys(guard.json<object>())]
    },
    seen: {
      ours: [
        400,
        ['statusCode', 'code', 'error', 'message', 'detail'],
        401,
        ['statusCode', 'code', 'error', 'message']
      ],
      theirs: [422, ['detail'], 401, ['detail']]
    }
  },
  nullBodies: {
    ours: false,
    theirs: true,
    look: async ({ app }) => {
      const reply = await app.inject({ method: 'POST', url: '/auth/forgot-password', payload: { email: EMAIL } })
      return [reply.statusCode, reply.body]
    },
    seen: { ours: [202, ''], theirs: [202, 'null'] }
  },
  wwwAuthenticate: {
    ours: true,
    theirs: false,
    look: async ({ app }) => [
      (await app.inject('/guarded')).headers['www-authenticate'] ?? null,
      (await app.inject('/users/me')).headers['www-authenticate'] ?? null
    ],
    seen: { ours: ['Bearer', 'Bearer'], theirs: [null, null] }
  },
  requireStamp: {
    ours: true,
    theirs: false,
    look: async ({ app, user }) => {
      const aud = ['users:auth', 'fastapi-users:auth']
      return (
        await app.inject({
          url: '/users/me',
          ...bearer(signLikePython({ sub: user.id, aud, exp: CENTURY }, SECRETS.auth))
        })
      ).statusCode
    },
    seen: { ours: 401, theirs: 200 }
  },
  tokenStorage: {
    ours: 'digest',
    theirs: 'plain',
    look: async (service) => {
      const token = await accessToken(service, 'db')
      const rows = await storedRows(service.adapter, 'accesstoken')
      return rows.map((row) => [row.token === token, /^[\w-]{43}$/.test(String(row.token))])
    },
    seen: { ours: [[false, true]], theirs: [[true, true]] }
  },
  normalizePasswords: {
    ours: true,
    theirs: false,
    look: async ({ login }) => [
      (await login('jwt')).statusCode,
      (await login('jwt', PASSWORD.normalize('NFC'))).statusCode
    ],
    seen: { ours: [200, 200], theirs: [200, 400] }
  },
  issuedAt: {
    ours: true,
    theirs: false,
    look: async (service) => {
      await service.app.users.forgotPassword(EMAIL)
      return [
        'iat' in claimsIn(await accessToken(service)),
        'iat' in claimsIn(await service.events.tokenOf('onAfterForgotPassword'))
      ]
    },
    seen: { ours: [true, true], theirs: [false, false] }
  },
  fingerprint: {
    ours: 'keyed',
    theirs: 'argon2',
    look: async ({ app, events }) => {
      await app.users.forgotPassword(EMAIL)
      const token = await events.tokenOf('onAfterForgotPassword')
      const form = String(claimsIn(token).password_fgpt)
        .replace(/^\$argon2id\$.+/, 'argon2')
        .replace(/^[\w-]{43}$/, 'keyed')
      return [
        form,
        (
          await app.inject({
            method: 'POST',
            url: '/auth/reset-password',
            payload: { token, password: 'another-one-9' }
          })
        ).statusCode
      ]
    },
    seen: { ours: ['keyed', 200], theirs: ['argon2', 200] }
  },
  cookieName: {
    ours: null,
    theirs: 'fastapiusersauth',
    look: async ({ login }) => cookieOf(await login('cookie')).split('=')[0],
    seen: { ours: '__Host-users-cookie', theirs: 'fastapiusersauth' }
  },
  duplicateCookies: {
    ours: 'refuse',
    theirs: 'last',
    look: async ({ app, login }) => {
      const good = cookieOf(await login('cookie'))
      const other = `${String(good.split('=')[0])}=x`
      const statuses = []
      for (const cookie of [good, `${other}; ${good}`, `${good}; ${other}`]) {
        statuses.push((await app.inject({ url: '/users/me', headers: { cookie } })).statusCode)
      }
      return statuses
    },
    seen: { ours: [200, 401, 401], theirs: [200, 200, 401] }
  },
  audiencePrefix: {
    ours: 'users',
    theirs: 'fastapi-users',
    look: async (service) => {
      await service.app.users.forgotPassword(EMAIL)
      await service.app.users.requestVerify(EMAIL)
      const tokens = [
        await accessToken(service),
        await service.events.tokenOf('onAfterForgotPassword'),
        await service.events.tokenOf('onAfterRequestVerify')
      ]
      return tokens.map((token) => claimsIn(token).aud)
    },
    seen: {
      ours: [['users:auth'], 'users:reset', 'users:verify'],
      theirs: [['fastapi-users:auth'], 'fastapi-users:reset', 'fastapi-users:verify']
    }
  },
  operationIds: {
    ours: 'fastify',
    theirs: 'fastapi',
    look: async ({ operationIds }) => [
      operationIds.includes('login:jwt'),
      operationIds.includes('auth_jwt_login_auth_jwt_login_post'),
      operationIds.includes('users_user_users__id__get')
    ],
    seen: { ours: [true, false, false], theirs: [false, true, true] }
  }
}

for (const [name, { ours, theirs, look, seen }] of Object.entries(parts)) {
  t.test(`${name} changes only its own part, with and without compatibility`, async (t) => {
    const cases: [string, Partial<UsersOptions>, unknown][] = [
      ['by default', {}, seen.ours],
      ['alone', { compatibility: { [name]: theirs } }, seen.theirs],
      ['as a part of compatibility', { compatibility: 'fastapi-users' }, seen.theirs],
      ['the preset in the long form', { compatibility: { preset: 'fastapi-users' } }, seen.theirs],
      ['taken out of the preset', { compatibility: { preset: 'fastapi-users', [name]: ours } }, seen.ours],
      ['undefined is no value', { compatibility: { preset: 'fastapi-users', [name]: undefined } }, seen.theirs],
      ['nothing given', { compatibility: {} }, seen.ours]
    ]
    for (const [title, options, expected] of cases) {
      const service = await serve(t, options)
      const { app, adapter, user } = service
      for (const backend of ['jwt', 'db']) {
        t.equal(
          (
            await app.inject({
              url: '/users/me',
              ...bearer(String((await app.users.login(user, { backend })).issued?.token))
            })
          ).statusCode,
          200,
          `${title}: sessions of the plugin work`
        )
      }
      t.equal((await storedRows(adapter, 'user')).length, 1)
      await adapter.delete(storedModel('accesstoken'), { user_id: user.id }) // `look` counts stored sessions
      t.strictSame(await look(service), expected, title)
    }
  })
}

t.test('every setting of the compatibility mode is tested here', async (t) => {
  const { compatibilityKeys } = await import('../../lib/wire/index.js')
  t.strictSame([...Object.keys(parts), 'endlessTokens'].sort(), [...compatibilityKeys].sort())
})

t.test('row 20: endlessTokens allows a lifetime of null, and warns', async (t) => {
  const endless = (): Partial<UsersOptions> => ({
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: null }) },
      { name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: null }) }
    ]
  })
  for (const [options, starts] of [
    [{}, false],
    [{ compatibility: { endlessTokens: true } }, true],
    [{ compatibility: 'fastapi-users' }, true],
    [{ compatibility: { preset: 'fastapi-users', endlessTokens: false } }, false]
  ] as const) {
    const lines: string[] = []
    const app = Fastify({
      logger: {
        level: 'warn',
        stream: {
          write: (line: string) => {
            lines.push(line)
          }
        }
      }
    })
    t.teardown(() => app.close())
    const given = {
      adapter: memory(),
      secret: SECRETS.auth,
      passwords: fastPasswords,
      limits: false,
      ...endless(),
      ...options
    } as UsersOptions
    const start = async (): Promise<unknown> => await app.register(users, given)
    if (starts) await t.resolves(start(), JSON.stringify(options))
    else await t.rejects(start(), { code: 'FST_USERS_INVALID_OPTION' }, JSON.stringify(options))
    t.equal(
      lines.some((line) => line.includes('endlessTokens')),
      starts
    )
  }
})

t.test('row 63: the compatibility mode sets the hash parameters, unless the option passwords is set', async (t) => {
  const theirs = { memoryCost: 65_536, timeCost: 3, parallelism: 4 }
  const cases: [Partial<UsersOptions>, string][] = [
    [{}, 'm=19456,t=2,p=1'],
    [{ compatibility: 'fastapi-users' }, 'm=65536,t=3,p=4'],
    [{ passwords: argon2Passwords(theirs) }, 'm=65536,t=3,p=4'],
    [{ compatibility: 'fastapi-users', passwords: fastPasswords, limits: false }, 'm=8,t=1,p=1']
  ]
  for (const [options, parameters] of cases) {
    const { adapter } = await serve(t, {
      ...('passwords' in options ? {} : { passwords: undefined as never }),
      ...options
    })
    const [row] = await storedRows(adapter, 'user')
    t.ok(String(row?.hashed_password).startsWith(`$argon2id$v=19$${parameters}$`), parameters)
  }
})

t.test('rows 4, 42, 54: the compatibility mode requires no minimum length, unless a policy is set', async (t) => {
  const cases: [Partial<UsersOptions>, boolean][] = [
    [{}, false],
    [{ validatePassword: () => null }, true],
    [{ compatibility: 'fastapi-users' }, true],
    [{ compatibility: 'fastapi-users', validatePassword: passwordPolicy() }, false]
  ]
  for (const [options, accepted] of cases) {
    const { app, events } = await serve(t, options)
    await app.users.forgotPassword(EMAIL)
    const token = await events.tokenOf('onAfterForgotPassword')
    const register = await app.inject({
      method: 'POST',
      url: '/auth/register',
      payload: { email: 'new@camelot.bt', password: 'x' }
    })
    const reset = await app.inject({ method: 'POST', url: '/auth/reset-password', payload: { token, password: 'x' } })
    t.strictSame([register.statusCode, reset.statusCode], accepted ? [201, 200] : [400, 400])
  }
})

t.test('row 90: with errorStyle fastapi replies of the guard on routes of the application equal those of FastAPI', async (t) => {
  const broken = defineStrategy({
    name: 'broken',
    setup: () => ({
      readToken: () => {
        throw Object.assign(new Error('postgres://user:password@host'), { code: 'ECONNREFUSED' })
      },
      writeToken: () => ({ token: 'x', lifetimeSeconds: 1 })
    })
  })
  const service = await serve(t, {
    compatibility: { errorStyle: 'fastapi' },
    backends: [...backends(), { name: 'broken', transport: bearerTransport(), strategy: broken }]
  })
  const { app } = service
  const token = await accessToken(service)
  const ask = async (url: string, request: object = {}): Promise<unknown[]> => {
    const { statusCode, body, headers } = await app.inject({ url, ...request })
    return [statusCode, body, headers['www-authenticate'] ?? null, headers['retry-after'] ?? null]
  }
  t.strictSame(
    await ask('/guarded'),
    [401, '{"detail":"Unauthorized"}', 'Bearer', null],
    'the reply has a challenge unless wwwAuthenticate is off'
  )
  t.strictSame(await ask('/superusers', bearer(token)), [403, '{"detail":"Forbidden"}', null, null])
  t.strictSame(await ask('/guarded', bearer('x')), [503, '{"detail":"Service Unavailable"}', null, '1'])
  t.equal((await app.inject({ url: '/guarded', ...bearer(token) })).statusCode, 200)
})

t.test('the guard in a handler throws, so that the error handler of the application creates the reply', async (t) => {
  const { app } = await serve(t, { compatibility: 'fastapi-users' })
  const reply = await app.inject('/in-handler')
  t.strictSame([reply.statusCode, reply.json<{ code: string }>().code], [401, 'FST_USERS_UNAUTHENTICATED'])
})

t.test('the cookie name of the transport takes precedence over cookieName', async (t) => {
  const { login } = await serve(t, { compatibility: 'fastapi-users', backends: backends({ name: 'sess' }) })
  t.equal(cookieOf(await login('cookie')).split('=')[0], 'sess')
})

t.test('invalid values refuse to start', async (t) => {
  const wrongParts: [parts: object, more?: object, code?: string][] = [
    ...['errorStyle', 'tokenStorage', 'fingerprint', 'duplicateCookies', 'operationIds'].flatMap((name) =>
      ['', 'both', null, true, 7].map((value): [object] => [{ [name]: value }])
    ),
    [{ errorStyle: ['fastapi'] }],
    [{ tokenStorage: ['plain'] }],
    ...['nullBodies', 'wwwAuthenticate', 'requireStamp', 'normalizePasswords', 'issuedAt', 'endlessTokens'].flatMap(
      (name) => ['', 'true', 'false', null, 0, 1, {}].map((value): [object] => [{ [name]: value }])
    ),
    ...['', null, 7, ['x']].map((audiencePrefix): [object] => [{ audiencePrefix }]),
    ...['', 'a b', 'a;b', 'a=b', 'é', 7, true, ['x']].map((cookieName): [object] => [{ cookieName }]),
    [{ cookieName: '__Host-x' }, { backends: backends({ path: '/x' }) }],
    [{ cookieName: '__Host-x' }, { backends: backends({ secure: false }) }],
    [{ cookieName: '__Secure-x' }, { backends: backends({ secure: false }) }],
    [{ errorstyle: 'fastapi' }, {}, 'FST_USERS_UNKNOWN_OPTION'],
    [{ nullBody: true }, {}, 'FST_USERS_UNKNOWN_OPTION']
  ]
  const wrong: [options: object, code: string][] = [
    ...['fastapi', 'FASTAPI-USERS', '', true, null, ['fastapi-users']].flatMap((preset): [object, string][] => [
      [{ compatibility: preset }, 'FST_USERS_INVALID_OPTION'],
      [{ compatibility: { preset } }, 'FST_USERS_INVALID_OPTION']
    ]),
    ...wrongParts.flatMap(([parts, more = {}, code = 'FST_USERS_INVALID_OPTION']): [object, string][] => [
      [{ compatibility: parts, ...more }, code],
      [{ compatibility: { preset: 'fastapi-users', ...parts }, ...more }, code]
    ])
  ]
  for (const [options, code] of wrong) {
    const app = Fastify()
    t.teardown(() => app.close())
    const given = {
      adapter: memory(),
      secret: SECRETS.auth,
      passwords: fastPasswords,
      limits: false,
      backends: backends(),
      ...options
    } as UsersOptions
    await t.rejects(async () => await app.register(users, given).ready(), { code }, JSON.stringify(options))
  }
})

t.test('a setting of compatibility among the options of the plugin refuses to start, and the error names its place', async (t) => {
  for (const [name, { theirs }] of [...Object.entries(parts), ['endlessTokens', { theirs: true }] as const]) {
    const message = new RegExp(`Option ${name}: .*compatibility: \\{ ${name}: … \\}`)
    await t.rejects(serve(t, { [name]: theirs }), { code: 'FST_USERS_INVALID_OPTION', message }, name)
  }
})

t.test(
  "row 90: with errorStyle fastapi validation errors of custom fields have Pydantic's types, and long values are omitted",
  async (t) => {
    const fields = {
      nick: Type.Optional(Type.String({ minLength: 2 })),
      level: Type.Optional(Type.Integer({ minimum: 1 })),
      born: Type.Optional(Type.String({ format: 'date' }))
    }
    const { app } = await serve(t, { compatibility: { errorStyle: 'fastapi' }, schemas: userSchemas(fields) })
    const problemsOf = async (values: object): Promise<unknown[]> => {
      const reply = await app.inject({
        method: 'POST',
        url: '/auth/register',
        payload: { email: 'galahad@camelot.bt', password: PASSWORD, ...values }
      })
      t.equal(reply.statusCode, 422)
      return reply.json<{ detail: unknown[] }>().detail
    }
    t.same(await problemsOf({ nick: 'x', level: 0, born: 'soon' }), [
      {
        type: 'string_too_short',
        loc: ['body', 'nick'],
        msg: 'String should have at least 2 characters',
        input: 'x',
        ctx: { min_length: 2 }
      },
      { type: 'minimum', loc: ['body', 'level'], msg: 'must be >= 1', input: 0 },
      {
        type: 'value_error',
        loc: ['body', 'born'],
        msg: 'Value error, It must be well-formed date.',
        input: 'soon',
        ctx: { reason: 'It must be well-formed date.' }
      }
    ])
    t.match(await problemsOf({ email: 'x'.repeat(1025) }), [{ loc: ['body', 'email'], input: '**********' }])
  }
)

t.test('row 90: with errorStyle fastapi errors of listeners have the format of FastAPI, too', async (t) => {
  let thrown: unknown
  const { app, user } = await serve(t, {
    compatibility: { errorStyle: 'fastapi' },
    hooks: {
      onBeforeDelete: () => {
        throw thrown
      },
      async onBeforeRegister ({ user: { email } }) {
        if (email === 'galahad@camelot.bt') await app.users.create({ email: 'squire@camelot.bt' } as NewUser)
      }
    }
  })
  const registered = await app.inject({
    method: 'POST',
    url: '/auth/register',
    payload: { email: 'galahad@camelot.bt', password: PASSWORD }
  })
  t.same(
    [registered.statusCode, registered.json()],
    [422, { detail: [{ type: 'missing', loc: ['body', 'password'], msg: 'is missing', input: null }] }]
  )
  const merlin = await app.users.create({ email: 'merlin@camelot.bt', password: PASSWORD, is_superuser: true })
  const { issued } = await app.users.login(merlin, { backend: 'jwt' })
  const remove = async (error: unknown): Promise<unknown[]> => {
    thrown = error
    const reply = await app.inject({ method: 'DELETE', url: `/users/${user.id}`, ...bearer(String(issued?.token)) })
    return [reply.statusCode, reply.json()]
  }
  t.same(await remove(Object.assign(new Error('no'), { statusCode: 499 })), [499, { detail: 'Error' }])
  t.same(
    await remove(
      Object.assign(new Error('no'), {
        validation: [{ instancePath: '', keyword: 'crowned', params: {}, message: 'is king' }]
      })
    ),
    [422, { detail: [{ type: 'crowned', loc: ['body'], msg: 'is king', input: null }] }]
  )
})
