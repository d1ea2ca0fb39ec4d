import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  type HTTPMethods,
  type LightMyRequestResponse
} from 'fastify'
import t from 'tap'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  jwtStrategy,
  type AuthenticateOptions,
  type GuardFlags,
  type DatabaseAdapter,
  type User,
  type UsersError
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  ARTHUR,
  PASSWORD,
  SECRET,
  addRoutes,
  backends,
  buildApp,
  fastPasswords,
  type Extend,
  type TestApp
} from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const READS = ['findOne', 'findMany', 'findWithUser']

/** Returns the error of a refused connection. */
const createConnectionError = (): Error =>
  Object.assign(new Error('canary: connection refused at db.internal'), { code: 'ECONNREFUSED' })

/** Creates a memory store that records its reads and can fail, by a thrown error or by a rejected promise. */
function createWatchedStore (): {
  adapter: DatabaseAdapter
  reads: string[]
  fail(how: 'throw' | 'reject' | 'never'): void
} {
  const reads: string[] = []
  let how = 'never'
  const adapter = new Proxy(memory(), {
    get (target, key) {
      const method: unknown = Reflect.get(target, key)
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        if (READS.includes(String(key))) {
          reads.push(String(key))
          if (how === 'throw') throw createConnectionError()
          if (how === 'reject') return Promise.reject(createConnectionError())
        }
        return (method as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  return {
    adapter,
    reads,
    fail (next) {
      how = next
    }
  }
}

/** Creates a session without checking the flags of the user. Returns the request headers. */
async function createSession ({ app }: TestApp, email: string, backend = 'jwt'): Promise<Record<string, string>> {
  const row = await app.users.checkCredentials({ username: email, password: PASSWORD })
  const made = app.users.backends.get(backend)
  if (row === null || made === undefined) throw new Error('no such user or backend')
  const session = { id: 'a', createdAt: new Date(), authenticatedAt: null, methods: [], details: {} }
  const { token } = await made.strategy.writeToken(row, { request: null, stamp: String(row.session_stamp), session })
  return backend === 'cookie' ? { cookie: `__Host-users-cookie=${token}` } : { authorization: `Bearer ${token}` }
}

const statusAndCode = (reply: LightMyRequestResponse): [number, string] => [
  reply.statusCode,
  reply.statusCode < 400 ? reply.body : reply.json<{ code: string }>().code
]
const UNAUTHENTICATED: [number, string] = [401, 'FST_USERS_UNAUTHENTICATED']
const FORBIDDEN: [number, string] = [403, 'FST_USERS_FORBIDDEN']
const CROSS_SITE: [number, string] = [403, 'FST_USERS_CROSS_SITE_REQUEST']

t.test('rows 30, 31: each form of the guard admits a user with a session and refuses other requests', async (t) => {
  const forms: Record<string, (app: FastifyInstance, handler: () => void) => void> = {}
  for (const stage of ['onRequest', 'preValidation', 'preHandler'] as const) {
    forms[`${stage}: authenticate`] = (app, handler) => {
      app.get('/x', { [stage]: authenticate }, async (request) => {
        handler()
        return currentUser(request)
      })
    }
    forms[`${stage}: authenticate()`] = (app, handler) => {
      app.get('/x', { [stage]: authenticate() }, async (request) => {
        handler()
        return currentUser(request)
      })
    }
  }
  const hooks: Record<string, (app: FastifyInstance) => object> = {
    'preHandler: app.authenticate': (app) => ({ preHandler: app.authenticate }),
    'preHandler: app.authenticate()': (app) => ({ preHandler: app.authenticate() }),
    'preHandler: authenticate({})': () => ({ preHandler: authenticate({}) }),
    'preHandler: authenticate({ active: true })': () => ({ preHandler: authenticate({ active: true }) }),
    'preHandler: a list with another hook': () => ({ preHandler: [authenticate, async () => {}] }),
    'onRequest: two guards': () => ({ onRequest: [authenticate, authenticate({ verified: false })] })
  }
  for (const [form, optionsOf] of Object.entries(hooks)) {
    forms[form] = (app, handler) => {
      app.get('/x', optionsOf(app), async (request) => {
        handler()
        return currentUser(request)
      })
    }
  }
  forms['addHook in a scope with a prefix'] = (app, handler) => {
    app.register(
      async (scope) => {
        scope.addHook('onRequest', authenticate)
        scope.get('/', async (request) => {
          handler()
          return currentUser(request)
        })
      },
      { prefix: '/x' }
    )
  }
  forms['addHook of the decorator in a grandchild scope'] = (app, handler) => {
    app.register(
      async (scope) => {
        await scope.register(async (inner) => {
          inner.addHook('preHandler', inner.authenticate({ active: true }))
          inner.get('/', async (request) => {
            handler()
            return currentUser(request)
          })
        })
      },
      { prefix: '/x' }
    )
  }
  forms['await authenticate(request, reply) in a handler'] = (app, handler) => {
    app.get('/x', async (request, reply) => {
      const user = await authenticate(request, reply)
      handler()
      return user
    })
  }
  forms['await app.authenticate(request, reply, options) in a handler'] = (app, handler) => {
    app.get('/x', async (request, reply) => {
      const user = await app.authenticate(request, reply, { active: true })
      handler()
      return user
    })
  }
  forms['an async hook of the application around it'] = (app, handler) => {
    app.get(
      '/x',
      {
        preHandler: async (request, reply) => {
          await authenticate(request, reply, {})
        }
      },
      async (request) => {
        handler()
        return currentUser(request)
      }
    )
  }

  for (const [form, add] of Object.entries(forms)) {
    t.test(form, async (t) => {
      let handlerCalls = 0
      const built = await buildApp(t, {}, (app) => {
        add(app, () => {
          handlerCalls++
        })
      })
      await built.register()
      const url = form.includes('scope') ? '/x/' : '/x'
      t.same(statusAndCode(await built.send('GET', url)), UNAUTHENTICATED)
      t.same(
        statusAndCode(await built.send('GET', url, undefined, { authorization: 'Bearer no.such.token' })),
        UNAUTHENTICATED
      )
      t.equal(handlerCalls, 0, 'the handler does not run')
      const reply = await built.send('GET', url, undefined, await built.bearer(ARTHUR))
      t.equal(reply.statusCode, 200)
      t.equal(reply.json<User>().email, ARTHUR)
      t.equal(handlerCalls, 1)
    })
  }
})

t.test(
  'the guard works on routes that are declared before the plugin is loaded, and in child scopes',
  async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    // The registration is not awaited.
    app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
    app.get('/early', { preHandler: authenticate }, async (request) => currentUser(request))
    app.register(async (scope) => {
      scope.get('/child', { preHandler: authenticate() }, async (request) => currentUser(request))
    })
    await app.ready()
    await app.users.create({ email: ARTHUR, password: PASSWORD })
    const login = await app.inject({
      method: 'POST',
      url: '/auth/jwt/login',
      payload: { username: ARTHUR, password: PASSWORD }
    })
    const headers = { authorization: `Bearer ${login.json<{ access_token: string }>().access_token}` }
    for (const url of ['/early', '/child']) {
      t.same(statusAndCode(await app.inject(url)), UNAUTHENTICATED)
      t.equal((await app.inject({ url, headers })).statusCode, 200)
    }
  }
)

t.test('outside of the scope of the plugin, the guard replies 500 and the handler does not run', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  let handlerCalls = 0
  const handler = async (): Promise<string> => {
    handlerCalls++
    return 'secret'
  }
  await app.register(async (scope) => {
    await scope.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
    scope.get('/inside', { preHandler: authenticate }, handler)
  })
  app.get('/above', { preHandler: authenticate }, handler)
  app.get('/optional', { onRequest: authenticate({ optional: true }) }, handler)
  app.get('/handler', async (request, reply) => {
    await authenticate(request, reply, { optional: true })
    return handler()
  })
  app.register(async (scope) => {
    scope.get('/sibling', { preHandler: authenticate }, handler)
  })
  await app.ready()
  for (const url of ['/above', '/optional', '/handler', '/sibling']) {
    t.same(statusAndCode(await app.inject(url)), [500, 'FST_USERS_NOT_REGISTERED'], url)
  }
  t.same(statusAndCode(await app.inject('/inside')), UNAUTHENTICATED)
  t.equal(handlerCalls, 0)
})

t.test('rows 30, 31, 32, 33, 34: each combination of guard options and user flags has its result', async (t) => {
  const flags = [false, true]
  const options: Required<Omit<AuthenticateOptions, 'backends' | 'fresh' | 'methods' | keyof GuardFlags>>[] = flags.flatMap((optional) =>
    flags.flatMap((active) =>
      flags.flatMap((verified) =>
        flags.map((superuser) => ({ optional, active, verified, superuser, cached: superuser }))
      )
    )
  )
  const urlOf = (form: string, guardOptions: object): string =>
    `/${form}/${JSON.stringify(guardOptions).replaceAll(/[^a-z]/g, '')}`
  const built = await buildApp(t, {}, (app) => {
    for (const guardOptions of options) {
      const preHandler = authenticate(guardOptions)
      app.get(urlOf('hook', guardOptions), { preHandler }, async ({ user, authentication }) => ({
        email: user?.email ?? null,
        backend: authentication?.backend ?? null
      }))
      app.get(urlOf('handler', guardOptions), async (request, reply) => {
        const user = await app.authenticate(request, reply, guardOptions)
        return { email: user?.email ?? null, backend: request.authentication?.backend ?? null }
      })
    }
  })
  const flagCombinations = flags.flatMap((is_active) =>
    flags.flatMap((is_verified) => flags.map((is_superuser) => ({ is_active, is_verified, is_superuser })))
  )
  for (const [i, userFlags] of flagCombinations.entries()) {
    const email = `knight${i}@camelot.bt`
    await built.create({ email, ...userFlags })
    const headers = await createSession(built, email)
    for (const guardOptions of options) {
      const status =
        guardOptions.active && !userFlags.is_active
          ? 401
          : (guardOptions.verified && !userFlags.is_verified) || (guardOptions.superuser && !userFlags.is_superuser)
              ? 403
              : 200
      for (const form of ['hook', 'handler']) {
        const reply = await built.send('GET', urlOf(form, guardOptions), undefined, headers)
        const about = `${form} ${JSON.stringify(userFlags)} ${JSON.stringify(guardOptions)}`
        t.equal(reply.statusCode, guardOptions.optional ? 200 : status, about)
        if (reply.statusCode === 200) {
          t.same(reply.json(), status === 200 ? { email, backend: 'jwt' } : { email: null, backend: null }, about)
        } else t.same(statusAndCode(reply), status === 401 ? UNAUTHENTICATED : FORBIDDEN, about)
      }
    }
  }
})

t.test('row 34, BR-04: with an optional guard, request.user is null after a failure and the user otherwise', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async ({ user, authentication }) => ({
      user,
      authentication
    }))
  })
  await built.create()
  const gone = await built.create({ email: LANCELOT })
  const goneHeaders = await built.bearer(LANCELOT)
  await built.app.users.delete(gone)
  const good = await built.bearer(ARTHUR)
  const failures: Record<string, Record<string, string>> = {
    'no credential': {},
    'a bad token': { authorization: 'Bearer nonsense' },
    'another scheme': { authorization: 'Basic YTpi' },
    'a bad cookie': { cookie: '__Host-users-cookie=nonsense' },
    'a removed user': goneHeaders,
    'an altered token': { authorization: `${good.authorization}x` }
  }
  for (const [failure, headers] of Object.entries(failures)) {
    const reply = await built.send('GET', '/optional', undefined, headers)
    t.same([reply.statusCode, reply.json()], [200, { user: null, authentication: null }], failure)
  }
  t.equal((await built.send('GET', '/optional', undefined, good)).json<{ user: User }>().user.email, ARTHUR)
})

