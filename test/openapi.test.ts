import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import addFormatsModule from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import Fastify, { type FastifyInstance, type InjectOptions, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import {
  adminOnly,
  authenticate,
  createOnly,
  errorTable,
  readOnly,
  users,
  userSchemas,
  usersOpenapi,
  type User,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { FST_USERS_PASSWORD_QUEUE_FULL } from '../lib/errors.js'
import { createUser } from '../lib/testing/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { operationsOf, validateDocument, type ApiDocument, type Operation } from './helpers/api-document.js'
import { backends, cookieOf, fastPasswords, PASSWORD, SECRET } from './helpers/build-app.js'

type RefResolver = NonNullable<FastifyDynamicSwaggerOptions['refResolver']>

const fields = {
  display_name: Type.String({ maxLength: 80, default: 'stranger' }),
  birthday: createOnly(Type.Optional(Type.String({ format: 'date' }))),
  credits: adminOnly(Type.Integer({ default: 0 })),
  score: readOnly(Type.Number({ default: 0 }))
}

/** Names the components of the document by the `$id` of their schemas. */
const byId: RefResolver = { buildLocalReference: (json, _baseUri, _fragment, i) => String(json.$id ?? `def-${i}`) }

const optionsWith = (options: Partial<UsersOptions> = {}): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false,
  openapiSecurity: true,
  schemas: userSchemas(fields),
  ...options
})

interface Documented {
  app: FastifyInstance
  document: ApiDocument
}

/** Builds an application with an API document. `extend` runs before the users plugin is registered. */
async function build (
  t: Test,
  options: UsersOptions,
  extend: (app: FastifyInstance) => void = () => {},
  resolver?: RefResolver
): Promise<Documented> {
  const app = Fastify()
  t.teardown(() => app.close())
  const { openapi, transformObject } = usersOpenapi(options)
  await app.register(swagger, {
    openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } },
    transformObject,
    ...(resolver === undefined ? {} : { refResolver: resolver })
  })
  extend(app)
  await app.register(users, options)
  addGuarded(app)
  await app.ready()
  return { app, document: documentOf(app) }
}

const documentOf = (app: FastifyInstance): ApiDocument => JSON.parse(JSON.stringify(app.swagger())) as ApiDocument

function addGuarded (app: FastifyInstance): void {
  const handler = async (): Promise<object> => ({})
  app.get('/own/guarded', { preHandler: authenticate }, handler)
  app.get('/own/optional', { onRequest: authenticate({ optional: true }) }, handler)
  app.get('/own/cookie', { preHandler: authenticate({ backends: ['cookie'] }) }, handler)
  app.get('/own/dynamic', { preValidation: authenticate({ backends: () => ['jwt'] }) }, handler)
  app.get(
    '/own/both',
    { onRequest: authenticate({ optional: true }), preHandler: [async () => {}, authenticate({ superuser: true })] },
    handler
  )
  app.get('/own/declared', { preHandler: authenticate, schema: { security: [{ jwt: [] }] } as object }, handler)
  app.get('/own/open', handler)
}

function addClashing (app: FastifyInstance): void {
  app.addSchema({ $id: 'UserRead', type: 'object', properties: { nick: { type: 'string' } } })
  app.addSchema({ $id: 'Error', type: 'object', properties: { problem: { type: 'string' } } })
  app.get(
    '/own/referring',
    { schema: { response: { 200: { $ref: 'UserRead#' }, '4xx': { $ref: 'Error#' } } } },
    async () => ({ nick: 'own', id: 1 })
  )
  app.get(
    '/own/titled',
    { schema: { response: { 200: { title: 'UserRead', type: 'object', properties: { nick: { type: 'string' } } } } } },
    async () => ({ nick: 'own', id: 1 })
  )
}

const BROKEN: Record<string, (document: ApiDocument) => void> = {
  'a reply without a description': ({ paths }) => {
    delete (paths['/users/me']?.get?.responses['200'] as Partial<{ description: string }>).description
  },
  'no info': (document) => {
    delete (document as { info?: object }).info
  },
  'a security scheme of an unknown type': ({ components }) => {
    components.securitySchemes.jwt = { type: 'magic' }
  },
  'a component name with a space': ({ components }) => {
    components.schemas['User Read'] = components.schemas.UserRead as never
  },
  'security that is not an array': ({ paths }) => {
    Object.assign(paths['/users/me']?.get as object, { security: { jwt: [] } })
  }
}

