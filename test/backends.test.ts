import http from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import fastifyJwt from '@fastify/jwt'
import { Type } from '@sinclair/typebox'
import Fastify, {
  type FastifyInstance,
  type FastifyRequest,
  type InjectOptions,
  type LightMyRequestResponse
} from 'fastify'
import t, { type Test } from 'tap'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  jwtStrategy,
  type CookieTransportOptions,
  type Strategy,
  type StrategyDefinition,
  type Transport,
  type TransportDefinition,
  type UserId,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  ARTHUR,
  PASSWORD,
  SECRET,
  addRoutes,
  backends,
  buildApp,
  cookieOf,
  fastPasswords,
  type TestApp
} from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const form = { username: ARTHUR, password: PASSWORD }
const UNAUTHENTICATED: [number, string] = [401, 'FST_USERS_UNAUTHENTICATED']
const statusAndCode = (reply: LightMyRequestResponse): [number, string] => [
  reply.statusCode,
  reply.json<{ code: string }>().code
]
const cookieBackend = (options: CookieTransportOptions = {}, lifetimeSeconds = 86_400): UsersOptions['backends'] => [
  { name: 'cookie', transport: cookieTransport(options), strategy: databaseStrategy({ lifetimeSeconds }) }
]
const setCookieHeader = (reply: LightMyRequestResponse): string => String(reply.headers['set-cookie'])

/** Creates a transport that reads the token from the header x-token. With `isAsync`, `setup` returns a promise. */
function createHeaderTransport (isAsync: boolean): TransportDefinition {
  const transport: Transport = {
    ambient: false,
    extractToken: ({ headers }) => (typeof headers['x-token'] === 'string' ? headers['x-token'] : null),
    sendLogin: (reply, { token }) => reply.code(200).send({ x_token: token })
  }
  return defineTransport({
    name: 'header',
    describe: () => ({
      scheme: { type: 'apiKey', in: 'header', name: 'x-token' },
      login: { 200: Type.Object({ x_token: Type.String() }) },
      logout: { 204: Type.Null() }
    }),
    setup: () => (isAsync ? Promise.resolve(transport) : transport)
  })
}

/** Creates a strategy that keeps numbered tokens in a map. With `isAsync`, each method returns a promise. */
function createMapStrategy (
  isAsync: boolean,
  extra: Partial<Strategy> = {}
): {
    definition: StrategyDefinition
    tokens: Map<string, { id: UserId; stamp: string }>
    requests: (FastifyRequest | null)[]
  } {
  const tokens = new Map<string, { id: UserId; stamp: string }>()
  const requests: (FastifyRequest | null)[] = []
  const strategy: Strategy = {
    readToken (token, { request, users: rows }) {
      requests.push(request)
      const found = tokens.get(token)
      if (found === undefined) return isAsync ? Promise.resolve(null) : null
      const row = rows.getRow(found.id)
      if (row instanceof Promise) return row.then((read) => read && { row: read, stamp: found.stamp })
      const subject = row && { row, stamp: found.stamp }
      return isAsync ? Promise.resolve(subject) : subject
    },
    writeToken ({ id }, { stamp }) {
      const token = `token-${tokens.size + 1}`
      tokens.set(token, { id: id as UserId, stamp })
      const issued = { token, lifetimeSeconds: null }
      return isAsync ? Promise.resolve(issued) : issued
    },
    ...extra
  }
  return {
    definition: defineStrategy({ name: 'map', setup: () => (isAsync ? Promise.resolve(strategy) : strategy) }),
    tokens,
    requests
  }
}

t.test('rows 25, 36: a custom transport and a custom strategy work with and without promises', async (t) => {
  for (const isAsync of [false, true]) {
    const { definition, tokens, requests } = createMapStrategy(isAsync)
    const built = await buildApp(t, {
      backends: [{ name: 'own', transport: createHeaderTransport(isAsync), strategy: definition }, ...backends()]
    })
    const arthur = await built.create()
    const login = await built.login('own', ARTHUR)
    t.same([login.statusCode, login.json()], [200, { x_token: 'token-1' }])
    const headers = { 'x-token': 'token-1' }
    const reply = await built.send('GET', '/guarded', undefined, headers)
    t.same(reply.json(), { user: arthur, backend: 'own' }, '`request.authentication` is serialized without the token')
    t.equal(requests.at(-1)?.url, '/guarded', 'the strategy gets the request')
    for (const token of ['token-2', 'TOKEN-1', '', 'token-1 ']) {
      t.same(statusAndCode(await built.send('GET', '/guarded', undefined, { 'x-token': token })), UNAUTHENTICATED)
    }
    t.same(
      statusAndCode(await built.send('GET', '/guarded', undefined, { authorization: 'Bearer token-1' })),
      UNAUTHENTICATED
    )
    t.equal(
      (await built.send('POST', '/guarded', {}, { ...headers, origin: 'https://evil.example' })).statusCode,
      200,
      'the cross-site check is skipped for a transport that is not ambient'
    )
    t.equal(
      (await built.send('POST', '/auth/own/logout', undefined, headers)).statusCode,
      204,
      'without sendLogout the reply is 204'
    )
    t.equal(
      (await built.send('GET', '/guarded', undefined, headers)).statusCode,
      200,
      'without destroyToken the token stays valid after logout'
    )
    await built.app.users.update(arthur, { password: 'excalibur-9' })
    t.same(
      statusAndCode(await built.send('GET', '/guarded', undefined, headers)),
      UNAUTHENTICATED,
      'the new security stamp invalidates the token'
    )
    t.equal(tokens.size, 1)
  }
})