t.test('BR-05: a guard with invalid arguments throws when it is created, so that no route is left open', async (t) => {
  const call = authenticate as (...args: unknown[]) => unknown
  const { app } = await buildApp(t)
  const request = { raw: {}, headers: {}, server: app }
  const wrong: Record<string, unknown[]> = {
    'a request without a reply': [request],
    'a request and something else': [request, {}],
    'text for a flag': [{ superuser: 'true' }],
    'a number for a flag': [{ active: 1 }],
    'null for a flag': [{ verified: null }],
    'undefined for a flag': [{ optional: undefined }],
    'a list for the options': [[]],
    'text for the options': ['superuser'],
    'null for the options': [null],
    'text for backends': [{ backends: 'jwt' }],
    'an empty list of backends': [{ backends: [] }],
    'a list with a number': [{ backends: [1] }],
    'a function for the options': [() => true]
  }
  for (const [what, args] of Object.entries(wrong)) {
    t.throws(() => call(...args), { code: 'FST_USERS_GUARD_MISUSED', statusCode: 500 }, what)
  }
})

t.test('a guard call with invalid arguments replies 500 and the handler does not run', async (t) => {
  const call = authenticate as (...args: unknown[]) => Promise<unknown>
  let handlerCalls = 0
  const handler = async (): Promise<string> => {
    handlerCalls++
    return 'secret'
  }
  const invalidCalls: Record<string, [object, string]> = {
    '/no-reply': [
      {
        preHandler: async (request: unknown) => {
          await call(request)
        }
      },
      'FST_USERS_GUARD_MISUSED'
    ],
    '/unknown-option': [
      {
        preHandler: async (request: unknown, reply: unknown) => {
          await call(request, reply, { superUser: true })
        }
      },
      'FST_USERS_GUARD_MISUSED'
    ],
    '/wrong-type': [
      {
        preHandler: async (request: unknown, reply: unknown) => {
          await call(request, reply, { superuser: 'yes' })
        }
      },
      'FST_USERS_GUARD_MISUSED'
    ],
    '/unknown-backend': [
      {
        preHandler: async (request: unknown, reply: unknown) => {
          await call(request, reply, { backends: ['nope'] })
        }
      },
      'FST_USERS_UNKNOWN_BACKEND'
    ],
    '/unknown-beside-known': [
      {
        preHandler: async (request: unknown, reply: unknown) => {
          await call(request, reply, { backends: ['jwt', 'nope'], optional: true })
        }
      },
      'FST_USERS_UNKNOWN_BACKEND'
    ],
    '/function-unknown': [
      { preHandler: authenticate({ optional: true, backends: () => ['nope'] }) },
      'FST_USERS_UNKNOWN_BACKEND'
    ],
    '/async-function-unknown': [
      { preHandler: authenticate({ backends: async () => ['jwt', 'nope'] }) },
      'FST_USERS_UNKNOWN_BACKEND'
    ]
  }
  for (const [name, value] of Object.entries({ nothing: undefined, null: null, text: 'jwt', object: {}, number: 1 })) {
    invalidCalls[`/function-gives-${name}`] = [
      { preHandler: authenticate({ optional: true, backends: () => value as never }) },
      'FST_USERS_GUARD_MISUSED'
    ]
    invalidCalls[`/promise-of-${name}`] = [
      { preHandler: authenticate({ backends: async () => value as never }) },
      'FST_USERS_GUARD_MISUSED'
    ]
  }
  const built = await buildApp(t, {}, (app) => {
    for (const [url, [options]] of Object.entries(invalidCalls)) app.get(url, options, handler)
  })
  await built.create()
  const headers = await built.bearer(ARTHUR)
  for (const [url, [, code]] of Object.entries(invalidCalls)) {
    t.same(statusAndCode(await built.send('GET', url, undefined, headers)), [500, code], url)
  }
  t.equal(handlerCalls, 0)
})

