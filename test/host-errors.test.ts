import createError from '@fastify/error'
import swagger from '@fastify/swagger'
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type LightMyRequestResponse
} from 'fastify'
import t, { type Test } from 'tap'
import { authenticate, refuse, users, usersOpenapi, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { validateDocument, type ApiDocument } from './helpers/api-document.js'
import { ARTHUR, backends, fastPasswords, PASSWORD, assertErrorReply, SECRET } from './helpers/build-app.js'

type Extend = (app: FastifyInstance) => void
interface Setup {
  before?: Extend
  after?: Extend
  options?: Partial<UsersOptions>
}

const optionsWith = (options: Partial<UsersOptions> = {}): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false,
  ...options
})

async function build (t: Test, { before, after, options }: Setup): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  before?.(app)
  await app.register(users, optionsWith(options))
  after?.(app)
  app.get('/guarded', { preHandler: authenticate }, async () => ({}))
  await app.ready()
  return app
}

/** Headers that do not depend on the error. */
const COMMON_HEADERS = new Set([
  'cache-control',
  'x-content-type-options',
  'content-type',
  'content-length',
  'date',
  'connection'
])

function errorParts ({ statusCode, headers, body }: LightMyRequestResponse): object {
  const ownHeaders = Object.entries(headers).filter(([name]) => !COMMON_HEADERS.has(name))
  return { statusCode, body, headers: Object.fromEntries(ownHeaders) }
}

const UNDER_PRESSURE = createError('FST_UNDER_PRESSURE', 'Service Unavailable', 503)

/** Errors that other plugins throw in hooks, each with the expected status of the reply. */
const PLUGIN_ERRORS: Record<string, [number, (request: FastifyRequest, reply: FastifyReply) => unknown]> = {
  'an overloaded server': [
    503,
    (_request, reply) => {
      reply.header('retry-after', '10')
      return new UNDER_PRESSURE()
    }
  ],
  'a rate limiter with a custom body': [
    429,
    (_request, reply) => {
      reply.headers({ 'retry-after': 60, 'x-ratelimit-limit': 3, 'x-ratelimit-remaining': 0 })
      return {
        statusCode: 429,
        error: 'Too Many Requests',
        message: 'Slow down.',
        retryAfter: { seconds: 60 },
        code: 'SLOW'
      }
    }
  ],
  'a custom body with a status that our routes document': [
    403,
    () => ({ statusCode: 403, reason: 'not from here', list: [1, { two: 2 }] })
  ],
  'headers of an error': [
    401,
    () =>
      Object.assign(new Error('Who?'), {
        statusCode: 401,
        code: 'APP_WHO',
        headers: { 'www-authenticate': 'Basic realm="camelot"' }
      })
  ],
  'an error with `status` instead of `statusCode`': [
    418,
    () => Object.assign(new Error('A teapot.'), { status: 418, code: 'APP_TEAPOT' })
  ],
  'a status set on the reply': [
    507,
    (_request, reply) => {
      reply.code(507)
      return new Error('Full.')
    }
  ],
  'a status above 500': [504, () => Object.assign(new Error('Late.'), { statusCode: 504, code: 'APP_LATE' })],
  'an explicit status 500': [500, () => createError('APP_BROKEN', 'The disk is full.', 500)()],
  'a validation error with another code': [
    422,
    () => Object.assign(new Error('No.'), { statusCode: 422, code: 'APP_NO' })
  ]
}

const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend'] as const

for (const [name, [status, make]] of Object.entries(PLUGIN_ERRORS)) {
  t.test(`an error of another plugin's hook is not changed on our routes: ${name}`, async (t) => {
    for (const hook of HOOKS) {
      const app = await build(t, {
        before (app) {
          let thrown = false
          app.addHook(hook as 'onRequest', async (request, reply) => {
            // The hooks differ only in parameters that are not used here.
            if (thrown) return
            thrown = true
            throw make(request, reply)
          })
          app.addHook('onResponse', async () => {
            thrown = false
          })
          app.post('/own/register', async () => ({}))
        }
      })
      const payload = { email: ARTHUR, password: PASSWORD }
      const own = await app.inject({ method: 'POST', url: '/own/register', payload })
      const ours = await app.inject({ method: 'POST', url: '/auth/register', payload })
      t.equal(ours.statusCode, status, hook)
      t.same(errorParts(ours), errorParts(own), `${hook}: equals the reply of the application's own route`)
    }
  })
}