t.test('row 25: a custom strategy is called to destroy one token and to destroy all tokens of a user', async (t) => {
  const calls: unknown[][] = []
  const { definition, tokens } = createMapStrategy(true, {
    async destroyToken (token, { email }) {
      calls.push(['one', token, email])
      tokens.delete(token)
    },
    async destroyAllTokens ({ email }) {
      calls.push(['all', email])
      tokens.clear()
    }
  })
  const built = await buildApp(t, {
    backends: [{ name: 'own', transport: createHeaderTransport(true), strategy: definition }, ...backends()]
  })
  const arthur = await built.create()
  await built.login('own', ARTHUR)
  t.equal(
    (await built.send('POST', '/auth/jwt/logout', undefined, { 'x-token': 'token-1' })).statusCode,
    204,
    'the logout route of any backend destroys the token'
  )
  t.same(calls.splice(0), [['one', 'token-1', ARTHUR]])
  t.same(statusAndCode(await built.send('GET', '/guarded', undefined, { 'x-token': 'token-1' })), UNAUTHENTICATED)
  await built.app.users.endSessions(arthur)
  await built.app.users.update(arthur, { password: 'excalibur-9' })
  await built.app.users.update(arthur, { is_active: false })
  await built.app.users.delete(arthur)
  t.same(calls, [
    ['all', ARTHUR],
    ['all', ARTHUR],
    ['all', ARTHUR],
    ['all', ARTHUR]
  ])
})

t.test('row 25: the login and logout replies of a custom transport are sent', async (t) => {
  const { definition } = createMapStrategy(false)
  const transport = defineTransport({
    name: 'own',
    describe: () => ({
      scheme: {},
      login: { 200: Type.Object({ x_token: Type.String() }) },
      logout: { 200: Type.Object({ bye: Type.Boolean() }) }
    }),
    setup: (scope) => ({
      ambient: false,
      extractToken: ({ headers }) => (scope.hasDecorator('users') ? String(headers['x-token']) : null),
      sendLogin: (reply, { token }) => reply.code(200).send({ x_token: token, hidden: 'x' }),
      sendLogout: (reply) => reply.code(200).send({ bye: true })
    })
  })
  const built = await buildApp(t, { backends: [{ name: 'own', transport, strategy: definition }] })
  await built.create()
  t.same(
    (await built.login('own', ARTHUR)).json(),
    { x_token: 'token-1' },
    'the reply is serialized by the schema from describe()'
  )
  t.same((await built.send('POST', '/auth/own/logout', undefined, { 'x-token': 'token-1' })).json(), { bye: true })
})

t.test('the cross-site check covers a custom ambient transport', async (t) => {
  const { definition } = createMapStrategy(false)
  const transport = defineTransport({
    name: 'ambient',
    describe: () => ({ scheme: {}, login: { 200: Type.Object({ x_token: Type.String() }) }, logout: {} }),
    setup: () => ({
      ambient: true,
      extractToken: ({ headers }) => (typeof headers['x-token'] === 'string' ? headers['x-token'] : null),
      sendLogin: (reply, { token }) => reply.send({ x_token: token })
    })
  })
  const built = await buildApp(t, { backends: [{ name: 'own', transport, strategy: definition }] })
  await built.create()
  await built.login('own', ARTHUR)
  for (const [origin, status] of [
    ['https://evil.example', 403],
    ['http://localhost:80', 403],
    ['http://localhost', 200]
  ] as const) {
    t.equal(
      (await built.send('POST', '/guarded', {}, { 'x-token': 'token-1', origin, host: 'localhost' })).statusCode,
      status,
      origin
    )
  }
})