t.test(
  'row 87: two validators accept the document as OpenAPI 3.1 and reject broken ones',
  async (t) => {
    const { document } = await build(t, optionsWith(), addClashing)
    t.equal(document.openapi, '3.1.0')
    t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
    for (const [name, breakIt] of Object.entries(BROKEN)) {
      const broken = structuredClone(document)
      breakIt(broken)
      const { seriousme, readme } = await validateDocument(broken)
      t.ok(seriousme !== null && readme !== null, `both reject ${name}`)
    }
    for (const options of [
      optionsWith({ compatibility: 'fastapi-users' }),
      optionsWith({ sensitiveChanges: 'confirm', revealExistingAccounts: false })
    ]) {
      t.strictSame(await validateDocument((await build(t, options)).document), { seriousme: null, readme: null })
    }
  }
)

t.test('row 87: every operation of the plugin has a unique id, a summary and a tag', async (t) => {
  const { document } = await build(t, optionsWith())
  const ours = operationsOf(document).filter(({ path }) => !path.startsWith('/own'))
  t.strictSame(ours.map(({ operation }) => operation.operationId).sort(), [
    'currentUser',
    'deleteUser',
    'forgotPassword',
    'login:cookie',
    'login:jwt',
    'logout:cookie',
    'logout:jwt',
    'patchCurrentUser',
    'patchUser',
    'reauthenticate:cookie',
    'reauthenticate:jwt',
    'register',
    'requestVerifyToken',
    'resetPassword',
    'user',
    'verify'
  ])
  for (const {
    path,
    operation: { summary, tags }
  } of ours) {
    t.ok(summary !== '' && tags.join() === path.split('/')[1], path)
  }
})

t.test(
  'row 87: each backend has a security scheme, and guarded routes of plugin and application list the right ones',
  async (t) => {
    const { document } = await build(t, optionsWith(), addClashing)
    t.strictSame(document.components.securitySchemes, {
      jwt: { type: 'http', scheme: 'bearer' },
      cookie: { type: 'apiKey', in: 'cookie', name: '__Host-users-cookie' }
    })
    const all = [{ jwt: [] }, { cookie: [] }]
    const guarded = {
      '/users/me': all,
      '/users/{id}': all,
      '/auth/jwt/logout': all,
      '/auth/cookie/logout': all,
      '/auth/jwt/reauthenticate': [{ jwt: [] }],
      '/auth/cookie/reauthenticate': [{ cookie: [] }],
      '/own/guarded': all,
      '/own/dynamic': all,
      '/own/both': all,
      '/own/optional': [{}, ...all],
      '/own/cookie': [{ cookie: [] }],
      '/own/declared': [{ jwt: [] }]
    }
    for (const { path, method, operation } of operationsOf(document)) {
      const open = path.startsWith('/own') ? undefined : []
      t.strictSame(
        operation.security,
        path in guarded ? guarded[path as keyof typeof guarded] : open,
        `${method} ${path}`
      )
    }
    const silent = await build(t, optionsWith({ openapiSecurity: false }))
    t.notOk(
      'security' in (silent.document.paths['/own/guarded']?.get ?? {}),
      "the application's routes are described only with openapiSecurity"
    )
    t.strictSame(silent.document.paths['/users/me']?.get?.security, all)
  }
)

t.test(
  'row 87: the schemas UserRead, UserCreate and UserUpdate contain the custom fields that each may have',
  async (t) => {
    const {
      document: {
        components: { schemas }
      }
    } = await build(t, optionsWith())
    t.strictSame(Object.keys(schemas).sort(), [
      'BearerResponse',
      'Error',
      'ForgotPassword',
      'LoginForm',
      'PasswordRefused',
      'Reauthenticate',
      'RefusedPassword',
      'RequestVerify',
      'ResetPassword',
      'UserCreate',
      'UserRead',
      'UserUpdate',
      'Verify'
    ])
    const custom = (name: string): string[] =>
      Object.keys(schemas[name]?.properties ?? {}).filter((field) => field in fields)
    t.strictSame(
      { read: custom('UserRead'), create: custom('UserCreate'), update: custom('UserUpdate') },
      {
        read: ['display_name', 'birthday', 'credits', 'score'],
        create: ['display_name', 'birthday', 'credits'],
        update: ['display_name', 'credits']
      }
    )
    t.same(schemas.UserRead?.properties.display_name, { type: 'string', maxLength: 80, default: 'stranger' })
    t.strictSame(schemas.UserCreate?.required, ['email', 'password'])
    t.notMatch(
      JSON.stringify([schemas.UserCreate, schemas.UserUpdate]),
      /"default"/,
      'no defaults in requests, because generated clients make such fields required'
    )
    t.notOk(JSON.stringify(schemas).includes('hash'), 'no hash')
    t.notMatch(JSON.stringify(schemas), /x-component|x-codes|x-response|x-examples/)
  }
)