t.test(
  "an error of another plugin reaches the application's error handler, set before or after the plugin",
  async (t) => {
    const setHandler: Extend = (app) => {
      app.setErrorHandler(async (error: FastifyError, _request, reply) => {
        reply.code(error.statusCode ?? 500).header('x-handler', 'own')
        return { problem: error.code }
      })
    }
    const addHook: Extend = (app) => {
      app.addHook('preValidation', async () => {
        throw new UNDER_PRESSURE()
      })
    }
    const setups: Record<string, Setup> = {
      before: {
        before: (app) => {
          setHandler(app)
          addHook(app)
        }
      },
      after: { before: addHook, after: setHandler }
    }
    for (const [name, setup] of Object.entries(setups)) {
      for (const compatibility of [undefined, 'fastapi-users'] as const) {
        const app = await build(t, { ...setup, options: compatibility === undefined ? {} : { compatibility } })
        const reply = await app.inject({ method: 'POST', url: '/auth/register', payload: {} })
        t.same(
          [reply.statusCode, reply.headers['x-handler'], reply.json()],
          [503, 'own', { problem: 'FST_UNDER_PRESSURE' }],
          `${name} ${compatibility}`
        )
      }
    }
  }
)

t.test('an error of another plugin without a valid status is a 500 without details', async (t) => {
  for (const error of [
    new TypeError('canary'),
    Object.assign(new Error('canary'), { statusCode: 200 }),
    'canary',
    { statusCode: 'canary' }
  ]) {
    const app = await build(t, {
      before (app) {
        app.addHook('preHandler', async () => {
          throw error
        })
      }
    })
    const reply = await app.inject({ method: 'POST', url: '/auth/forgot-password', payload: { email: ARTHUR } })
    assertErrorReply(t, reply, 500, 'INTERNAL_ERROR', 'Internal Server Error')
    t.notMatch(reply.body, /canary/)
  }
})

t.test('by default our errors do not reach the error handler of the application', async (t) => {
  const seen: unknown[] = []
  const app = await build(t, {
    before (app) {
      app.setErrorHandler(async (error) => {
        seen.push(error)
        return { own: true }
      })
    }
  })
  assertErrorReply(t, await app.inject('/users/me'), 401, 'UNAUTHENTICATED', 'Unauthorized')
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/register', payload: {} })).json<{ code: string }>().code,
    'FST_ERR_VALIDATION'
  )
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/register', headers: { 'content-type': 'text/csv' }, payload: 'a' }))
      .statusCode,
    415
  )
  t.same(seen, [])
  t.same(
    (await app.inject('/guarded')).json(),
    { own: true },
    "errors of the guard on the application's routes reach it"
  )
})

