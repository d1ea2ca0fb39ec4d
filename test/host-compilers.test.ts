import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  type FastifyTypeProvider,
  type LightMyRequestResponse
} from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import * as typebox from 'typebox'
import { z } from 'zod'
import { adminOnly, authenticate, userSchemas, users } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, backends, fastPasswords, assertValidationError, PASSWORD, SECRET } from './helpers/build-app.js'

interface OldTypeBoxTypeProvider extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

/**
 * The settings of an application and its own route `POST /own`, which accepts `{ count: 1 }`.
 */
interface Host {
  server?: FastifyServerOptions
  set(app: FastifyInstance): void
  addRoute(app: FastifyInstance): void
  /** The status of `POST /own` with `{ count: '1' }`. */
  textStatus: number
  /** The reply to `{ count: 1 }`. The handler returns `{ count, more: true }`. */
  own: string
}

const handler = async ({ body }: { body: { count: number } }): Promise<{ count: number }> => ({
  count: body.count,
  ...{ more: true }
})
const plainSchema = {
  body: { type: 'object', properties: { count: { type: 'integer' } } },
  response: { 200: { type: 'object', properties: { count: { type: 'integer' } } } }
}
const addPlainRoute: Host['addRoute'] = (app) => {
  app.post<{ Body: { count: number } }>(
    '/own',
    { schema: plainSchema, preHandler: authenticate({ optional: true }) },
    handler
  )
}
const nothing: Host['set'] = () => {}

const HOSTS: Record<string, Host> = {
  "Zod's compilers": {
    set (app) {
      app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
    },
    addRoute (app) {
      const schema = { body: z.object({ count: z.number() }), response: { 200: z.object({ count: z.number() }) } }
      app
        .withTypeProvider<ZodTypeProvider>()
        .post('/own', { schema, preHandler: authenticate({ optional: true }) }, handler)
    },
    textStatus: 400,
    own: '{"count":1}'
  },
  "the TypeBox provider's compiler, TypeBox 1": {
    set (app) {
      app.setValidatorCompiler(TypeBoxValidatorCompiler)
    },
    addRoute (app) {
      const Count = typebox.Type.Object({ count: typebox.Type.Integer() })
      app
        .withTypeProvider<TypeBoxTypeProvider>()
        .post(
          '/own',
          { schema: { body: Count, response: { 200: Count } }, preHandler: authenticate({ optional: true }) },
          handler
        )
    },
    textStatus: 400,
    own: '{"count":1}'
  },
  'a compiler of TypeBox 0.34': {
    set (app) {
      app.setValidatorCompiler<TSchema>(({ schema }) => {
        const check = TypeCompiler.Compile(schema)
        return (value) => (check.Check(value) ? { value } : { error: new Error('invalid') })
      })
    },
    addRoute (app) {
      const Count = Type.Object({ count: Type.Integer() })
      app
        .withTypeProvider<OldTypeBoxTypeProvider>()
        .post(
          '/own',
          { schema: { body: Count, response: { 200: Count } }, preHandler: authenticate({ optional: true }) },
          handler
        )
    },
    textStatus: 400,
    own: '{"count":1}'
  },
  'a reply serializer': {
    set (app) {
      app.setReplySerializer((payload) => JSON.stringify({ wrapped: payload }))
    },
    addRoute: addPlainRoute,
    textStatus: 200,
    own: '{"wrapped":{"count":1,"more":true}}'
  },
  'a schema error formatter that expects other errors': {
    set (app) {
      app.setSchemaErrorFormatter(
        (errors) => new Error((errors[0] as unknown as { issue: { path: string } }).issue.path)
      )
    },
    addRoute: addPlainRoute,
    textStatus: 200,
    own: '{"count":1}'
  },
  'Ajv options that coerce types, set defaults and remove properties': {
    server: {
      ajv: { customOptions: { coerceTypes: 'array', useDefaults: true, removeAdditional: 'all', allErrors: true } }
    },
    set: nothing,
    addRoute: addPlainRoute,
    textStatus: 200,
    own: '{"count":1}'
  },
  'custom compiler factories': {
    server: {
      schemaController: {
        compilersFactory: {
          buildSerializer: () => () => () => '"from the factory"',
          buildValidator: (() => () => () => true) as never
        }
      }
    },
    set: nothing,
    addRoute: addPlainRoute,
    textStatus: 200,
    own: '"from the factory"'
  }
}

async function build (t: Test, { server, set, addRoute }: Host, order: 'before' | 'after'): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  if (order === 'before') set(app)
  await app.register(users, {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    schemas: userSchemas({ credits: adminOnly(Type.Integer({ default: 0 })) })
  })
  if (order === 'after') set(app)
  addRoute(app)
  await app.ready()
  return app
}

for (const [name, host] of Object.entries(HOSTS)) {
  for (const order of ['before', 'after'] as const) {
    t.test(
      `only the application's route is affected by ${name}, set ${order} the plugin`,
      async (t) => {
        const app = await build(t, host, order)
        const post = async (url: string, payload: object): Promise<LightMyRequestResponse> =>
          app.inject({ method: 'POST', url, payload })

        const registered = await post('/auth/register', {
          email: ARTHUR,
          password: PASSWORD,
          credits: 9,
          unknown: true
        })
        t.equal(registered.statusCode, 201)
        const { id, ...user } = registered.json<Record<string, unknown>>()
        t.same(user, { email: ARTHUR, is_active: true, is_superuser: false, is_verified: false, credits: 0 })
        assertValidationError(t, await post('/auth/register', { email: ['lancelot@camelot.bt'], password: PASSWORD }), ['/email'])
        assertValidationError(t, await post('/auth/register', { email: 'lancelot@camelot.bt' }), ['/password'])
        const refusal = await post('/auth/register', { email: ARTHUR, password: PASSWORD })
        t.match(refusal.json(), {
          statusCode: 400,
          code: 'FST_USERS_REGISTER_USER_ALREADY_EXISTS',
          detail: 'REGISTER_USER_ALREADY_EXISTS'
        })

        const login = await post('/auth/jwt/login', { username: ARTHUR, password: PASSWORD })
        t.equal(login.statusCode, 200)
        const authorization = `Bearer ${login.json<{ access_token: string }>().access_token}`
        const me = await app.inject({ url: '/users/me', headers: { authorization } })
        t.same(me.json(), { id, ...user })

        t.equal((await post('/own', { count: 1 })).body, host.own, "the application's own route")
        t.equal((await post('/own', { count: '1' })).statusCode, host.textStatus)
      }
    )
  }
}