t.test('BR-03, row 26: a token of one backend is refused by every other backend', async (t) => {
  const names = ['jwt-a', 'jwt-b', 'db-a', 'db-b', 'cookie-a', 'cookie-b', 'cookie-jwt']
  const list = names.map((name) => ({
    name,
    transport: name.startsWith('cookie') ? cookieTransport() : bearerTransport(),
    strategy: name.includes('jwt') ? jwtStrategy({ lifetimeSeconds: 60 }) : databaseStrategy({ lifetimeSeconds: 60 })
  }))
  const built = await buildApp(t, { backends: list }, (app) => {
    for (const name of names) {
      app.get(
        `/${name}`,
        { preHandler: authenticate({ backends: [name] }) },
        async ({ authentication }) => authentication
      )
    }
  })
  await built.create()
  for (const own of names) {
    const login = await built.login(own, ARTHUR)
    const token = own.startsWith('cookie')
      ? (cookieOf(login).split('=')[1] ?? '')
      : login.json<{ access_token: string }>().access_token
    for (const other of names) {
      const headers: Record<string, string> = other.startsWith('cookie')
        ? { cookie: `__Host-users-${other}=${token}` }
        : { authorization: `Bearer ${token}` }
      const reply = await built.send('GET', `/${other}`, undefined, headers)
      if (own === other) t.equal(reply.json<{ backend: string }>().backend, own)
      else t.same(statusAndCode(reply), UNAUTHENTICATED, `${own} at ${other}`)
    }
  }
})

t.test('row 28: two backends with the same name are refused at startup', async (t) => {
  const [one, two] = backends()
  if (one === undefined || two === undefined) throw new Error('two backends')
  await t.rejects(buildApp(t, { backends: [one, { ...two, name: 'jwt' }] }), { code: 'FST_USERS_DUPLICATE_BACKEND' })
  const built = await buildApp(t, {
    backends: [
      { ...one, name: 'mock-bis' },
      { ...two, name: 'mockbis' }
    ]
  })
  t.same([...built.app.users.backends.keys()], ['mock-bis', 'mockbis'], 'similar names are accepted')
})

/** Builds two tenants with the same store and the same secret, so that only their names differ. */
async function buildTwoTenants (
  t: Test,
  more: Partial<UsersOptions> = {}
): Promise<{ app: FastifyInstance; operations: string[]; scopes: Map<string, FastifyInstance> }> {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter = memory()
  const operations: string[] = []
  const scopes = new Map<string, FastifyInstance>()
  app.addHook('onRoute', ({ schema }) => {
    operations.push(String((schema as { operationId?: string } | undefined)?.operationId))
  })
  for (const name of ['staff', 'customers']) {
    await app.register(
      async (scope) => {
        scopes.set(name, scope)
        await scope.register(users, {
          adapter,
          secret: SECRET,
          backends: backends(),
          passwords: fastPasswords,
          limits: false,
          name,
          ...more
        })
      },
      { prefix: `/${name}` }
    )
  }
  await app.ready()
  return { app, operations, scopes }
}

t.test(
  'two tenants in sibling scopes have different keys, audiences, cookie names and operationIds',
  async (t) => {
    for (const more of [
      {},
      {
        backends: [
          { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60, secret: SECRET }) },
          ...cookieBackend()
        ],
        tokens: { reset: { secret: SECRET }, verify: { secret: SECRET } }
      }
    ]) {
      const { app, operations, scopes } = await buildTwoTenants(t, more)
      t.equal(new Set(operations).size, operations.length, 'operationIds are unique')
      for (const name of scopes.keys()) {
        t.ok(
          operations.some((operation) => operation.includes(name) && operation.includes('register')),
          `an operationId contains ${name}`
        )
      }
      await scopes.get('staff')?.users.create({ email: ARTHUR, password: PASSWORD })
      t.equal(await scopes.get('customers')?.users.getByEmail(ARTHUR), null, 'each tenant has its own users')
      await scopes.get('customers')?.users.create({ email: ARTHUR, password: PASSWORD })
      const claimsOf = (token: string): Record<string, unknown> =>
        JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
      for (const [own, other] of [
        ['staff', 'customers'],
        ['customers', 'staff']
      ] as const) {
        const login = await app.inject({ method: 'POST', url: `/${own}/auth/jwt/login`, payload: form })
        const token = login.json<{ access_token: string }>().access_token
        t.same(claimsOf(token)['aud'], [`${own}:auth`])
        const me = async (at: string, headers: Record<string, string>): Promise<number> =>
          (await app.inject({ url: `/${at}/users/me`, headers })).statusCode
        t.equal(await me(own, { authorization: `Bearer ${token}` }), 200)
        t.equal(await me(other, { authorization: `Bearer ${token}` }), 401)
        const cookie = cookieOf(await app.inject({ method: 'POST', url: `/${own}/auth/cookie/login`, payload: form }))
        t.match(cookie, new RegExp(`^__Host-${own}-cookie=`))
        t.equal(await me(own, { cookie }), 200)
        t.equal(await me(other, { cookie }), 401)
        t.equal(
          await me(other, { cookie: cookie.replace(own, other) }),
          401,
          "the other tenant refuses the value under its own cookie's name"
        )
      }
    }
  }
)