t.test(
  "with errorHandler: 'application' each error of the plugin reaches the application's error handler",
  async (t) => {
    const handle: Extend = (app) => {
      app.setErrorHandler(async (error: FastifyError & { detail?: unknown }, _request, reply) => {
        reply.code(error.statusCode ?? 500).type('application/problem+json')
        return { type: error.code, code: { nested: true }, title: error.message, detail: error.detail }
      })
    }
    const hooks: UsersOptions['hooks'] = {
      onBeforeRegister ({ user: { email } }) {
        if (email.startsWith('no')) throw refuse(403, 'CLOSED', 'Closed.')
        if (email.startsWith('own')) throw Object.assign(new Error('Pay first.'), { statusCode: 402, code: 'APP_PAY' })
        if (email.startsWith('bug')) throw new TypeError('canary')
      }
    }
    for (const order of ['before', 'after'] as const) {
      for (const compatibility of [undefined, 'fastapi-users'] as const) {
        const app = await build(t, {
          [order]: handle,
          options: { errorHandler: 'application', hooks, ...(compatibility === undefined ? {} : { compatibility }) }
        })
        const register = async (payload: object): Promise<LightMyRequestResponse> =>
          app.inject({ method: 'POST', url: '/auth/register', payload })
        const cases: [number, string, unknown, LightMyRequestResponse][] = [
          [401, 'FST_USERS_UNAUTHENTICATED', 'Unauthorized', await app.inject('/users/me')],
          [401, 'FST_USERS_UNAUTHENTICATED', 'Unauthorized', await app.inject('/guarded')],
          [400, 'FST_ERR_VALIDATION', undefined, await register({ password: PASSWORD })],
          [
            400,
            'FST_USERS_BAD_REQUEST',
            'Bad Request',
            await app.inject({
              method: 'POST',
              url: '/auth/register',
              headers: { 'content-type': 'application/json' },
              payload: '{'
            })
          ],
          [403, 'FST_USERS_REFUSED', 'CLOSED', await register({ email: 'no@camelot.bt', password: PASSWORD })],
          [402, 'APP_PAY', undefined, await register({ email: 'own@camelot.bt', password: PASSWORD })],
          [
            500,
            'FST_USERS_INTERNAL_ERROR',
            'Internal Server Error',
            await register({ email: 'bug@camelot.bt', password: PASSWORD })
          ]
        ]
        for (const [status, type, detail, reply] of cases) {
          t.match(reply.headers['content-type'], /^application\/problem\+json/, type)
          const body = reply.json<{ type: string; code: object; detail: unknown }>()
          t.same(
            [reply.statusCode, body.type, body.detail, body.code],
            [status, type, detail, { nested: true }],
            `${order} ${compatibility} ${type}`
          )
          t.notMatch(reply.body, /canary/)
        }
      }
    }
  }
)

t.test(
  "with errorHandler: 'application' and no error handler, the default handler of Fastify replies with code and detail",
  async (t) => {
    const app = await build(t, {
      options: {
        errorHandler: 'application',
        hooks: {
          onBeforeRegister () {
            throw new TypeError('canary')
          }
        }
      }
    })
    t.same((await app.inject('/users/me')).json(), {
      statusCode: 401,
      code: 'FST_USERS_UNAUTHENTICATED',
      error: 'Unauthorized',
      message: 'The request has no valid session. Log in first.',
      detail: 'Unauthorized'
    })
    const reply = await app.inject({
      method: 'POST',
      url: '/auth/register',
      payload: { email: ARTHUR, password: PASSWORD }
    })
    t.match([reply.statusCode, reply.json()], [500, { code: 'FST_USERS_INTERNAL_ERROR' }])
    t.notMatch(reply.body, /canary/)
  }
)

t.test(
  "with errorHandler: 'application' the OpenAPI document lists statuses and codes without reply schemas",
  async (t) => {
    const options = optionsWith({ errorHandler: 'application' })
    const app = Fastify()
    t.teardown(() => app.close())
    const { openapi, transformObject } = usersOpenapi(options)
    await app.register(swagger, { openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } }, transformObject })
    await app.register(users, options)
    await app.ready()
    const document = JSON.parse(JSON.stringify(app.swagger())) as ApiDocument
    t.strictSame(await validateDocument(document), { seriousme: null, readme: null })
    t.match(document.paths['/users/me']?.get?.responses['401'], {
      description: 'FST_USERS_UNAUTHENTICATED',
      content: { 'application/json': { schema: {} } }
    })
    t.notOk('Error' in document.components.schemas)
  }
)

t.test('an unknown value of errorHandler is refused', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(
    async () => {
      await app.register(users, optionsWith({ errorHandler: 'both' as 'plugin' }))
    },
    { code: 'FST_USERS_INVALID_OPTION', message: /errorHandler/ }
  )
})