t.test('a guard in the wrong hook of a route never admits a request', async (t) => {
  let handlerCalls = 0
  for (const guard of [authenticate, authenticate({})] as unknown[]) {
    const built = await buildApp(t, {}, (app) => {
      app.get('/x', { preParsing: guard } as object, async () => {
        handlerCalls++
        return 'secret'
      })
    })
    const reply = await built.send('GET', '/x')
    t.ok(reply.statusCode >= 400, String(reply.statusCode))
  }
  t.equal(handlerCalls, 0)
})

t.test('a route whose guard names an unknown backend is refused at registration', async (t) => {
  for (const stage of ['onRequest', 'preValidation', 'preHandler'] as const) {
    for (const hook of [
      authenticate({ backends: ['nope'] }),
      [authenticate, authenticate({ backends: ['jwt', 'nope'] })]
    ]) {
      await t.rejects(
        buildApp(t, {}, (app) => {
          app.get('/x', { [stage]: hook }, async () => 'secret')
        }),
        { code: 'FST_USERS_UNKNOWN_BACKEND' }
      )
    }
  }
  await t.resolves(
    buildApp(t, {}, (app) => {
      app.get('/x', { preHandler: authenticate({ backends: ['jwt', 'cookie'] }) }, async () => 'ok')
    })
  )
})

t.test('row 29: a list, a function or an async function selects the backends of a request', async (t) => {
  const choose = ({ query }: { query: unknown }): string[] =>
    String((query as { use?: string }).use)
      .split(',')
      .filter((name) => name !== 'none')
  const seen: unknown[] = []
  const built = await buildApp(t, {}, (app) => {
    app.get(
      '/list',
      { preHandler: authenticate({ backends: ['cookie'] }) },
      async ({ authentication }) => authentication
    )
    app.get(
      '/function',
      {
        preHandler: authenticate({
          backends: (request) => {
            seen.push(request.url)
            return choose(request)
          }
        })
      },
      async ({ authentication }) => authentication
    )
    app.get(
      '/async',
      { preHandler: authenticate({ backends: async (request) => choose(request) }) },
      async ({ authentication }) => authentication
    )
    app.get('/handler', async (request, reply) => {
      await authenticate(request, reply, { backends: choose })
      return request.authentication
    })
  })
  await built.create()
  const both = { ...(await built.bearer(ARTHUR)), ...(await built.cookie(ARTHUR)) }
  const { authorization, cookie } = both
  t.equal((await built.send('GET', '/list', undefined, both)).json<{ backend: string }>().backend, 'cookie')
  t.same(statusAndCode(await built.send('GET', '/list', undefined, { authorization })), UNAUTHENTICATED)
  for (const url of ['/function', '/async', '/handler']) {
    t.equal(
      (await built.send('GET', `${url}?use=cookie`, undefined, both)).json<{ backend: string }>().backend,
      'cookie'
    )
    t.equal((await built.send('GET', `${url}?use=jwt`, undefined, both)).json<{ backend: string }>().backend, 'jwt')
    t.equal(
      (await built.send('GET', `${url}?use=cookie,jwt`, undefined, both)).json<{ backend: string }>().backend,
      'jwt',
      "the order of the plugin's option applies"
    )
    t.same(statusAndCode(await built.send('GET', `${url}?use=cookie`, undefined, { authorization })), UNAUTHENTICATED)
    t.same(statusAndCode(await built.send('GET', `${url}?use=jwt`, undefined, { cookie })), UNAUTHENTICATED)
    t.same(statusAndCode(await built.send('GET', `${url}?use=none`, undefined, both)), UNAUTHENTICATED)
  }
  t.same(seen[0], '/function?use=cookie', 'the function gets the request')
})

