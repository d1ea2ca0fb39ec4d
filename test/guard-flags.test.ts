import Fastify, { type FastifyInstance, type FastifyRequest, type LightMyRequestResponse } from 'fastify'
import swagger from '@fastify/swagger'
import t from 'tap'
import { defineErrors } from '../lib/error-registry.js'
import users, {
  authenticate,
  refuse,
  usersOpenapi,
  type AuthenticateOptions,
  type Authentication,
  type Feature,
  type GuardFlag,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { validateDocument, type ApiDocument } from './helpers/api-document.js'
import { ARTHUR, backends, buildApp, fastPasswords, SECRET } from './helpers/build-app.js'

const scopeErrors = defineErrors({
  GRAIL_MISSING_SCOPE: { statusCode: 403, message: 'The session lacks a scope. Ask for it at the next login.' },
  GRAIL_STALE: { statusCode: 401, message: 'The login is too long ago. Log in again.' }
})

const scopesFlag: GuardFlag<readonly string[]> = {
  check: (value) =>
    Array.isArray(value) && value.length > 0 && value.every((scope) => typeof scope === 'string')
      ? null
      : 'must be a list of scopes',
  accepts: (_authentication, scopes, { headers }) =>
    scopes.every((scope) => headers['x-scopes']?.includes(scope)) || scopeErrors.FST_USERS_GRAIL_MISSING_SCOPE(),
  scopes: (scopes) => scopes
}

const recentFlag: GuardFlag<number> = {
  check: (value) => (typeof value === 'number' && value > 0 ? null : 'must be a positive number of seconds'),
  accepts: async (_authentication, seconds, { headers }) => Number(headers['x-age'] ?? 0) <= seconds
}

/** Creates a feature without parts. */
const feature = (guardFlags: Record<string, GuardFlag>, name = 'scopes'): Feature => ({
  name,
  errors: scopeErrors.definitions,
  guardFlags,
  setup: () => ({})
})
const features = [feature({ scopes: scopesFlag, recent: recentFlag })]

/** Returns options that TypeScript refuses but JavaScript can pass. */
const anyOptions = (options: object): AuthenticateOptions => options as AuthenticateOptions

const statusAndCode = (reply: LightMyRequestResponse): [number, string] => [
  reply.statusCode,
  reply.statusCode < 400 ? reply.body : reply.json<{ code: string }>().code
]
const MISUSED: [number, string] = [500, 'FST_USERS_GUARD_MISUSED']

t.test('a guard with flags of a feature admits the requests that the flags accept, in each form', async (t) => {
  const options = anyOptions({ scopes: ['grail', 'quest'], recent: 60 })
  const { app, create, bearer } = await buildApp(t, { features }, (app) => {
    app.get('/hook', { preHandler: authenticate(options) }, async ({ user }) => user?.email)
    app.get('/early', { onRequest: authenticate(options) }, async ({ user }) => user?.email)
    app.get('/after', { onRequest: authenticate, preHandler: authenticate(options) }, async ({ user }) => user?.email)
    app.get('/handler', async (request, reply) => (await authenticate(request, reply, options))?.email)
    app.register(async (scope) => {
      scope.addHook('onRequest', authenticate(options))
      scope.get('/scope', async ({ user }) => user?.email)
    })
    app.get('/optional', { preHandler: authenticate({ ...options, optional: true }) }, async (request) => ({
      email: request.user?.email ?? null,
      backend: request.authentication?.backend ?? null
    }))
  })
  await create()
  const session = await bearer(ARTHUR)
  const cases: [headers: Record<string, string>, status: number, code: string | null][] = [
    [{ ...session, 'x-scopes': 'grail quest' }, 200, null],
    [{ ...session, 'x-scopes': 'grail quest', 'x-age': '60' }, 200, null],
    [{ ...session, 'x-scopes': 'grail quest', 'x-age': '61' }, 403, 'FST_USERS_FORBIDDEN'],
    [{ ...session, 'x-scopes': 'grail' }, 403, 'FST_USERS_GRAIL_MISSING_SCOPE'],
    [session, 403, 'FST_USERS_GRAIL_MISSING_SCOPE'],
    [{ 'x-scopes': 'grail quest' }, 401, 'FST_USERS_UNAUTHENTICATED']
  ]
  for (const [headers, status, code] of cases) {
    for (const url of ['/hook', '/early', '/after', '/handler', '/scope']) {
      const reply = await app.inject({ url, headers })
      t.same(statusAndCode(reply), [status, code ?? ARTHUR], `${url} ${JSON.stringify(headers)}`)
    }
    const { statusCode, body } = await app.inject({ url: '/optional', headers })
    const user = code === null ? { email: ARTHUR, backend: 'jwt' } : { email: null, backend: null }
    t.same([statusCode, JSON.parse(body)], [200, user], `optional ${JSON.stringify(headers)}`)
  }
})

t.test('the flags run after those of the plugin, and receive the authentication and the request', async (t) => {
  const seen: [Authentication, unknown, FastifyRequest][] = []
  const spy: GuardFlag = {
    check: () => null,
    accepts (authentication, value, request) {
      seen.push([authentication, value, request])
      t.equal(request.user, null, 'the user is not set before the flags have accepted it')
      return true
    }
  }
  const { app, create, bearer } = await buildApp(t, { features: [feature({ spy })] }, (app) => {
    app.get('/x', { preHandler: authenticate(anyOptions({ spy: 5, verified: true })) }, async ({ user }) => user?.email)
  })
  const user = await create()
  const headers = await bearer(ARTHUR)
  t.equal((await app.inject({ url: '/x', headers })).statusCode, 403)
  t.equal(seen.length, 0)
  await app.users.update(user, { is_verified: true })
  const again = await bearer(ARTHUR)
  t.equal((await app.inject({ url: '/x', headers: again })).body, ARTHUR)
  t.match(seen, [[{ user: { email: ARTHUR }, backend: 'jwt' }, 5, { url: '/x' }]])
})

/** Guards that no registration of this file knows, or with a wrong value. */
const WRONG: Record<string, object> = {
  'an unknown option': { superUser: true },
  'an option in the plural': { backend: ['jwt'] },
  'a mistyped flag of a feature': { scope: ['grail'] },
  'a flag of Object.prototype': { toString: true },
  '__proto__ as a flag': JSON.parse('{ "__proto__": true }'),
  'a text for a list': { scopes: 'grail' },
  'an empty list': { scopes: [] },
  'undefined for a flag of a feature': { scopes: undefined },
  'null for a flag of a feature': { scopes: null },
  'false for a flag of a feature': { recent: false },
  'NaN for a number': { recent: NaN },
  'a known and an unknown flag': { scopes: ['grail'], frehs: 60 },
  'an unknown flag and optional': { optional: true, frehs: 60 }
}

t.test('BR-05: a guard with an unknown flag or a wrong value refuses to start', async (t) => {
  const forms: Record<string, (app: FastifyInstance, options: AuthenticateOptions) => void> = {
    'hook of a route': (app, options) => {
      app.get('/x', { preHandler: [authenticate, authenticate(options)] }, async () => 'secret')
    },
    'hook of a scope': (app, options) => {
      app.register(async (scope) => {
        scope.addHook('onRequest', authenticate(options))
        scope.get('/x', async () => 'secret')
      })
    },
    'hook of a scope within a scope, without routes': (app, options) => {
      app.register(async (scope) => {
        await scope.register(async (inner) => {
          inner.addHook('preHandler', authenticate(options))
        })
      })
    },
    'hook of the application': (app, options) => {
      app.addHook('preValidation', authenticate(options))
    }
  }
  for (const [what, options] of Object.entries(WRONG)) {
    for (const [form, add] of Object.entries(forms)) {
      await t.rejects(
        buildApp(t, { features }, (app) => {
          add(app, anyOptions(options))
        }),
        { code: 'FST_USERS_GUARD_MISUSED', statusCode: 500 },
        `${form}: ${what}`
      )
    }
  }
})

t.test('BR-05: a scope with a guard for an unknown backend refuses to start', async (t) => {
  const start = buildApp(t, {}, (app) => {
    app.register(async (scope) => {
      scope.addHook('onRequest', authenticate({ backends: ['grail'] }))
    })
  })
  await t.rejects(start, { code: 'FST_USERS_UNKNOWN_BACKEND' })
})

t.test('BR-05: if a wrong guard is not detected at startup, every request is refused', async (t) => {
  for (const [what, guardOptions] of Object.entries(WRONG)) {
    const app = Fastify()
    t.teardown(() => app.close())
    let handlerCalls = 0
    const handler = async (): Promise<string> => {
      handlerCalls++
      return 'secret'
    }
    app.get('/before', { preHandler: authenticate(anyOptions(guardOptions)) }, handler) // before the plugin is loaded
    const options = { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords, features }
    await app.register(users, options)
    app.get('/handler', async (request, reply) => {
      await authenticate(request, reply, anyOptions(guardOptions))
      return handler()
    })
    const guard = authenticate(anyOptions(guardOptions))
    app.get('/wrapped', { preHandler: (request, reply, done) => { guard(request, reply, done) } }, handler)
    app.setNotFoundHandler({ preHandler: authenticate(anyOptions(guardOptions)) as never }, handler)
    await app.ready()
    await app.users.create({ email: ARTHUR, password: 'guinevere-1' })
    const row = await app.users.getByEmail(ARTHUR)
    if (row === null) throw new Error('no user')
    const { issued } = await app.users.login(row, { backend: 'jwt' })
    for (const headers of [{}, { authorization: `Bearer ${String(issued?.token)}` }]) {
      for (const url of ['/before', '/handler', '/wrapped', '/missing']) {
        t.same(statusAndCode(await app.inject({ url, headers })), MISUSED, `${url}: ${what}`)
      }
    }
    t.equal(handlerCalls, 0, what)
  }
})

t.test('BR-05: options that hide flags from the checks are refused when the guard is created', async (t) => {
  class Options {
    get scopes (): readonly string[] {
      return ['grail']
    }
  }
  for (const [what, options] of Object.entries({
    'inherited flags': Object.create({ scopes: ['grail'] }),
    'an instance of a class': new Options(),
    'a symbol as a name': { [Symbol('superuser')]: true },
    'a map': new Map([['superuser', true]]),
    'a set': new Set(['superuser']),
    'a promise': Promise.resolve({ superuser: true })
  } as Record<string, object>)) {
    t.throws(() => authenticate(anyOptions(options)), { code: 'FST_USERS_GUARD_MISUSED' }, what)
  }
  const hidden = Object.defineProperty({}, 'scopes', { value: ['grail'] })
  const start = buildApp(t, {}, (app) => {
    app.get('/x', { preHandler: authenticate(anyOptions(hidden)) }, async () => 'secret')
  })
  await t.rejects(start, { code: 'FST_USERS_GUARD_MISUSED' }, 'a property that is not enumerable')
  t.doesNotThrow(() => authenticate(Object.assign(Object.create(null) as object, { verified: true })))
})

t.test('a flag that fails or returns another value than true, false or an error refuses the request', async (t) => {
  const results: Record<string, [accepts: () => unknown, status: number, code: string]> = {
    nothing: [() => undefined, ...MISUSED],
    null: [() => null, ...MISUSED],
    'a text': [() => 'yes', ...MISUSED],
    'a number': [() => 1, ...MISUSED],
    'an object': [() => ({}), ...MISUSED],
    'a promise of a text': [async () => 'yes', ...MISUSED],
    'a promise of false': [async () => false, 403, 'FST_USERS_FORBIDDEN'],
    'an error of the plugin': [() => refuse(402, 'PAY', 'Pay.'), 402, 'FST_USERS_REFUSED'],
    'any other error': [() => new Error('canary'), 500, 'FST_USERS_INTERNAL_ERROR'],
    'a thrown error': [
      () => {
        throw new Error('canary')
      },
      500,
      'FST_USERS_INTERNAL_ERROR'
    ],
    'a thrown error of the plugin': [
      () => {
        throw refuse(402, 'PAY', 'Pay.')
      },
      402,
      'FST_USERS_REFUSED'
    ],
    'a rejected promise': [async () => await Promise.reject(new Error('canary')), 500, 'FST_USERS_INTERNAL_ERROR'],
    'a store that does not answer': [
      async () => await Promise.reject(Object.assign(new Error('canary'), { code: 'ECONNREFUSED' })),
      503,
      'FST_USERS_STORE_UNAVAILABLE'
    ]
  }
  for (const [what, [accepts, status, code]] of Object.entries(results)) {
    const guardFlags = { odd: { check: () => null, accepts } as unknown as GuardFlag }
    let seen: unknown
    const { app, create, bearer } = await buildApp(t, { features: [feature(guardFlags)] }, (app) => {
      app.get('/x', { preHandler: authenticate(anyOptions({ odd: 1 })) }, async () => 'secret')
      app.get('/caught', { preHandler: authenticate }, async (request, reply) => {
        await authenticate(request, reply, anyOptions({ odd: 1 })).catch(() => null)
        seen = [request.user, request.authentication]
      })
    })
    await create()
    const headers = await bearer(ARTHUR)
    const reply = await app.inject({ url: '/x', headers })
    t.same(statusAndCode(reply), [status, code], what)
    t.notMatch(reply.body, 'canary', what)
    await app.inject({ url: '/caught', headers })
    t.same(seen, [null, null], `${what}: a caught refusal leaves no user`)
  }
})

t.test('a check of values that fails or returns no text refuses to start', async (t) => {
  for (const check of [() => undefined, () => true, () => 5, () => ''] as unknown as GuardFlag['check'][]) {
    const flag: GuardFlag = { check, accepts: () => true }
    const start = buildApp(t, { features: [feature({ odd: flag })] }, (app) => {
      app.get('/x', { preHandler: authenticate(anyOptions({ odd: 1 })) }, async () => 'secret')
    })
    await t.rejects(start, { code: 'FST_USERS_GUARD_MISUSED' }, String(check))
  }
})

t.test('invalid definitions of flags refuse to start', async (t) => {
  const flag: GuardFlag = { check: () => null, accepts: () => true }
  const wrong: [what: string, guardFlags: unknown][] = [
    ['a list', [flag]],
    ['a text', 'scopes'],
    ['null', null],
    ['no flag', { scopes: undefined }],
    ['a function', { scopes: () => true }],
    ['no check', { scopes: { accepts: () => true } }],
    ['no accepts', { scopes: { check: () => null } }],
    ['scopes that are a list', { scopes: { ...flag, scopes: ['grail'] } }],
    ['the name of a flag of the plugin', { superuser: flag }],
    ['the name backends', { backends: flag }],
    ['an empty name', { '': flag }],
    ['an upper-case name', { Scopes: flag }],
    ['a name with a space', { 'sco pes': flag }],
    ['__proto__ as a name', Object.fromEntries([['__proto__', flag]])]
  ]
  for (const [what, guardFlags] of wrong) {
    const options = { features: [feature(guardFlags as Record<string, GuardFlag>)] }
    await t.rejects(buildApp(t, options), { code: 'FST_USERS_INVALID_OPTION' }, what)
  }
  const other = { features: [feature({ scopes: flag }), feature({ scopes: scopesFlag }, 'other')] }
  await t.rejects(buildApp(t, other), { code: 'FST_USERS_INVALID_OPTION' }, 'two features define one name differently')
  await buildApp(t, { features: [feature({ scopes: scopesFlag }), feature({ scopes: scopesFlag }, 'other')] })
})

t.test('a guard with a flag is checked for each registration that uses it', async (t) => {
  const guard = authenticate(anyOptions({ scopes: ['grail'] }))
  const with_ = await buildApp(t, { features }, (app) => {
    app.get('/x', { preHandler: guard }, async () => 'secret')
  })
  t.equal((await with_.send('GET', '/x')).statusCode, 401)
  const start = buildApp(t, {}, (app) => {
    app.get('/x', { preHandler: guard }, async () => 'secret')
  })
  await t.rejects(start, { code: 'FST_USERS_GUARD_MISUSED' })
})

t.test('the API document shows the scopes and flags that a route requires', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const options: UsersOptions = {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    openapiSecurity: true,
    features: [feature({ scopes: scopesFlag, recent: recentFlag, odd: { check: () => null, accepts: () => true } })]
  }
  const { openapi, ...transforms } = usersOpenapi(options)
  await app.register(swagger, { openapi: { ...openapi, info: { title: 'Camelot', version: '1' } }, ...transforms } as never)
  await app.register(users, options)
  const routes: [url: string, guards: unknown, security: unknown, flags: unknown][] = [
    ['/open', [], undefined, undefined],
    ['/plain', authenticate, [{ jwt: [] }, { cookie: [] }], undefined],
    ['/verified', authenticate({ verified: true }), [{ jwt: [] }, { cookie: [] }], { verified: true }],
    ['/inactive', authenticate({ active: false }), [{ jwt: [] }, { cookie: [] }], { active: false }],
    [
      '/scopes',
      authenticate(anyOptions({ scopes: ['grail', 'quest'], backends: ['jwt'] })),
      [{ jwt: ['grail', 'quest'] }],
      { scopes: ['grail', 'quest'] }
    ],
    [
      '/both',
      [authenticate(anyOptions({ scopes: ['grail'] })), authenticate(anyOptions({ recent: 60, superuser: true }))],
      [{ jwt: ['grail'] }, { cookie: ['grail'] }],
      { scopes: ['grail'], recent: 60, superuser: true }
    ],
    ['/function', authenticate(anyOptions({ odd: () => 1 })), [{ jwt: [] }, { cookie: [] }], { odd: true }],
    ['/optional', authenticate(anyOptions({ optional: true, recent: 60 })), [{}, { jwt: [] }, { cookie: [] }], undefined]
  ]
  for (const [url, preHandler] of routes) app.get(url, { preHandler: preHandler as never, schema: {} }, async () => 1)
  await app.ready()
  const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
  for (const [url, , security, flags] of routes) {
    const operation = document.paths[url]?.['get'] as Record<string, unknown> | undefined
    t.same([operation?.['security'], operation?.['x-authorization']], [security, flags], url)
  }
  const read = document.paths['/users/{id}']?.['get'] as unknown as Record<string, unknown>
  t.same(read['x-authorization'], { superuser: true }, 'routes of the plugin too')
  t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
})