t.test('row 87: schemas of the application with the same names are unchanged', async (t) => {
  for (const [name, resolver] of [
    ['numbered', undefined],
    ['by $id', byId]
  ] as const) {
    const {
      app,
      document: {
        components: { schemas },
        paths
      }
    } = await build(t, optionsWith(), addClashing, resolver)
    t.strictSame(await validateDocument(documentOf(app)), { seriousme: null, readme: null }, name)
    const referring = paths['/own/referring']?.get?.responses['200']?.content?.['application/json']?.schema as {
      $ref: string
    }
    t.strictSame(
      Object.keys(schemas[referring.$ref.replace('#/components/schemas/', '')]?.properties ?? {}),
      ['nick'],
      `${name}: the application's schema`
    )
    const ours = paths['/users/me']?.get?.responses['200']?.content?.['application/json']?.schema as { $ref: string }
    t.equal(
      ours.$ref,
      `#/components/schemas/${resolver === undefined ? 'UserRead' : 'UsersUserRead'}`,
      `${name}: the plugin's schema`
    )
    t.ok(schemas[ours.$ref.replace('#/components/schemas/', '')]?.properties.email)
    t.match(
      paths['/own/titled']?.get?.responses['200']?.content,
      { 'application/json': { schema: { title: 'UserRead', properties: { nick: {} } } } },
      `${name}: the inline schema`
    )
    t.strictSame((await app.inject('/own/referring')).json(), { nick: 'own' })
    t.strictSame((await app.inject('/own/titled')).json(), { nick: 'own' })
  }
})

t.test("row 87: the plugin's schema gets another name if the application uses all of its names", async (t) => {
  const { document } = await build(
    t,
    optionsWith(),
    (app) => {
      addClashing(app)
      app.addSchema({ $id: 'UsersUserRead', type: 'object', properties: { nick: { type: 'string' } } })
    },
    byId
  )
  t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
  t.match(document.paths['/users/me']?.get?.responses['200']?.content, {
    'application/json': { schema: { $ref: '#/components/schemas/UserRead_' } }
  })
})

t.test('row 87: two tenants share one document, each with its own schemes, operation ids and users', async (t) => {
  const customers = optionsWith()
  const staff = optionsWith({ name: 'staff', schemas: userSchemas({ badge: Type.String() }) })
  const app = Fastify()
  t.teardown(() => app.close())
  const { openapi, transformObject } = usersOpenapi(customers, staff)
  await app.register(swagger, { openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } }, transformObject })
  await app.register(async (scope) => {
    await scope.register(users, customers)
  })
  await app.register(
    async (scope) => {
      await scope.register(users, staff)
      scope.get('/own', { preHandler: authenticate }, async () => ({}))
    },
    { prefix: '/staff' }
  )
  await app.ready()
  const document = documentOf(app)
  t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
  const operations = operationsOf(document).filter(({ path }) => path !== '/staff/own')
  t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, 32)
  t.ok(
    operations.every(({ path, operation }) => path.startsWith('/staff/') === operation.operationId.startsWith('staff.'))
  )
  t.strictSame(Object.keys(document.components.securitySchemes), ['jwt', 'cookie', 'staff-jwt', 'staff-cookie'])
  t.strictSame(document.paths['/staff/users/me']?.get?.security, [{ 'staff-jwt': [] }, { 'staff-cookie': [] }])
  t.strictSame(document.paths['/staff/own']?.get?.security, [{ 'staff-jwt': [] }, { 'staff-cookie': [] }])
  const { UserRead, StaffUserRead, StaffUserCreate, StaffUserUpdate, StaffError, Error } = document.components.schemas
  t.ok(
    UserRead?.properties.credits &&
      StaffUserRead?.properties.badge &&
      StaffUserCreate?.properties.badge &&
      StaffUserUpdate?.properties.badge
  )
  t.ok(Error !== undefined && StaffError === undefined, 'equal schemas are shared')
})