t.test('a guard with one backend is not bypassed by an earlier guard with all backends', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.get(
      '/x',
      { onRequest: authenticate, preHandler: authenticate({ backends: ['cookie'] }) },
      async ({ authentication }) => authentication
    )
  })
  await built.create()
  t.same(statusAndCode(await built.send('GET', '/x', undefined, await built.bearer(ARTHUR))), UNAUTHENTICATED)
  t.equal(
    (await built.send('GET', '/x', undefined, await built.cookie(ARTHUR))).json<{ backend: string }>().backend,
    'cookie'
  )
})

t.test('rows 26, 27: the first backend that identifies a user is used, even if the user is inactive', async (t) => {
  const built = await buildApp(t)
  await built.create()
  await built.create({ email: LANCELOT })
  const inactive = 'mordred@camelot.bt'
  await built.create({ email: inactive, is_active: false })
  const arthur = await built.bearer(ARTHUR)
  const { cookie } = await built.cookie(LANCELOT)
  const identify = async (headers: Record<string, string>): Promise<unknown> => {
    const reply = await built.send('GET', '/guarded', undefined, headers)
    return reply.statusCode === 200 ? reply.json<{ user: User }>().user.email : reply.statusCode
  }
  t.equal(await identify({ ...arthur, cookie }), ARTHUR, 'the bearer backend is the first')
  for (const authorization of [
    'Bearer nonsense',
    'Bearer',
    'Bearer ',
    'Basic YTpi',
    'Bearer a.b.c',
    'Bearer  two',
    ''
  ]) {
    t.equal(await identify({ authorization, cookie }), LANCELOT, authorization)
  }
  t.equal(
    await identify({ ...(await createSession(built, inactive)), cookie }),
    401,
    'no backend is tried after an inactive user'
  )
})

t.test('row 35: request.authentication has user, token and backend, and the user has no password hash', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.get('/x', { preHandler: authenticate }, async ({ user, authentication }) => ({
      same: user === authentication?.user,
      keys: Object.keys(user ?? {}).sort(),
      authentication: { ...authentication, token: authentication?.token }
    }))
    app.get('/open', async ({ user, authentication }) => ({ user, authentication }))
  })
  const arthur = await built.create()
  const bearer = await built.bearer(ARTHUR)
  const cookie = await built.cookie(ARTHUR)
  const keys = ['email', 'id', 'is_active', 'is_superuser', 'is_verified']
  t.same((await built.send('GET', '/x', undefined, bearer)).json(), {
    same: true,
    keys,
    authentication: { user: arthur, token: bearer.authorization.slice(7), backend: 'jwt' }
  })
  t.same((await built.send('GET', '/x', undefined, cookie)).json(), {
    same: true,
    keys,
    authentication: { user: arthur, token: cookie.cookie.split('=')[1], backend: 'cookie' }
  })
  t.same((await built.send('GET', '/open', undefined, bearer)).json(), { user: null, authentication: null })
})

t.test('currentUser throws a 401 if no guard has identified a user', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.get('/forgotten', async (request) => currentUser(request))
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async (request) => currentUser(request))
  })
  for (const url of ['/forgotten', '/optional']) t.same(statusAndCode(await built.send('GET', url)), UNAUTHENTICATED)
})

t.test(
  "errors of the guard reach the application's error handler with statusCode, code, detail and headers",
  async (t) => {
    const seen: unknown[] = []
    const built = await buildApp(t, {}, (app) => {
      app.setErrorHandler((error, _request, reply) => {
        const { statusCode, code, detail, headers, message, stack, name } = error as UsersError
        t.ok(error instanceof Error)
        t.equal(stack, `${name}: ${message}`, 'the refusal of a request needs no stack trace')
        t.notOk(Object.keys(error as object).includes('stack'))
        seen.push({ statusCode, code, detail, headers })
        return reply.code(418).send({ own: true })
      })
      addRoutes(app)
      app.get('/admin', { preHandler: authenticate({ superuser: true }) }, async () => 'secret')
    })
    await built.create()
    const bearer = await built.bearer(ARTHUR)
    const cookie = await built.cookie(ARTHUR)
    const requests = [
      await built.send('GET', '/guarded'),
      await built.send('GET', '/admin', undefined, bearer),
      await built.send('POST', '/guarded', {}, { ...cookie, origin: 'https://evil.example' })
    ]
    for (const reply of requests) t.same([reply.statusCode, reply.json()], [418, { own: true }])
    t.same(seen, [
      {
        statusCode: 401,
        code: 'FST_USERS_UNAUTHENTICATED',
        detail: 'Unauthorized',
        headers: { 'www-authenticate': 'Bearer' }
      },
      { statusCode: 403, code: 'FST_USERS_FORBIDDEN', detail: 'Forbidden', headers: undefined },
      { statusCode: 403, code: 'FST_USERS_CROSS_SITE_REQUEST', detail: 'Forbidden', headers: undefined }
    ])
    const own = await built.send('GET', '/users/me')
    t.same(
      [...statusAndCode(own), own.headers['www-authenticate']],
      [...UNAUTHENTICATED, 'Bearer'],
      'the routes of the plugin keep their error handler'
    )
  }
)

t.test(
  'BR-02: a 401 of the guard has WWW-Authenticate with the default error handler of Fastify',
  async (t) => {
    const built = await buildApp(t)
    const reply = await built.send('GET', '/guarded')
    t.same([...statusAndCode(reply), reply.headers['www-authenticate']], [...UNAUTHENTICATED, 'Bearer'])
    const [, cookie] = backends()
    const cookieOnly = await buildApp(t, { backends: cookie === undefined ? [] : [cookie] })
    t.equal(
      (await cookieOnly.send('GET', '/guarded')).headers['www-authenticate'],
      'Cookie',
      'without a bearer backend the challenge is Cookie'
    )
  }
)