t.test('reset and verify tokens of one tenant are refused by the other tenant', async (t) => {
  const seen: string[] = []
  const hooks = {
    onAfterForgotPassword: ({ token }: { token: string }) => {
      seen.push(token)
    },
    onAfterRequestVerify: ({ token }: { token: string }) => {
      seen.push(token)
    }
  }
  const { app, scopes } = await buildTwoTenants(t, {
    hooks,
    tokens: { reset: { secret: SECRET }, verify: { secret: SECRET } }
  })
  const staff = scopes.get('staff')?.users
  const post = async (tenant: string, path: string, payload: object): Promise<number> =>
    (await app.inject({ method: 'POST', url: `/${tenant}/auth/${path}`, payload })).statusCode

  await staff?.create({ email: ARTHUR, password: PASSWORD })
  await staff?.requestVerify(ARTHUR)
  await staff?.settled()
  const verify = { token: seen.at(-1) }
  t.equal(await post('customers', 'verify', verify), 400)
  t.equal(await post('staff', 'verify', verify), 200)

  await staff?.forgotPassword(ARTHUR)
  await staff?.settled()
  const reset = { token: seen.at(-1), password: 'excalibur-9' }
  t.equal(await post('customers', 'reset-password', reset), 400)
  t.equal(await post('staff', 'reset-password', reset), 200)
})

t.test('a second registration with the same name, or in the same or a child scope, fails at startup', async (t) => {
  const options = (name?: string): UsersOptions => ({
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    ...(name === undefined ? {} : { name })
  })
  const layouts: Record<string, (app: FastifyInstance) => Promise<unknown>> = {
    'the same scope': async (app) => {
      await app.register(users, options())
      await app.register(users, options())
    },
    'the same scope with two names': async (app) => {
      await app.register(users, options('staff'))
      await app.register(users, options('customers'))
    },
    'a child with another name': async (app) => {
      await app.register(users, options('staff'))
      await app.register(async (scope) => {
        await scope.register(users, options('customers'))
      })
    },
    'siblings with the same name': async (app) => {
      for (const prefix of ['/a', '/b']) {
        await app.register(
          async (scope) => {
            await scope.register(users, options())
          },
          { prefix }
        )
      }
    }
  }
  for (const [what, layout] of Object.entries(layouts)) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(
      (async () => {
        await layout(app)
        await app.ready()
      })(),
      { code: 'FST_USERS_ALREADY_REGISTERED' },
      what
    )
  }
  const [one, two] = [Fastify(), Fastify()]
  for (const app of [one, two]) {
    t.teardown(() => app.close())
    await app.register(users, options())
    await t.resolves(Promise.resolve(app.ready()), 'two applications may use the same name')
  }
})

t.test("an application's own @fastify/jwt works when it is registered before or after this plugin", async (t) => {
  const OWN = 'the application has a secret of its own 4711'
  const addOwn = async (app: FastifyInstance, options: object): Promise<void> => {
    await app.register(fastifyJwt, { secret: OWN, ...options })
  }
  const variants: Record<string, [object, 'before' | 'after']> = {
    before: [{}, 'before'],
    'before, with a namespace': [{ namespace: 'own' }, 'before'],
    'before, with decoratorName': [{ decoratorName: 'claims' }, 'before'],
    'after, with decoratorName': [{ decoratorName: 'claims' }, 'after'],
    'after, with namespace and decoratorName': [{ namespace: 'own', decoratorName: 'claims' }, 'after']
  }
  for (const [what, [options, when]] of Object.entries(variants)) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (when === 'before') await addOwn(app, options)
    await app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
    if (when === 'after') await addOwn(app, options)
    addRoutes(app)
    const named = 'namespace' in options
    app.get(
      '/own',
      {
        onRequest: async (request) => {
          await (named
            ? (request as unknown as { ownJwtVerify(): Promise<unknown> }).ownJwtVerify()
            : request.jwtVerify())
        }
      },
      async (request) =>
        'decoratorName' in options ? (request as unknown as { claims: unknown }).claims : request.user
    )
    await app.ready()
    await app.users.create({ email: ARTHUR, password: PASSWORD })

    const jwt = named ? (app.jwt as unknown as Record<string, typeof app.jwt>)['own'] : app.jwt
    const own = jwt?.sign({ sub: 'machine' }) ?? ''
    const ours = (await app.inject({ method: 'POST', url: '/auth/jwt/login', payload: form })).json<{
      access_token: string
    }>().access_token
    const get = async (url: string, token: string): Promise<LightMyRequestResponse> =>
      await app.inject({ url, headers: { authorization: `Bearer ${token}` } })
    t.match((await get('/own', own)).json(), { sub: 'machine' }, what)
    t.equal((await get('/own', ours)).statusCode, 401, what)
    t.match((await get('/guarded', ours)).json(), { user: { email: ARTHUR } }, what)
    t.equal((await get('/guarded', own)).statusCode, 401, what)
    t.same(
      Object.keys(app.jwt).filter((key) => key.toLowerCase().includes('users')),
      [],
      'app.jwt has no entry of this plugin'
    )
  }
})

