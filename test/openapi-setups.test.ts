import swagger, { type SwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider
} from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { account } from '../lib/features/account/index.js'
import { emailLogin } from '../lib/features/email-login/index.js'
import { recoveryCodes } from '../lib/features/recovery-codes/index.js'
import { totp } from '../lib/features/totp/index.js'
import { github, oauth } from '../lib/features/oauth/index.js'
import { adminOnly, authenticate, users, userSchemas, usersOpenapi, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { operationsOf, validateDocument, type ApiDocument } from './helpers/api-document.js'
import { ARTHUR, backends, fastPasswords, PASSWORD, SECRET } from './helpers/build-app.js'
import { openPage, skipWithoutChromium } from './helpers/chromium.js'

const VALID = { seriousme: null, readme: null }
const schemas = userSchemas({
  nick: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  rank: adminOnly(Type.Union([Type.Literal('page'), Type.Literal('knight')], { default: 'page' })),
  tags: Type.Array(Type.String(), { default: [] })
})

const optionsWith = (options: Partial<UsersOptions> = {}): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false,
  openapiSecurity: true,
  schemas,
  publicUrl: 'https://camelot.example',
  ...options
})

const documentOf = (app: FastifyInstance): ApiDocument => JSON.parse(JSON.stringify(app.swagger())) as ApiDocument

/** Builds an application with this Swagger set-up, and with the users plugin under a prefix. */
async function build (t: Test, setup: SwaggerOptions, options: UsersOptions, prefix = ''): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, setup)
  await app.register(
    async (scope) => {
      await scope.register(users, {
        ...options,
        features: [oauth({
          accountsInReplies: true,
          backend: 'cookie',
          redirects: ['/app'],
          providers: [github({ clientId: 'id', clientSecret: 'secret' })]
        }), emailLogin({ signUp: true }), account({ deletionDelaySeconds: 60 }), totp({ issuer: 'Camelot' }), recoveryCodes()]
      })
      scope.get('/own/guarded', { preHandler: authenticate }, async () => ({}))
    },
    { prefix }
  )
  await app.ready()
  return app
}

t.test('a document without usersOpenapi is valid and has the security schemes', async (t) => {
  const setups: Record<string, SwaggerOptions> = {
    '3.0.3': { openapi: {} },
    '3.0.0': { openapi: { openapi: '3.0.0' } },
    '3.1.0': { openapi: { openapi: '3.1.0' } }
  }
  for (const [version, setup] of Object.entries(setups)) {
    for (const options of [
      {},
      { compatibility: 'fastapi-users' },
      { sensitiveChanges: 'confirm', revealExistingAccounts: false },
      { errorHandler: 'application' }
    ] as const) {
      const document = documentOf(await build(t, setup, optionsWith(options)))
      t.equal(document.openapi, version)
      t.strictSame(await validateDocument(document), VALID, `${version} ${JSON.stringify(options)}`)
      t.strictSame(Object.keys(document.components.securitySchemes), ['jwt', 'cookie'])
      t.strictSame(document.paths['/users/me']?.get?.security, [{ jwt: [] }, { cookie: [] }])
      t.strictSame(document.paths['/own/guarded']?.get?.security, [{ jwt: [] }, { cookie: [] }])
    }
  }
})

t.test('a Swagger 2 document throws an error that names usersOpenapi', async (t) => {
  for (const setup of [{}, { swagger: {} }]) {
    const app = await build(t, setup, optionsWith())
    t.throws(() => app.swagger(), { code: 'FST_USERS_OPENAPI_REQUIRED', message: /usersOpenapi\(options\)/ })
  }
})

t.test('a security scheme of the application with the same name is kept', async (t) => {
  const jwt = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Ours.' } as const
  for (const openapiPasswordFlow of [false, true]) {
    const options = optionsWith({ openapiPasswordFlow })
    const { openapi, transformObject } = usersOpenapi(options)
    const setup: SwaggerOptions = {
      openapi: { ...openapi, components: { securitySchemes: { ...openapi.components.securitySchemes, jwt } } },
      transformObject
    }
    const document = documentOf(await build(t, setup, options, '/api'))
    t.strictSame(await validateDocument(document), VALID)
    t.strictSame(document.components.securitySchemes.jwt, jwt)
  }
})