t.test(
  'a guarded request reads the store once, with a JWT or a stored token, even with several guards',
  async (t) => {
    const { adapter, reads } = createWatchedStore()
    const built = await buildApp(t, { adapter }, (app) => {
      app.get('/one', { preHandler: authenticate }, async (request) => currentUser(request))
      app.register(async (scope) => {
        scope.addHook('onRequest', authenticate({ optional: true }))
        scope.addHook('preHandler', authenticate)
        scope.get(
          '/many',
          { preHandler: authenticate({ verified: true }) },
          async (request, reply) => await authenticate(request, reply, { superuser: true })
        )
      })
    })
    await built.create({ is_verified: true, is_superuser: true })
    const sessions: Record<string, Record<string, string>> = {
      findOne: await built.bearer(ARTHUR),
      findWithUser: await built.cookie(ARTHUR)
    }
    for (const [read, headers] of Object.entries(sessions)) {
      for (const url of ['/one', '/many']) {
        reads.length = 0
        t.equal((await built.send('GET', url, undefined, headers)).statusCode, 200)
        t.same(reads, [read], `${url} reads once`)
      }
    }
    reads.length = 0
    for (const headers of [{}, { authorization: 'Bearer nonsense' }, { cookie: '__Host-users-cookie=short' }]) {
      await built.send('GET', '/one', undefined, headers)
    }
    t.same(reads, [], 'text that cannot be a token is not looked up')
  }
)

t.test('each guard of a request applies its own options', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.get('/x', { onRequest: authenticate({ active: false }), preHandler: authenticate }, async () => 'secret')
    app.get('/y', { onRequest: authenticate, preHandler: authenticate({ superuser: true }) }, async () => 'secret')
    app.get(
      '/z',
      { onRequest: authenticate, preHandler: authenticate({ superuser: true, optional: true }) },
      async ({ user }) => ({ user })
    )
  })
  await built.create({ is_active: false })
  await built.create({ email: LANCELOT })
  t.same(statusAndCode(await built.send('GET', '/x', undefined, await createSession(built, ARTHUR))), UNAUTHENTICATED)
  const lancelot = await built.bearer(LANCELOT)
  t.same(statusAndCode(await built.send('GET', '/y', undefined, lancelot)), FORBIDDEN)
  t.same((await built.send('GET', '/z', undefined, lancelot)).json(), { user: null })
})

t.test('BR-03, DEP-01: a failing store is a 503 with Retry-After, never a 401 or an anonymous request', async (t) => {
  const { adapter, fail } = createWatchedStore()
  const built = await buildApp(t, { adapter }, (app) => {
    addRoutes(app)
    app.get('/optional', { preHandler: authenticate({ optional: true }) }, async () => 'secret')
    app.get('/handler', async (request, reply) => {
      await authenticate(request, reply, { optional: true })
      return 'secret'
    })
  })
  await built.create()
  const sessions = [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]
  for (const how of ['throw', 'reject'] as const) {
    fail(how)
    for (const headers of sessions) {
      for (const url of ['/guarded', '/optional', '/handler', '/users/me']) {
        const reply = await built.send('GET', url, undefined, headers)
        t.same(
          [...statusAndCode(reply), reply.headers['retry-after']],
          [503, 'FST_USERS_STORE_UNAVAILABLE', '1'],
          `${how} ${url}`
        )
        t.notMatch(reply.body, 'canary')
      }
    }
  }
  fail('never')
  for (const headers of sessions) {
    t.equal(
      (await built.send('GET', '/guarded', undefined, headers)).statusCode,
      200,
      'the guard works again when the store does'
    )
  }
})

t.test('BR-03: a bug in a strategy, transport or backends function is a 500, never an anonymous request', async (t) => {
  const fault = new Error('canary: strategy')
  const faults: Record<string, () => unknown> = {
    'throws an error': () => {
      throw fault
    },
    'rejects with an error': () => Promise.reject(fault),
    'rejects with nothing': () => Promise.reject(), // eslint-disable-line prefer-promise-reject-errors
    'throws an error with a status': () => {
      throw Object.assign(new Error('canary'), { statusCode: 200 })
    },
    'returns undefined': () => undefined
  }
  const stub = { writeToken: () => ({ token: 'x', lifetimeSeconds: 1 }) }
  for (const [what, fail] of Object.entries(faults)) {
    const strategy = defineStrategy({ name: 'broken', setup: () => ({ ...stub, readToken: () => fail() as null }) })
    const built = await buildApp(
      t,
      { backends: [{ name: 'broken', transport: bearerTransport(), strategy }, ...backends()] },
      (app) => {
        addRoutes(app)
        app.get('/optional', { preHandler: authenticate({ optional: true }) }, async () => 'secret')
      }
    )
    for (const url of ['/guarded', '/optional', '/users/me']) {
      const reply = await built.send('GET', url, undefined, { authorization: 'Bearer any' })
      t.same(
        [...statusAndCode(reply), reply.headers['retry-after']],
        [500, 'FST_USERS_INTERNAL_ERROR', undefined],
        `a strategy that ${what}: ${url}`
      )
      t.notMatch(reply.body, 'canary')
      t.same(
        statusAndCode(await built.send('GET', '/guarded')),
        UNAUTHENTICATED,
        'a request without a token does not reach the strategy'
      )
    }
  }
  const transport = defineTransport({
    name: 'broken',
    describe: () => ({ scheme: {}, login: {}, logout: {} }),
    setup: () => ({
      ambient: false,
      extractToken () {
        throw fault
      },
      sendLogin: (reply) => reply
    })
  })
  const built = await buildApp(
    t,
    { backends: [...backends(), { name: 'broken', transport, strategy: jwtStrategy({ lifetimeSeconds: 1 }) }] },
    (app) => {
      addRoutes(app)
      app.get('/optional', { preHandler: authenticate({ optional: true }) }, async () => 'secret')
      app.get(
        '/chosen',
        {
          preHandler: authenticate({
            optional: true,
            backends () {
              throw fault
            }
          })
        },
        async () => 'secret'
      )
      app.get(
        '/chosen-async',
        { preHandler: authenticate({ optional: true, backends: () => Promise.reject(fault) }) },
        async () => 'secret'
      )
    }
  )
  for (const url of ['/guarded', '/optional', '/users/me', '/chosen', '/chosen-async']) {
    t.same(statusAndCode(await built.send('GET', url)), [500, 'FST_USERS_INTERNAL_ERROR'], url)
  }
})