t.test("an application's own @fastify/cookie works when it is registered before or after this plugin", async (t) => {
  for (const when of ['before', 'after', 'never'] as const) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      const app = Fastify()
      t.teardown(() => app.close())
      const addOwn = async (): Promise<void> => {
        await app.register(fastifyCookie, { secret: 'a secret of the application', hook })
      }
      if (when === 'before') await addOwn()
      await app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
      if (when === 'after') await addOwn()
      addRoutes(app)
      if (when !== 'never') {
        app.get('/set', async (_request, reply) =>
          reply.setCookie('theme', 'dark', { signed: true, path: '/' }).send('ok')
        )
        app.get('/read', { preHandler: authenticate }, async (request) => ({
          ...request.unsignCookie(request.cookies['theme'] ?? ''),
          all: Object.keys(request.cookies)
        }))
      }
      await app.ready()
      await app.users.create({ email: ARTHUR, password: PASSWORD })
      const login = await app.inject({ method: 'POST', url: '/auth/cookie/login', payload: form })
      t.equal(login.statusCode, 204)
      const session = cookieOf(login)
      t.equal((await app.inject({ url: '/guarded', headers: { cookie: session } })).statusCode, 200, `${when} ${hook}`)
      if (when === 'never') {
        t.notOk(app.hasDecorator('serializeCookie'), 'the application does not get the @fastify/cookie of this plugin')
        continue
      }
      const theme = cookieOf(await app.inject('/set'))
      const read = await app.inject({ url: '/read', headers: { cookie: `${theme}; ${session}` } })
      t.match(read.json(), { valid: true, value: 'dark', all: ['theme', '__Host-users-cookie'] }, `${when} ${hook}`)
    }
  }
})