t.test(
  'row 87: operationIds: with fastapi, the ids, summaries and statuses equal those of FastAPI Users',
  async (t) => {
    const { document } = await build(t, optionsWith({ compatibility: 'fastapi-users' }))
    const ours = operationsOf(document).filter(({ path }) => !path.startsWith('/own'))
    const actual = Object.fromEntries(
      ours.map(({ operation: { operationId, summary, responses } }) => [
        operationId,
        [
          summary,
          Object.keys(responses)
            .filter((status) => !['413', '500', '503'].includes(status))
            .join()
        ]
      ])
    )
    t.strictSame(actual, {
      auth_jwt_login_auth_jwt_login_post: ['Auth:Jwt.Login', '200,400,403,422'],
      auth_jwt_logout_auth_jwt_logout_post: ['Auth:Jwt.Logout', '204,401,403,415'],
      auth_cookie_login_auth_cookie_login_post: ['Auth:Cookie.Login', '204,400,403,422'],
      auth_cookie_logout_auth_cookie_logout_post: ['Auth:Cookie.Logout', '204,401,403,415'],
      auth_jwt_reauthenticate_auth_jwt_reauthenticate_post: ['Auth:Jwt.Reauthenticate', '200,400,401,422'],
      auth_cookie_reauthenticate_auth_cookie_reauthenticate_post: ['Auth:Cookie.Reauthenticate', '204,400,401,403,422'],
      register_register_auth_register_post: ['Register:Register', '201,400,422'],
      reset_forgot_password_auth_forgot_password_post: ['Reset:Forgot Password', '202,422'],
      reset_reset_password_auth_reset_password_post: ['Reset:Reset Password', '200,400,422'],
      verify_request_token_auth_request_verify_token_post: ['Verify:Request-Token', '202,422'],
      verify_verify_auth_verify_post: ['Verify:Verify', '200,400,422'],
      users_current_user_users_me_get: ['Users:Current User', '200,401,403'],
      users_patch_current_user_users_me_patch: ['Users:Patch Current User', '200,400,401,403,422'],
      users_user_users__id__get: ['Users:User', '200,401,403,404'],
      users_patch_user_users__id__patch: ['Users:Patch User', '200,400,401,403,404,422'],
      users_delete_user_users__id__delete: ['Users:Delete User', '204,400,401,403,404,415,422']
    })
    t.strictSame(Object.keys(document.paths['/auth/jwt/login']?.post?.requestBody?.content ?? {}), [
      'application/x-www-form-urlencoded',
      'multipart/form-data'
    ])
    t.strictSame(document.components.securitySchemes.cookie, { type: 'apiKey', in: 'cookie', name: 'fastapiusersauth' })
    t.strictSame(document.components.schemas.ErrorModel?.required, ['detail'])
  }
)

t.test('row 87: login documents and accepts its body in three content types', async (t) => {
  const { app, document } = await build(t, optionsWith())
  await createUser(app, { email: 'king.arthur@camelot.bt', password: PASSWORD })
  const bodies: Record<string, [string, string]> = {
    'application/x-www-form-urlencoded': [
      'application/x-www-form-urlencoded',
      `username=king.arthur%40camelot.bt&password=${PASSWORD}`
    ],
    'multipart/form-data': [
      'multipart/form-data; boundary=x',
      `--x\r\ncontent-disposition: form-data; name="username"\r\n\r\nking.arthur@camelot.bt\r\n--x\r\ncontent-disposition: form-data; name="password"\r\n\r\n${PASSWORD}\r\n--x--\r\n`
    ],
    'application/json': ['application/json', JSON.stringify({ username: 'king.arthur@camelot.bt', password: PASSWORD })]
  }
  for (const [backend, status] of [
    ['jwt', 200],
    ['cookie', 204]
  ] as const) {
    const { requestBody, responses } = document.paths[`/auth/${backend}/login`]?.post as Operation
    t.strictSame(
      requestBody?.content,
      Object.fromEntries(
        Object.keys(bodies).map((type) => [type, { schema: { $ref: '#/components/schemas/LoginForm' } }])
      )
    )
    t.equal('content' in (responses[status] ?? {}), status === 200)
    for (const [type, payload] of Object.values(bodies)) {
      t.equal(
        (
          await app.inject({
            method: 'POST',
            url: `/auth/${backend}/login`,
            headers: { 'content-type': type },
            payload
          })
        ).statusCode,
        status,
        `${backend} ${type}`
      )
    }
  }
})