t.test('the guard works over an HTTP/2 connection', async (t) => {
  const built = await buildApp(t, {}, addRoutes, { http2: true } as FastifyServerOptions)
  await built.create()
  await built.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = built.app.server.address() as AddressInfo
  const client = http2.connect(`http://127.0.0.1:${port}`)
  const send = async (
    headers: http2.OutgoingHttpHeaders,
    body = ''
  ): Promise<{ status: number; headers: http2.IncomingHttpHeaders; body: string }> =>
    await new Promise((resolve, reject) => {
      const stream = client.request(headers, { endStream: body === '' })
      let text = ''
      let got: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {}
      stream
        .setEncoding('utf8')
        .on('response', (received) => {
          got = received
        })
        .on('data', (chunk: string) => {
          text += chunk
        })
        .on('end', () => {
          resolve({ status: Number(got[':status']), headers: got, body: text })
        })
        .on('error', reject)
      if (body !== '') stream.end(body)
    })
  t.teardown(() => {
    client.close()
  })

  const form = new URLSearchParams({ username: ARTHUR, password: PASSWORD }).toString()
  const login = await send(
    { ':method': 'POST', ':path': '/auth/jwt/login', 'content-type': 'application/x-www-form-urlencoded' },
    form
  )
  t.equal(login.status, 200)
  const authorization = `Bearer ${(JSON.parse(login.body) as { access_token: string }).access_token}`
  const cookieLogin = await send(
    { ':method': 'POST', ':path': '/auth/cookie/login', 'content-type': 'application/x-www-form-urlencoded' },
    form
  )
  t.equal(cookieLogin.status, 204)
  const cookie = String(cookieLogin.headers['set-cookie']?.[0]).split(';')[0]

  t.equal((await send({ ':path': '/guarded' })).status, 401)
  t.equal((await send({ ':path': '/guarded', authorization })).status, 200)
  t.equal((await send({ ':path': '/guarded', authorization: 'Bearer nonsense' })).status, 401)
  t.equal((await send({ ':path': '/guarded', cookie })).status, 200)
  const post = { ':method': 'POST', ':path': '/guarded', cookie }
  t.equal((await send(post)).status, 200)
  t.equal(
    (await send({ ...post, origin: `http://127.0.0.1:${port}` })).status,
    200,
    'the host is taken from :authority'
  )
  t.equal((await send({ ...post, origin: 'https://evil.example' })).status, 403)
  t.equal((await send({ ...post, ':authority': 'app.example', origin: 'https://app.example' })).status, 200)
  t.equal(
    (await send({ ...post, ':authority': 'app.example', origin: 'http://app.example' })).status,
    403,
    'http is refused for a Secure cookie'
  )
  const twoHosts = await send({
    ...post,
    ':authority': 'app.example',
    host: 'evil.example',
    origin: 'https://evil.example'
  }).catch(() => ({ status: 403 }))
  t.not(twoHosts.status, 200, ':authority takes precedence over Host')
})

t.test('a WebSocket upgrade with a cookie from another site is refused, although it is a GET', async (t) => {
  const built = await buildApp(t, { publicUrl: 'https://app.example' })
  await built.create()
  const cookie = await built.cookie(ARTHUR)
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
  }
  const foreign = { origin: 'https://evil.example' }
  t.same(
    statusAndCode(await built.send('GET', '/guarded', undefined, { ...cookie, ...upgrade, ...foreign })),
    CROSS_SITE
  )
  t.equal(
    (await built.send('GET', '/guarded', undefined, { ...cookie, ...upgrade, origin: 'https://app.example' }))
      .statusCode,
    200
  )
  t.equal(
    (await built.send('GET', '/guarded', undefined, { ...cookie, ...foreign })).statusCode,
    200,
    'a GET without an upgrade is not checked'
  )
  t.equal(
    (await built.send('GET', '/guarded', undefined, { ...(await built.bearer(ARTHUR)), ...upgrade, ...foreign }))
      .statusCode,
    200,
    'a bearer token is not checked'
  )
})