t.test('rows 13, 14, 16, CK-01, CK-06, CK-10: login and logout use the configured cookie attributes', async (t) => {
  const table: [CookieTransportOptions, string, string][] = [
    [{}, '__Host-users-cookie', '; Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ maxAge: 3600 }, '__Host-users-cookie', '; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ maxAge: 999_999 }, '__Host-users-cookie', '; Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ name: 'sess' }, 'sess', '; Path=/; HttpOnly; Secure; SameSite=Lax'],
    [
      { name: '__Secure-sess', domain: 'camelot.bt' },
      '__Secure-sess',
      '; Domain=camelot.bt; Path=/; HttpOnly; Secure; SameSite=Lax'
    ],
    [{ domain: 'camelot.bt' }, 'users-cookie', '; Domain=camelot.bt; Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ path: '/x' }, 'users-cookie', '; Path=/x; HttpOnly; Secure; SameSite=Lax'],
    [{ secure: false }, 'users-cookie', '; Path=/; HttpOnly; SameSite=Lax'],
    [{ httpOnly: false }, '__Host-users-cookie', '; Path=/; Secure; SameSite=Lax'],
    [{ sameSite: 'strict' }, '__Host-users-cookie', '; Path=/; HttpOnly; Secure; SameSite=Strict'],
    [{ sameSite: 'none' }, '__Host-users-cookie', '; Path=/; HttpOnly; Secure; SameSite=None'],
    [
      { name: 'sess', domain: 'camelot.bt', path: '/x', secure: false, httpOnly: false, sameSite: 'strict' },
      'sess',
      '; Domain=camelot.bt; Path=/x; SameSite=Strict'
    ]
  ]
  const attributes = (text: string): string[] => text.split('; ').slice(1).sort()
  for (const [options, name, expected] of table) {
    const about = JSON.stringify(options)
    const built = await buildApp(t, { backends: cookieBackend(options) })
    await built.create()
    for (const headers of [{}, { 'x-forwarded-proto': 'http' }]) {
      const login = await built.send('POST', '/auth/cookie/login', form, headers)
      t.equal(login.statusCode, 204, about)
      t.match(setCookieHeader(login), new RegExp(`^${name}=[A-Za-z0-9_-]{43};`), about)
      t.same(attributes(setCookieHeader(login)), attributes(expected), about)
      const logout = await built.send('POST', '/auth/cookie/logout', undefined, { cookie: cookieOf(login) })
      t.equal(logout.statusCode, 204, about)
      const cleared = [logout.headers['set-cookie'] ?? []].flat()
      for (const header of cleared) t.match(header, new RegExp(`^${name}=; Max-Age=0; `), about)
      t.same(
        attributes(cleared.at(-1) ?? ''),
        [...attributes(expected).filter((part) => !part.startsWith('Max-Age')), 'Max-Age=0'].sort(),
        about
      )
    }
  }
})

t.test('CK-02, CK-03, CK-04, CK-07: a session cookie must occur once and with its exact name', async (t) => {
  const built = await buildApp(t)
  await built.create()
  await built.create({ email: LANCELOT })
  const name = '__Host-users-cookie'
  const token = (await built.cookie(ARTHUR)).cookie.split('=')[1] ?? ''
  const other = (await built.cookie(LANCELOT)).cookie.split('=')[1] ?? ''
  const good = [
    `${name}=${token}`,
    `a=b; ${name}=${token}`,
    `${name}=${token}; a=b`,
    `a=b;${name}=${token}`,
    `x${name}=${other}; ${name}=${token}`,
    `${name}x=${other}; ${name}=${token}`,
    `${name}=${token};`,
    `; ${name}=${token}`,
    `a; b=; =c; ${name}=${token}`,
    `users-cookie=${other}; ${name}=${token}`,
    `  ${name}=${token}  `,
    `A=__Host-users-cookie=${other}; ${name}=${token}`,
    `__host-users-cookie=${other}; ${name}=${token}`
  ]
  for (const cookie of good) {
    t.equal(
      (await built.send('GET', '/guarded', undefined, { cookie })).json<{ user: { email: string } }>().user.email,
      ARTHUR,
      cookie.replaceAll(token, 'token').replaceAll(other, 'other')
    )
  }
  const bad = [
    '',
    ';',
    '=',
    name,
    `${name}=`,
    `${name}=;`,
    `${name}=""`,
    `=${token}`,
    token,
    `${name} =${token}`,
    `${name}= ${token}`,
    `${name}\t=${token}`,
    `"${name}"=${token}`,
    `__host-users-cookie=${token}`,
    `__HOST-users-cookie=${token}`,
    `__Host-Users-cookie=${token}`,
    `__Host-users-COOKIE=${token}`,
    `users-cookie=${token}`,
    `__Secure-users-cookie=${token}`,
    `fastapiusersauth=${token}`,
    `%5F%5FHost-users-cookie=${token}`,
    `${name}=${token}; ${name}=${other}`,
    `${name}=${other}; ${name}=${token}`,
    `${name}=${token}; ${name}=${token}`,
    `${name}=${token}; ${name}=`,
    `${name}=; ${name}=${token}`,
    `${name}="${token}"`,
    `${name}=%${token}`,
    `${name}=${encodeURIComponent(`${token}=`)}`,
    `${name}=${token}, b=c`,
    `${name}=${token} x`,
    `${name}=${token}\0`,
    `${name}=${token}é`,
    `${name}=${token.slice(1)}`,
    `${name}=${token}x`,
    `${name}=${token.toLowerCase()}`,
    `${name}=${'a'.repeat(9000)}`,
    `${name}=s:${token}`,
    `${name}=j:{"a":1}`
  ]
  for (const cookie of bad) {
    t.same(
      statusAndCode(await built.send('GET', '/guarded', undefined, { cookie })),
      UNAUTHENTICATED,
      cookie.replaceAll(token, 'token').replaceAll(other, 'other').slice(0, 80)
    )
  }
})

t.test('CK-08: a session token is short, is in no reply body, and no reply of the plugin may be cached', async (t) => {
  const built = await buildApp(t)
  await built.create()
  const login = await built.login('cookie', ARTHUR)
  const cookie = cookieOf(login)
  t.ok(cookie.length < 4096)
  t.notMatch(login.body, cookie.slice(-20))
  const requests: InjectOptions[] = [
    { url: '/users/me', headers: { cookie } },
    { url: '/users/me' },
    { method: 'PATCH', url: '/users/me', headers: { cookie }, payload: {} },
    { url: '/users/x', headers: { cookie } },
    { method: 'POST', url: '/auth/register', payload: {} },
    { method: 'POST', url: '/auth/forgot-password', payload: { email: ARTHUR } },
    { method: 'POST', url: '/auth/jwt/login', payload: form },
    { method: 'POST', url: '/auth/cookie/login', payload: form },
    { method: 'POST', url: '/auth/cookie/login', payload: '{' },
    { method: 'POST', url: '/auth/cookie/logout', headers: { cookie } }
  ]
  for (const request of requests) {
    const { headers, body } = await built.app.inject(request)
    t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }, String(request.url))
    t.notMatch(body, cookie.slice(-20))
  }
})