// Compares the document with the running application: each request below is sent to each operation, and each reply is
// looked up in the document.

type Request = Omit<InjectOptions, 'headers'> & { headers: Record<string, string> }

/** The state that a request can change to cause another reply of an operation. */
interface Scenario {
  app: FastifyInstance
  operation: Operation
  method: string
  path: string
  store: ReturnType<typeof watchedAdapter>
  full: { queue: boolean }
  /** Seconds by which the clock of the application is ahead. */
  ahead: { seconds: number }
  tokens: { reset: string; verify: string }
}

const json = (payload: unknown): Partial<Request> => ({ payload: JSON.stringify(payload) })
const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }

/** Creates a user, verified by default, and returns it with the headers of a new session. */
async function session (
  { app }: Scenario,
  attributes: Partial<User>,
  backend: string
): Promise<{ user: User; headers: Record<string, string> }> {
  const user = await createUser(app, { password: PASSWORD, is_verified: true, ...attributes })
  const login = await app.inject({
    method: 'POST',
    url: `/auth/${backend}/login`,
    headers: FORM_TYPE,
    payload: new URLSearchParams({ username: user.email, password: PASSWORD }).toString()
  })
  return {
    user,
    headers:
      backend === 'jwt'
        ? { authorization: `Bearer ${login.json<{ access_token: string }>().access_token}` }
        : { cookie: cookieOf(login) }
  }
}

/** Returns the backend of an operation that accepts only one. */
function onlyBackendOf ({ security = [] }: Operation): string | undefined {
  return security.length === 1 ? Object.keys(security[0] ?? {})[0] : undefined
}

/** Creates a request of the operation that succeeds. */
async function valid (
  scenario: Scenario,
  backend = onlyBackendOf(scenario.operation) ?? 'jwt'
): Promise<{ request: Request; user: User }> {
  const { app, operation, method, path, tokens } = scenario
  const [name] = operation.operationId.split(':')
  const guarded = operation.security?.length !== 0
  const { user, headers } = guarded
    ? await session(scenario, { is_superuser: true }, backend)
    : {
        user: await createUser(app, {
          password: PASSWORD,
          is_verified: name !== 'verify' && name !== 'requestVerifyToken'
        }),
        headers: {}
      }
  if (name === 'resetPassword') await app.users.forgotPassword(user.email)
  if (name === 'verify') await app.users.requestVerify(user.email)
  await app.users.settled()
  const bodies: Record<string, object> = {
    login: { username: user.email, password: PASSWORD },
    register: { email: `new-${user.email}`, password: PASSWORD, birthday: '2000-02-29' },
    forgotPassword: { email: user.email },
    requestVerifyToken: { email: user.email },
    resetPassword: { token: tokens.reset, password: 'round-table-2' },
    verify: { token: tokens.verify },
    patchCurrentUser: { display_name: 'Arthur' },
    patchUser: { credits: 1 },
    reauthenticate: { password: PASSWORD }
  }
  const body = bodies[name ?? '']
  const other = path.includes('{id}') ? await createUser(app) : user
  return {
    user,
    request: {
      method: method.toUpperCase() as 'GET',
      url: path.replace('{id}', String(other.id)),
      headers: { ...headers, ...(body === undefined ? {} : JSON_TYPE) },
      ...(body === undefined ? {} : json(body))
    }
  }
}

const bodyOf = ({ payload }: Request): Record<string, unknown> =>
  typeof payload === 'string' ? (JSON.parse(payload) as Record<string, unknown>) : {}
const withBody = (request: Request, change: object): Request => ({
  ...request,
  headers: { ...request.headers, ...JSON_TYPE },
  ...json({ ...bodyOf(request), ...change })
})
const ofOwnId = (request: Request, { id }: User): Request => ({
  ...request,
  url: String(request.url).replace(/\/users\/[0-9a-f-]{36}$/, `/users/${String(id)}`)
})
type Provoke = (scenario: Scenario, given: { request: Request; user: User }) => Request | Promise<Request>