t.test(
  "a transform for Zod schemas describes the application's routes and leaves the routes of the plugin unchanged",
  async (t) => {
    const options = optionsWith()
    const { openapi, transformObject } = usersOpenapi(options)
    const app = Fastify()
    t.teardown(() => app.close())
    app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
    await app.register(swagger, {
      openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } },
      transform: jsonSchemaTransform,
      transformObject: (documents) => transformObject({ openapiObject: jsonSchemaTransformObject(documents) })
    })
    await app.register(users, options)
    app
      .withTypeProvider<ZodTypeProvider>()
      .get(
        '/own',
        { schema: { response: { 200: z.object({ own: z.string() }) } }, preHandler: authenticate },
        async () => ({ own: 'x' })
      )
    await app.ready()
    const document = documentOf(app)
    t.strictSame(await validateDocument(document), VALID)
    t.match(document.paths['/own']?.get, {
      security: [{ jwt: [] }, { cookie: [] }],
      responses: { 200: { content: { 'application/json': { schema: { properties: { own: { type: 'string' } } } } } } }
    })
    t.match(document.paths['/users/me']?.get?.responses['200']?.content, {
      'application/json': { schema: { $ref: '#/components/schemas/UserRead' } }
    })
  }
)

t.test(
  'openapiPasswordFlow describes bearer backends as the password flow, with the URL of their login route',
  async (t) => {
    for (const prefix of ['', '/api']) {
      for (const withUsersOpenapi of [true, false]) {
        const options = optionsWith({ openapiPasswordFlow: true, routes: { auth: { prefix: '/login' } } })
        const { openapi, transformObject } = usersOpenapi(options)
        const document = documentOf(
          await build(
            t,
            withUsersOpenapi
              ? { openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } }, transformObject }
              : { openapi: {} },
            options,
            prefix
          )
        )
        t.strictSame(await validateDocument(document), VALID)
        const tokenUrl = `${prefix}/login/jwt/login`
        t.strictSame(document.components.securitySchemes, {
          jwt: { type: 'oauth2', flows: { password: { tokenUrl, scopes: {} } } },
          cookie: { type: 'apiKey', in: 'cookie', name: '__Host-users-cookie' }
        })
        t.ok(
          operationsOf(document).some(({ path, method }) => path === tokenUrl && method === 'post'),
          'the login route exists'
        )
        t.strictSame(document.paths[`${prefix}/users/me`]?.get?.security, [{ jwt: [] }, { cookie: [] }])
      }
    }
  }
)

t.test(
  'openapiPasswordFlow keeps the bearer scheme of a backend without a login route, and must be a boolean',
  async (t) => {
    const { openapi } = usersOpenapi(optionsWith({ openapiPasswordFlow: true, routes: { auth: false } }))
    t.strictSame(openapi.components.securitySchemes.jwt, { type: 'http', scheme: 'bearer' })
    t.throws(() => usersOpenapi(optionsWith({ openapiPasswordFlow: 'yes' as unknown as boolean })), {
      code: 'FST_USERS_INVALID_OPTION',
      message: /openapiPasswordFlow/
    })
  }
)

t.test("Swagger UI's Authorize button logs in with e-mail and password", { skip: skipWithoutChromium() }, async (t) => {
  const options = optionsWith({ openapiPasswordFlow: true })
  const { openapi, transformObject } = usersOpenapi(options)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { ...openapi, info: { title: 'Test', version: '1.0.0' } }, transformObject })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  await app.register(
    async (scope) => {
      await scope.register(users, options)
    },
    { prefix: '/api' }
  )
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  await app.inject({ method: 'POST', url: '/api/auth/register', payload: { email: ARTHUR, password: PASSWORD } })

  const { page } = await openPage(t, { width: 1280, height: 1000 })
  await page.goto(`${origin}/docs`)
  await page.locator('.auth-wrapper > .authorize').click()
  const form = page.locator('.modal-ux .auth-container', { hasText: 'password' }).first()
  await form.locator('#oauth_username').fill(ARTHUR)
  await form.locator('#oauth_password').fill(PASSWORD)
  await form.getByRole('button', { name: 'Apply given OAuth2 credentials' }).click()
  await form.getByRole('button', { name: 'Remove authorization' }).waitFor()
  await form.getByRole('button', { name: 'Close' }).click()

  const block = page.locator('.opblock-get', { has: page.locator('[data-path="/api/users/me"]') })
  await block.locator('.opblock-summary-control').click()
  await block.getByRole('button', { name: 'Try it out' }).click()
  await block.getByRole('button', { name: 'Execute' }).click()
  await block.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor()
  t.match(await block.locator('.live-responses-table').innerText(), new RegExp(ARTHUR))
})