/** Returns a generator of pseudo-random numbers that are the same in every run. */
function createRandom (seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

t.test(
  'BR-02, CK-07: a thousand random Authorization headers and a thousand random Cookie headers are all a 401',
  async (t) => {
    const built = await buildApp(t)
    await built.create()
    const random = createRandom(4711)
    const { authorization } = await built.bearer(ARTHUR)
    const { cookie } = await built.cookie(ARTHUR)
    const pieces = [
      'Bearer',
      'bearer',
      'Basic',
      ' ',
      '  ',
      '\t',
      ',',
      ';',
      '=',
      '==',
      '.',
      '..',
      '%',
      '%00',
      '%zz',
      '"',
      '\\',
      '{',
      '}',
      '[',
      '\0',
      '\x7f',
      'é',
      '\u00ff',
      '\u{1F9D9}',
      '__Host-users-cookie',
      '__proto__',
      'null',
      'undefined',
      'eyJhbGciOiJub25lIn0',
      authorization.slice(7, 40),
      cookie.slice(-20),
      'a'.repeat(300),
      '-',
      '_',
      '~',
      '+',
      '/'
    ]
    const noise = (): string =>
      Array.from({ length: 1 + random(12) }, () =>
        random(4) === 0 ? String.fromCharCode(random(256)) : pieces[random(pieces.length)]
      ).join('')
    const mutate = (text: string): string => {
      const at = random(text.length)
      return random(2) === 0
        ? `${text.slice(0, at)}${noise()}${text.slice(at)}`
        : text.slice(0, at) + text.slice(at + 1 + random(5))
    }
    const shapes: Record<string, (() => string)[]> = {
      authorization: [
        noise,
        () => `Bearer ${noise()}`,
        () => `Bearer ${mutate(authorization.slice(7))}`,
        () => `Bearer ${noise()}.${noise()}.${noise()}`
      ],
      cookie: [
        noise,
        () => `__Host-users-cookie=${noise()}`,
        () => `__Host-users-cookie=${mutate(cookie.slice(20))}`,
        () => `${noise()}; __Host-users-cookie=${mutate(cookie.slice(20))}`
      ]
    }
    for (const [header, makers] of Object.entries(shapes)) {
      const other: unknown[] = []
      for (let i = 0; i < 1000; i++) {
        const value = makers[i % makers.length]?.() ?? ''
        const reply = await built.send('GET', '/guarded', undefined, { [header]: value })
        if (
          reply.statusCode !== 401 ||
          reply.json<{ code: string }>().code !== 'FST_USERS_UNAUTHENTICATED' ||
          reply.headers['www-authenticate'] !== 'Bearer'
        ) {
          other.push([value, reply.statusCode])
        }
      }
      t.same(other, [], header)
    }
  }
)

t.test('BR-01: a bearer token is accepted only from a single well-formed Authorization header', async (t) => {
  const built = await buildApp(t, {}, (app) => {
    app.route({
      method: ['GET', 'POST'],
      url: '/guarded',
      preHandler: authenticate,
      handler: async (request) => currentUser(request)
    })
  })
  await built.create()
  const token = (await built.bearer(ARTHUR)).authorization.slice(7)
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    t.equal(
      (await built.send('GET', '/guarded', undefined, { authorization: `${scheme} ${token}` })).statusCode,
      200,
      scheme
    )
  }
  const bad = [
    '',
    'Bearer',
    'Bearer ',
    token,
    `Bearer${token}`,
    `Bearer  ${token}`,
    `Bearer\t${token}`,
    ` Bearer ${token}`,
    `Bearer ${token} `,
    `Bearer ${token} x`,
    `Bearer, ${token}`,
    `Bearer ${token}, Bearer ${token}`,
    `Bearer ${token},`,
    `Bearer "${token}"`,
    `Bearer token=${token}`,
    `Basic ${token}`,
    `JWT ${token}`,
    `Token ${token}`,
    `Bearer: ${token}`,
    `Bearer Bearer ${token}`,
    `Bearer ${token}\0`,
    `Béarer ${token}`,
    `Bearer\u00a0${token}`
  ]
  for (const authorization of bad) {
    t.same(
      statusAndCode(await built.send('GET', '/guarded', undefined, { authorization })),
      UNAUTHENTICATED,
      authorization.replaceAll(token, 'token')
    )
  }
  for (const query of [`access_token=${token}`, `token=${token}`, `authorization=Bearer%20${token}`]) {
    t.same(statusAndCode(await built.send('GET', `/guarded?${query}`)), UNAUTHENTICATED)
  }
  t.same(statusAndCode(await built.send('POST', '/guarded', { access_token: token, token })), UNAUTHENTICATED)
  for (const header of ['x-authorization', 'proxy-authorization', 'x-access-token', 'cookie']) {
    t.same(
      statusAndCode(await built.send('GET', '/guarded', undefined, { [header]: `Bearer ${token}` })),
      UNAUTHENTICATED
    )
  }
})