const HOST = 'app.example'
/** Headers, whether they pass with `publicUrl` and a trusted origin, and whether they pass without these options. */
const combinations: [Record<string, string>, boolean, boolean][] = [
  [{}, true, true],
  [{ 'sec-fetch-site': 'same-origin' }, true, true],
  [{ 'sec-fetch-site': 'none' }, true, true],
  [{ 'sec-fetch-site': 'none', origin: 'https://app.example' }, true, true],
  [{ 'sec-fetch-site': 'none', origin: 'https://admin.example:8443' }, true, false],
  [{ 'sec-fetch-site': 'none', origin: 'https://evil.example' }, false, false],
  [{ 'sec-fetch-site': 'none', origin: 'http://app.example' }, false, false],
  [{ 'sec-fetch-site': 'none', origin: 'null' }, false, false],
  [{ 'sec-fetch-site': 'none', origin: '' }, false, false],
  [{ 'sec-fetch-site': 'same-site' }, false, false],
  [{ 'sec-fetch-site': 'cross-site' }, false, false],
  [{ 'sec-fetch-site': '' }, false, false],
  [{ 'sec-fetch-site': 'Same-Origin' }, false, false],
  [{ 'sec-fetch-site': 'same-origin, cross-site' }, false, false],
  [{ 'sec-fetch-site': 'cross-site', origin: 'https://app.example' }, false, false],
  [{ 'sec-fetch-site': 'same-site', origin: 'https://app.example' }, false, false],
  [{ 'sec-fetch-site': 'same-origin', origin: 'https://app.example' }, true, true],
  [{ 'sec-fetch-site': 'cross-site', origin: 'https://admin.example:8443' }, true, false],
  [{ 'sec-fetch-site': 'cross-site', origin: 'null' }, false, false],
  [{ origin: 'https://app.example' }, true, true],
  [{ origin: 'http://app.example' }, false, false],
  [{ origin: 'http://app.example:80' }, false, false],
  [{ origin: 'https://admin.example:8443' }, true, false],
  [{ origin: 'https://admin.example' }, false, false],
  [{ origin: 'https://admin.example:8443/' }, false, false],
  [{ origin: 'https://app.example:444' }, false, false],
  [{ origin: 'https://app.example.evil' }, false, false],
  [{ origin: 'https://evil-app.example' }, false, false],
  [{ origin: 'https://app.example@evil.example' }, false, false],
  [{ origin: 'https://evil.example/https://app.example' }, false, false],
  [{ origin: 'https://app.example/' }, false, false],
  [{ origin: 'https://app.example https://evil.example' }, false, false],
  [{ origin: 'HTTPS://APP.EXAMPLE' }, false, false],
  [{ origin: 'https://evil.example' }, false, false],
  [{ origin: 'app.example' }, false, false],
  [{ origin: 'null' }, false, false],
  [{ origin: '' }, false, false],
  [{ origin: 'file://' }, false, false],
  [
    { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' },
    false,
    false
  ],
  [{ origin: 'https://evil.example', referer: 'https://app.example/' }, false, false]
]

t.test(
  'CSRF-01, CSRF-05, CSRF-08: cookie requests with unsafe methods are checked on all routes',
  async (t) => {
    const methods: HTTPMethods[] = ['POST', 'PUT', 'PATCH', 'DELETE']
    const extend: Extend = (app) => {
      app.route({ method: [...methods, 'GET'], url: '/x', preHandler: authenticate, handler: async () => 'done' })
      app.route({
        method: methods,
        url: '/optional',
        preHandler: authenticate({ optional: true }),
        handler: async ({ user }) => ({ anonymous: user === null })
      })
    }
    const configured = await buildApp(
      t,
      { publicUrl: 'https://app.example/base', trustedOrigins: ['https://admin.example:8443'] },
      extend
    )
    const plain = await buildApp(t, {}, extend)
    for (const built of [configured, plain]) {
      const { id } = await built.create({ is_superuser: true })
      const { authorization } = await built.bearer(ARTHUR)
      for (const [headers, whenConfigured, whenPlain] of combinations) {
        const passes = built === configured ? whenConfigured : whenPlain
        const { cookie } = await built.cookie(ARTHUR)
        const given = { ...headers, cookie, host: HOST }
        const about = JSON.stringify([built === configured ? 'publicUrl' : 'Host', headers])
        for (const method of methods) {
          const reply = await built.app.inject({ method: method as 'POST', url: '/x', headers: given })
          t.equal(reply.statusCode, passes ? 200 : 403, `${String(method)} ${about}`)
          if (!passes) t.same(statusAndCode(reply), CROSS_SITE)
          const optional = await built.app.inject({ method: method as 'POST', url: '/optional', headers: given })
          t.same([optional.statusCode, optional.json()], [200, { anonymous: !passes }], `optional ${about}`)
          t.equal(
            (
              await built.app.inject({
                method: method as 'POST',
                url: '/x',
                headers: { ...headers, host: HOST, authorization }
              })
            ).statusCode,
            200,
            `a bearer token is not checked ${about}`
          )
        }
        t.equal((await built.app.inject({ url: '/x', headers: given })).statusCode, 200, `GET is not checked ${about}`)

        const own: [string, 'POST' | 'PATCH' | 'DELETE', string, object | undefined, number][] = [
          ['profile', 'PATCH', '/users/me', {}, 200],
          ['user by id', 'PATCH', `/users/${id}`, {}, 200],
          ['delete', 'DELETE', '/users/00000000-0000-4000-8000-000000000000', undefined, 404],
          ['login', 'POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }, 204],
          ['logout', 'POST', '/auth/jwt/logout', undefined, 401]
        ]
        for (const [what, method, url, payload, status] of own) {
          const headersOf = what === 'logout' ? { ...given, cookie: (await built.cookie(ARTHUR)).cookie } : given
          const reply = await built.app.inject({
            method,
            url,
            headers: headersOf,
            ...(payload === undefined ? {} : { payload })
          })
          t.equal(reply.statusCode, passes ? (what === 'logout' ? 204 : status) : 403, `${what} ${about}`)
          if (!passes) t.same(statusAndCode(reply), CROSS_SITE, `${what} ${about}`)
        }
      }
    }
  }
)

t.test(
  'CSRF-01: an http origin of the same host passes only on localhost or without a Secure cookie',
  async (t) => {
    // Host, Origin, whether it passes with a Secure cookie, and whether it passes with another cookie
    const table: [string, string, boolean, boolean][] = [
      ['app.example', 'https://app.example', true, true],
      ['app.example', 'http://app.example', false, true],
      ['app.example:8080', 'http://app.example:8080', false, true],
      ['APP.example', 'http://app.example', false, true],
      ['app.example', 'http://app.example:8080', false, false],
      ['192.168.1.4:3000', 'http://192.168.1.4:3000', false, true],
      ['localhost.evil.example', 'http://localhost.evil.example', false, true],
      ['127.0.0.1.evil.example', 'http://127.0.0.1.evil.example', false, true],
      ['evil-localhost', 'http://evil-localhost', false, true],
      ['localhost:3000', 'http://localhost:3000', true, true],
      ['shop.localhost:3000', 'http://shop.localhost:3000', true, true],
      ['127.0.0.1:3000', 'http://127.0.0.1:3000', true, true],
      ['[::1]:3000', 'http://[::1]:3000', true, true],
      ['localhost:3000', 'http://localhost:3001', false, false],
      ['localhost:3000', 'http://127.0.0.1:3000', false, false],
      ['localhost', 'null', false, false]
    ]
    for (const secure of [true, false]) {
      const cookies = [
        { name: 'cookie', transport: cookieTransport({ secure }), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }
      ]
      const built = await buildApp(t, { backends: cookies })
      await built.create()
      const session = await built.cookie(ARTHUR)
      for (const [host, origin, whenSecure, whenPlain] of table) {
        const passes = secure ? whenSecure : whenPlain
        const about = `${secure ? 'Secure' : 'plain'} cookie, Host ${host}, Origin ${origin}`
        for (const more of [{}, { 'sec-fetch-site': 'none' }]) {
          const headers = { host, origin, ...more }
          const reply = await built.send('POST', '/guarded', {}, { ...session, ...headers })
          t.equal(reply.statusCode, passes ? 200 : 403, about)
          const login = await built.send(
            'POST',
            '/auth/cookie/login',
            { username: ARTHUR, password: PASSWORD },
            headers
          )
          t.equal(login.statusCode, passes ? 204 : 403, `login, ${about}`)
        }
      }
    }
  }
)

t.test('CSRF-01: a custom ambient transport is treated as Secure unless it has `secure: false`', async (t) => {
  for (const [secure, status] of [
    [undefined, 403],
    [true, 403],
    [false, 200]
  ] as const) {
    const transport = defineTransport({
      name: 'ambient',
      describe: () => ({
        scheme: { type: 'apiKey', in: 'header', name: 'x-certificate' },
        login: { 204: Type.Null() },
        logout: { 204: Type.Null() }
      }),
      setup: () => ({
        ambient: true,
        ...(secure === undefined ? {} : { secure }),
        extractToken: ({ headers }) => (typeof headers['x-certificate'] === 'string' ? headers['x-certificate'] : null),
        sendLogin: (reply, { token }) => reply.header('x-certificate', token).code(204).send()
      })
    })
    const built = await buildApp(t, {
      backends: [{ name: 'own', transport, strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
    })
    await built.create()
    const login = await built.login('own', ARTHUR)
    const headers = {
      'x-certificate': String(login.headers['x-certificate']),
      host: 'app.example',
      origin: 'http://app.example'
    }
    t.equal((await built.send('POST', '/guarded', {}, headers)).statusCode, status, String(secure))
  }
})

t.test('CSRF-05: native and loopback origins pass only as trustedOrigins lists them', async (t) => {
  const trustedOrigins = [
    'capacitor://localhost',
    'ionic://localhost',
    'com.example.app://main',
    'http://127.0.0.1:*',
    'https://[::1]:*'
  ]
  const built = await buildApp(t, { publicUrl: 'https://app.example', trustedOrigins })
  await built.create()
  const session = await built.cookie(ARTHUR)
  const passing = [
    'capacitor://localhost',
    'ionic://localhost',
    'com.example.app://main',
    'http://127.0.0.1:1',
    'http://127.0.0.1:65535',
    'https://[::1]:8443'
  ]
  const refused = [
    'capacitor://localhost:8080',
    'capacitor://localhost.evil.example',
    'capacitor://evil',
    'CAPACITOR://localhost',
    'capacitor://localhost/',
    'capacitor:localhost',
    'com.example.app://',
    'com.example.app://main2',
    'http://127.0.0.1',
    'https://127.0.0.1:1',
    'http://127.0.0.1:1.evil.example',
    'http://127.0.0.1:1@evil.example',
    'http://127.0.0.2:1',
    'http://localhost:1',
    'https://[::1]:8443/',
    'null',
    'file://'
  ]
  for (const more of [{}, { 'sec-fetch-site': 'cross-site' }]) {
    for (const origin of passing) {
      t.equal((await built.send('POST', '/guarded', {}, { ...session, ...more, origin })).statusCode, 200, origin)
    }
    for (const origin of refused) {
      t.equal((await built.send('POST', '/guarded', {}, { ...session, ...more, origin })).statusCode, 403, origin)
    }
  }
})

t.test('CSRF-02: an invalid Authorization header beside the cookie does not disable the check', async (t) => {
  const built = await buildApp(t, { publicUrl: 'https://app.example' })
  await built.create()
  const cookie = await built.cookie(ARTHUR)
  for (const authorization of ['Bearer nonsense', 'Bearer a.b.c', 'Bearer', 'Basic YTpi', '']) {
    const reply = await built.send('POST', '/guarded', {}, { ...cookie, authorization, origin: 'https://evil.example' })
    t.same(statusAndCode(reply), CROSS_SITE, authorization)
  }
  const { authorization } = await built.bearer(ARTHUR)
  t.equal(
    (await built.send('POST', '/guarded', {}, { ...cookie, authorization, origin: 'https://evil.example' })).statusCode,
    200,
    'the bearer token authenticates the request'
  )
})

t.test(
  'CSRF-03: a cookie login from another site is refused before the password check, a bearer login is not',
  async (t) => {
    const built = await buildApp(t)
    await built.create()
    const login = async (backend: string, headers: Record<string, string>): Promise<LightMyRequestResponse> =>
      await built.send('POST', `/auth/${backend}/login`, { username: ARTHUR, password: PASSWORD }, headers)
    for (const headers of [
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
      { origin: 'null' }
    ]) {
      const before = built.events.length
      const reply = await login('cookie', headers)
      t.same(statusAndCode(reply), CROSS_SITE)
      t.equal(reply.headers['set-cookie'], undefined)
      t.equal(built.events.length, before, 'no event is fired')
      t.equal((await login('jwt', headers)).statusCode, 200)
    }
    t.equal((await login('cookie', {})).statusCode, 204)
  }
)

t.test('CSRF-04: routes other than login accept only JSON', async (t) => {
  const built = await buildApp(t)
  await built.create()
  const cookie = await built.cookie(ARTHUR)
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'text/plain; application/json'
  ]) {
    const reply = await built.app.inject({
      method: 'PATCH',
      url: '/users/me',
      headers: { ...cookie, 'content-type': type },
      payload: '{}'
    })
    t.equal(reply.statusCode, 415, type)
  }
})

t.test('CSRF-07: GET and HEAD requests to routes with unsafe methods change nothing', async (t) => {
  const built = await buildApp(t)
  const { id } = await built.create({ is_superuser: true })
  const headers = { ...(await built.cookie(ARTHUR)), ...(await built.bearer(ARTHUR)) }
  const before = built.events.length
  const urls = [
    '/auth/cookie/login',
    '/auth/cookie/logout',
    '/auth/register',
    '/auth/forgot-password',
    '/auth/reset-password',
    '/auth/verify',
    '/auth/request-verify-token'
  ]
  for (const method of ['GET', 'HEAD'] as const) {
    for (const url of urls) {
      t.equal((await built.send(method, url, undefined, headers)).statusCode, 404, `${method} ${url}`)
    }
    for (const url of ['/users/me', `/users/${id}`]) {
      t.equal(
        (await built.send(method, url, undefined, headers)).statusCode,
        method === 'GET' ? 200 : 404,
        `${method} ${url}`
      )
    }
  }
  await built.app.users.settled()
  t.equal(built.events.length, before)
})

t.test('CSRF-09: the package sets no CORS headers', async (t) => {
  const built = await buildApp(t, { trustedOrigins: ['https://admin.example'] })
  await built.create()
  const origin = { origin: 'https://admin.example' }
  const replies = [
    await built.send('GET', '/guarded', undefined, { ...origin, ...(await built.cookie(ARTHUR)) }),
    await built.send('POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }, origin),
    await built.send('GET', '/users/me', undefined, origin)
  ]
  for (const { headers } of replies) {
    t.same(
      Object.keys(headers).filter((name) => name.startsWith('access-control')),
      []
    )
  }
})

t.test('a stored session works with an adapter that has no findWithUser', async (t) => {
  const { adapter, reads } = createWatchedStore()
  const plain = new Proxy(adapter, {
    get: (target, key) => (key === 'findWithUser' ? undefined : Reflect.get(target, key))
  })
  const built = await buildApp(t, {
    adapter: plain,
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
  })
  const user = await built.create()
  const headers = await built.bearer(ARTHUR)
  reads.length = 0
  t.equal((await built.send('GET', '/guarded', undefined, headers)).statusCode, 200)
  t.same(reads, ['findOne', 'findOne'])
  await built.app.users.delete(user)
  t.same(statusAndCode(await built.send('GET', '/guarded', undefined, headers)), UNAUTHENTICATED)
})