/** Returns the request that causes each code. On some routes it causes another code. */
const PROVOKE: Record<string, Provoke> = {
  nothing: (_, { request }) => request,
  'other backend': async (scenario) => (await valid(scenario, 'cookie')).request,
  'unknown keys': (_, { request }) => withBody(request, { extra: 1 }),
  'no body': (_, { request: { payload, ...request } }) => ({
    ...request,
    headers: { ...request.headers, ...JSON_TYPE }
  }),
  'no content type': (_, { request }) => ({ ...request, headers: { ...request.headers, 'content-type': '' } }),
  'a wrong type': (_, { request }) => withBody(request, { email: 1, token: 1, username: 1, display_name: 1 }),
  FST_ERR_VALIDATION: (_, { request }) => ({
    ...request,
    headers: { ...request.headers, ...JSON_TYPE },
    payload: '[]'
  }),
  FST_ERR_CTP_BODY_TOO_LARGE: (_, { request }) => withBody(request, { extra: 'x'.repeat(20_000) }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (_, { request }) => ({
    ...request,
    headers: { ...request.headers, 'content-type': 'text/plain' },
    payload: 'x'
  }),
  FST_USERS_BAD_REQUEST: (_, { request }) => ({
    ...request,
    headers: { ...request.headers, ...JSON_TYPE },
    payload: '{"'
  }),
  FST_USERS_INTERNAL_ERROR: (_, { request }) => ({ ...request, headers: { ...request.headers, 'x-break': '1' } }),
  FST_USERS_STORE_UNAVAILABLE: ({ store }, { request }) => {
    store.watch(() => {
      throw Object.assign(new Error('the store is down'), { code: 'ECONNREFUSED' })
    })
    return request
  },
  FST_USERS_PASSWORD_QUEUE_FULL: ({ full }, { request }) => {
    full.queue = true
    const isLogin = bodyOf(request).username !== undefined
    return withBody(request, isLogin ? {} : { password: 'round-table-2', current_password: PASSWORD })
  },
  FST_USERS_UNAUTHENTICATED: (
    _scenario,
    {
      request: {
        headers: { authorization, cookie, ...headers },
        ...request
      }
    }
  ) => ({ ...request, headers }),
  FST_USERS_FORBIDDEN: async ({ app }, { request, user }) => {
    await app.users.update(user, { is_verified: false })
    return request
  },
  FST_USERS_CROSS_SITE_REQUEST: async (scenario) => {
    const { request } = await valid(scenario, 'cookie')
    return { ...request, headers: { ...request.headers, 'sec-fetch-site': 'cross-site' } }
  },
  FST_USERS_NOT_FOUND: (_, { request }) => ({
    ...request,
    url: String(request.url).replace(/\/users\/[0-9a-f-]{36}$/, '/users/05fff8ce-3a06-48f2-9c44-a16751012464')
  }),
  FST_USERS_INVALID_USER: (_, { request }) => withBody(request, { display_name: 'a\0b' }),
  FST_USERS_REGISTER_USER_ALREADY_EXISTS: (_, { request, user }) => withBody(request, { email: user.email }),
  FST_USERS_REGISTER_INVALID_PASSWORD: (_, { request }) =>
    withBody(request, { password: 'short', current_password: PASSWORD }),
  FST_USERS_LOGIN_BAD_CREDENTIALS: (_, { request }) => withBody(request, { password: 'wrong-password' }),
  FST_USERS_LOGIN_USER_NOT_VERIFIED: async ({ app }, { request, user }) => {
    await app.users.update(user, { is_verified: false })
    return request
  },
  FST_USERS_LOGIN_PENDING: async ({ app }, { request }) => {
    await app.users.create({ email: 'pending@camelot.bt', password: PASSWORD, is_verified: true }).catch(() => {})
    return withBody(request, { username: 'pending@camelot.bt', password: PASSWORD })
  },
  FST_USERS_RESET_PASSWORD_BAD_TOKEN: (_, { request }) => withBody(request, { token: 'x' }),
  FST_USERS_VERIFY_USER_ALREADY_VERIFIED: async ({ app }, { request, user }) => {
    await app.users.update(user, { is_verified: true })
    return request
  },
  FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS: async ({ app }, { request }) =>
    withBody(request, { email: (await createUser(app)).email }),
  FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD: (_, { request }) =>
    withBody(request, { password: 'round-table-2', current_password: 'wrong-password' }),
  'a wrong current password for the id of the caller': (_, { request, user }) =>
    withBody(ofOwnId(request, user), { password: 'round-table-2', current_password: 'wrong-password' }),
  FST_USERS_INSUFFICIENT_USER_AUTHENTICATION: ({ ahead }, { request, user }) => {
    ahead.seconds = 302
    return withBody(ofOwnId(request, user), { email: `other-${user.email}` })
  },
  FST_USERS_LAST_SUPERUSER: async ({ app, store }, { request, user }) => {
    if (!user.is_superuser) return request
    for (const { id, is_superuser: is } of await store.rows('user')) {
      if (is === true && id !== user.id) await app.users.update(id as User['id'], { is_superuser: false })
    }
    return withBody(ofOwnId(request, user), { is_superuser: false })
  },
  'new password': (_, { request }) => withBody(
    request,
    { password: 'round-table-2', current_password: PASSWORD }
  )
}

/** Documented outcomes of a login with a JSON body, which do not occur where only forms are accepted. */
const JSON_LOGIN_OUTCOMES = [
  'login:jwt 200',
  'login:jwt 400',
  'login:jwt 403',
  'login:jwt 500',
  'login:jwt 503',
  'login:cookie 204',
  'login:cookie 400',
  'login:cookie 500',
  'login:cookie 503'
]

const addFormats = addFormatsModule.default // the package is CommonJS

interface Compare {
  (operation: Operation, reply: LightMyRequestResponse): { outcome: string; problems: string[] }
}

/** Returns a function that looks up a reply in the document and lists the differences. */
function createComparer (document: ApiDocument): Compare {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats(ajv)
  ajv.addFormat('password', true)
  ajv.addSchema(document, 'document')
  const compiled = new Map<object, ReturnType<typeof ajv.compile>>()
  const listSchemaErrors = (schema: object, value: unknown): string[] => {
    const absolute = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as object
    const check = compiled.get(schema) ?? ajv.compile(absolute)
    compiled.set(schema, check)
    return check(value) ? [] : [ajv.errorsText(check.errors)]
  }
  return ({ operationId, responses }, reply) => {
    const { statusCode, headers, body } = reply
    const documented = responses[statusCode]
    if (documented === undefined) {
      return { outcome: `${operationId} ${statusCode}`, problems: [`no status ${statusCode}: ${body}`] }
    }
    if (documented.content === undefined) {
      return { outcome: `${operationId} ${statusCode}`, problems: body === '' ? [] : [`a body: ${body}`] }
    }
    const [type = ''] = String(headers['content-type']).split(';')
    const media = documented.content[type]
    if (media === undefined) return { outcome: `${operationId} ${statusCode}`, problems: [`no content ${type}`] }
    const value: unknown = type === 'application/json' ? JSON.parse(body) : body
    const problems = [
      ...listSchemaErrors(media.schema, value),
      ...Object.values(media.examples ?? {}).flatMap((example) => listSchemaErrors(media.schema, example.value))
    ]
    if (statusCode < 400) return { outcome: `${operationId} ${statusCode}`, problems }
    const { code } = value as { code?: string }
    if (code === undefined) return { outcome: `${operationId} ${statusCode}`, problems }
    const example = media.examples?.[code]?.value
    const differs =
      example === undefined ? [`no example of ${code}`] : compareErrors(example as ErrorBody, value as ErrorBody)
    return { outcome: `${operationId} ${statusCode} ${code}`, problems: [...problems, ...differs] }
  }
}

interface ErrorBody {
  statusCode: number
  code: string
  error: string
  message: string
  detail: unknown
}

/** Lists the differences of an error from its example, except for reasons, validation problems and the request id. */
function compareErrors (example: ErrorBody, given: ErrorBody): string[] {
  const plain = ({ statusCode, code, error, detail }: ErrorBody): string =>
    JSON.stringify({
      statusCode,
      code,
      error,
      detail: typeof detail === 'string' ? detail : Object.keys((Array.isArray(detail) ? detail[0] : detail) as object)
    })
  const message = typeof example.detail === 'string' && !given.message.startsWith(example.message)
  return [
    ...(plain(example) === plain(given) ? [] : [`${plain(example)} is not ${plain(given)}`]),
    ...(message ? [`${example.message} is not ${given.message}`] : [])
  ]
}

/** Sends every request to an application with these options, and returns the seen and the documented outcomes. */
async function sendAll (
  t: Test,
  options: Partial<UsersOptions>
): Promise<{ seen: Set<string>; documented: Set<string> }> {
  const store = watchedAdapter(memory())
  const full = { queue: false }
  const ahead = { seconds: 0 }
  const tokens = { reset: '', verify: '' }
  const queue =
    <A extends unknown[], R>(work: (...args: A) => R) =>
      (...args: A): R => {
        if (full.queue) throw FST_USERS_PASSWORD_QUEUE_FULL([], { headers: { 'retry-after': '1' } })
        return work(...args)
      }
  const { app, document } = await build(
    t,
    optionsWith({
      adapter: store.adapter,
      requireVerification: true,
      clock: () => Date.now() + ahead.seconds * 1000,
      passwords: {
        ...fastPasswords,
        hash: queue(fastPasswords.hash),
        verifyAndUpdate: queue(fastPasswords.verifyAndUpdate)
      },
      hooks: {
        onBeforeLogin: ({ user }) =>
          user.email.startsWith('pending@') ? { pending: { code: 'SECOND_FACTOR' } } : undefined,
        onAfterForgotPassword: ({ token }) => {
          tokens.reset = token
        },
        onAfterRequestVerify: ({ token }) => {
          tokens.verify = token
        }
      },
      ...options
    }),
    (app) => {
      app.addHook('preHandler', async ({ headers }) => {
        if (headers['x-break'] !== undefined) throw new Error('a bug')
      })
    }
  )
  const compare = createComparer(document)
  const seen = new Set<string>()
  const documented = new Set<string>()
  for (const { method, path, operation } of operationsOf(document).filter(({ path }) => !path.startsWith('/own'))) {
    const scenario: Scenario = { app, operation, method, path, store, full, ahead, tokens }
    for (const [status, { content }] of Object.entries(operation.responses)) {
      const codes =
        Number(status) < 400 || options.compatibility !== undefined
          ? ['']
          : Object.keys(Object.values(content ?? {})[0]?.examples ?? {}).map((code) => ` ${code}`)
      for (const code of codes) documented.add(`${operation.operationId} ${status}${code}`)
    }
    for (const [name, provoke] of Object.entries(PROVOKE)) {
      const reply = await app.inject(await provoke(scenario, await valid(scenario)))
      store.watch()
      full.queue = false
      ahead.seconds = 0
      const { outcome, problems } = compare(operation, reply)
      seen.add(outcome)
      t.strictSame(problems, [], `${operation.operationId}, ${name}: ${outcome}`)
    }
  }
  return { seen, documented }
}

t.test('row 87: every documented status and code occurs with its example, and no other one occurs', async (t) => {
  const { seen, documented } = await sendAll(t, {})
  t.strictSame(
    [...documented].filter((outcome) => !seen.has(outcome)),
    []
  )
  t.ok(documented.size > 120, `${documented.size} documented outcomes`)
  t.ok(
    [...documented].every(
      (outcome) => !outcome.includes('FST_USERS_') || errorTable().some(({ code }) => outcome.endsWith(code))
    )
  )
})

t.test('row 87: the document changes with the options that change replies', async (t) => {
  const { seen, documented } = await sendAll(t, { sensitiveChanges: 'confirm', revealExistingAccounts: false })
  t.strictSame(
    [...documented].filter((outcome) => !seen.has(outcome)),
    []
  )
  t.ok(
    documented.has('register 202') &&
      !documented.has('register 201') &&
      !documented.has('register 400 FST_USERS_REGISTER_USER_ALREADY_EXISTS')
  )
  t.ok(
    documented.has('patchCurrentUser 400 FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD') &&
      documented.has('patchUser 400 FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD')
  )
})

t.test('row 87: the document describes the replies of errorStyle: fastapi', async (t) => {
  const { seen, documented } = await sendAll(t, { compatibility: { errorStyle: 'fastapi', nullBodies: true } })
  t.strictSame(
    [...documented].filter((outcome) => !seen.has(outcome)),
    JSON_LOGIN_OUTCOMES,
    'only logins with a JSON body are missing, because this mode accepts forms only'
  )
  t.ok(documented.has('register 422') && documented.has('register 500') && !documented.has('register 415'))
})