t.test('BR-01: two Authorization headers are refused with 401, and a header of 64 kB with 431', async (t) => {
  const built = await buildApp(t)
  await built.create()
  const { authorization } = await built.bearer(ARTHUR)
  await built.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = built.app.server.address() as AddressInfo
  const statusOf = async (headers: string[]): Promise<number> =>
    await new Promise((resolve, reject) => {
      http
        .get(
          {
            host: '127.0.0.1',
            port,
            path: '/guarded',
            headers: ['Host', 'localhost', ...headers] as unknown as http.OutgoingHttpHeaders,
            agent: false
          },
          (reply) => {
            reply.resume()
            resolve(reply.statusCode ?? 0)
          }
        )
        .on('error', reject)
    })
  t.equal(await statusOf(['Authorization', authorization]), 200)
  t.equal(await statusOf(['AUTHORIZATION', authorization]), 200)
  t.equal(await statusOf(['Authorization', authorization, 'Authorization', authorization]), 401)
  t.equal(await statusOf(['Authorization', authorization, 'authorization', 'Bearer other']), 401)
  t.equal(await statusOf(['Authorization', 'Basic YTpi', 'authorization', authorization]), 401)
  t.equal(await statusOf(['Authorization', `Bearer ${'a'.repeat(65_536)}`]), 431)
  t.equal(await statusOf(['Cookie', `__Host-users-cookie=${'a'.repeat(10_000)}`]), 401)
})

t.test('JWT-11, CK-07: the strategy receives tokens of up to 8192 characters, and no longer ones', async (t) => {
  const seen: number[] = []
  const strategy = defineStrategy({
    name: 'x',
    setup: () => ({
      readToken (token) {
        seen.push(token.length)
        return null
      },
      writeToken: () => ({ token: 'x', lifetimeSeconds: 1 })
    })
  })
  const built = await buildApp(t, {
    backends: [
      { name: 'bearer', transport: bearerTransport(), strategy },
      { name: 'cookie', transport: cookieTransport(), strategy }
    ]
  })
  for (const length of [1, 8191, 8192, 8193, 100_000]) {
    const token = 'a'.repeat(length)
    for (const headers of [{ authorization: `Bearer ${token}` }, { cookie: `__Host-users-cookie=${token}` }]) {
      t.same(statusAndCode(await built.send('GET', '/guarded', undefined, headers)), UNAUTHENTICATED)
    }
  }
  t.same(seen, [1, 1, 8191, 8191, 8192, 8192])
})

t.test(
  'rows 22, 23: a stored token has 43 characters, expires after the lifetime of its backend, and ends at logout',
  async (t) => {
    const built: TestApp = await buildApp(t, {
      backends: [{ name: 'db', transport: bearerTransport(), strategy: databaseStrategy({ lifetimeSeconds: 60 }) }]
    })
    await built.create()
    const login = async (): Promise<{ authorization: string }> => ({
      authorization: `Bearer ${(await built.login('db', ARTHUR)).json<{ access_token: string }>().access_token}`
    })
    const me = async (headers: Record<string, string>): Promise<number> =>
      (await built.send('GET', '/users/me', undefined, headers)).statusCode
    const session = await login()
    t.match(session.authorization, /^Bearer [A-Za-z0-9_-]{43}$/)
    t.equal(await me(session), 200)
    t.equal((await built.send('POST', '/auth/db/logout', undefined, session)).statusCode, 204)
    t.equal(await me(session), 401)
    t.equal((await built.send('POST', '/auth/db/logout', undefined, session)).statusCode, 401)
    const second = await login()
    built.tick(59)
    t.equal(await me(second), 200)
    built.tick(2)
    t.equal(await me(second), 401)
  }
)

t.test(
  'CK-01: a server with a Secure cookie that listens beyond localhost logs one warning, except in production',
  async (t) => {
    const warningsOf = async (host: string, options: CookieTransportOptions = {}): Promise<string[]> => {
      const lines: string[] = []
      const { app } = await buildApp(t, { backends: cookieBackend(options) }, addRoutes, {
        logger: {
          level: 'warn',
          stream: {
            write: (line: string) => {
              lines.push(line)
            }
          }
        }
      })
      await app.listen({ host, port: 0 })
      await app.close()
      return lines.map((line) => (JSON.parse(line) as { msg: string }).msg)
    }
    t.strictSame(await warningsOf('0.0.0.0'), [
      'fastify-users: browsers keep the cookie "__Host-users-cookie" only from https or from http://localhost'
    ])
    t.strictSame(await warningsOf('127.0.0.1'), [])
    t.strictSame(await warningsOf('0.0.0.0', { secure: false }), [])
    const { NODE_ENV: before } = process.env
    t.teardown(() => {
      if (before === undefined) delete process.env['NODE_ENV']
      else process.env['NODE_ENV'] = before
    })
    process.env['NODE_ENV'] = 'production'
    t.strictSame(await warningsOf('0.0.0.0'), [])
  }
)
