import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { github, oauth } from '../lib/features/oauth/index.js'
import { authenticate, currentUser, users, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { asUser, captureEvents, createUser } from '../lib/testing/index.js'
import { ARTHUR, backends, fastPasswords, PASSWORD, SECRET } from './helpers/build-app.js'

const optionsWith = (options: Partial<UsersOptions> = {}): UsersOptions => ({
  adapter: memory(),
  secret: SECRET,
  backends: backends(),
  passwords: fastPasswords,
  limits: false,
  publicUrl: 'https://camelot.example',
  ...options
})

// This test checks types: it must compile for instances with different type arguments.
t.test('the plugins and test helpers accept instances with any logger and server type', async (t) => {
  const lines: string[] = []
  const logged = Fastify({
    loggerInstance: pino(
      { level: 'info', customLevels: { loud: 35 } },
      {
        write: (line: string) => {
          lines.push(line)
        }
      }
    )
  })
  const http2 = Fastify({ http2: true })
  for (const app of [logged, http2]) {
    t.teardown(async () => {
      await app.close()
    })
  }

  await logged.register(users, {
    ...optionsWith(),
    features: [oauth({
      backend: 'cookie',
      redirects: ['/app'],
      providers: [github({ clientId: 'id', clientSecret: 'secret' })]
    })]
  })
  logged.get('/guarded', { preHandler: authenticate }, async (request) => ({ email: currentUser(request).email }))
  logged.post('/out', { preHandler: authenticate }, async (request, reply) => {
    await logged.users.logout(request, reply)
    return { out: true }
  })
  const events = captureEvents(logged)
  await logged.ready()
  const headers = await asUser(logged, { email: ARTHUR })
  t.same((await logged.inject({ url: '/guarded', headers })).json(), { email: ARTHUR })
  t.same((await logged.inject({ method: 'POST', url: '/out', headers })).json(), { out: true })
  t.same(await logged.users.feature('oauth').list((await createUser(logged)).id), [])
  t.ok(events.names().includes('onAfterLogin'))
  t.ok(lines.some((line) => line.includes('/guarded')))

  await http2.register(users, optionsWith())
  http2.get('/guarded', { preHandler: authenticate }, async (request) => ({ email: currentUser(request).email }))
  http2.post('/out', { preHandler: authenticate }, async (request, reply) => {
    await http2.users.logout(request, reply)
    return { out: true }
  })
  captureEvents(http2)
  await http2.ready()
  t.match(await asUser(http2, { email: ARTHUR }), { authorization: /^Bearer / })
})

function createApp (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

t.test('prefix, logLevel and logSerializers are refused with advice to set them on a scope', async (t) => {
  for (const option of [{ prefix: '/api' }, { logLevel: 'warn' as const }, { logSerializers: {} }]) {
    const [name = ''] = Object.keys(option)
    const message = new RegExp(
      `${name} belongs to a scope: app\\.register\\(async \\(scope\\) => \\{ await scope\\.register\\(users, options\\) \\}, \\{ ${name} \\}\\)|Option ${name}: belongs to a scope`
    )
    await t.rejects(
      async () => {
        await createApp(t).register(users, { ...optionsWith(), ...option })
      },
      { code: 'FST_USERS_INVALID_OPTION', message },
      name
    )
  }
  const app = createApp(t)
  await app.register(
    async (scope) => {
      await scope.register(users, optionsWith())
      scope.get('/guarded', { preHandler: authenticate }, async () => ({}))
    },
    { prefix: '/api', logLevel: 'warn' }
  )
  const registered = await app.inject({
    method: 'POST',
    url: '/api/auth/register',
    payload: { email: ARTHUR, password: PASSWORD }
  })
  t.equal(registered.statusCode, 201)
  t.equal((await app.inject('/api/guarded')).statusCode, 401)
})

t.test('a decorator of the application with a name of the plugin is refused with advice', async (t) => {
  const own: Record<string, (app: FastifyInstance) => unknown> = {
    users: (app) => app.decorate('users' as 'x', []),
    authenticate: (app) => app.decorate('authenticate' as 'x', async () => {}),
    user: (app) => app.decorateRequest('user' as 'x', ''),
    authentication: (app) => app.decorateRequest('authentication' as 'x', '')
  }
  for (const [name, decorate] of Object.entries(own)) {
    for (const location of ['the same instance', 'the parent instance']) {
      const app = createApp(t)
      decorate(app)
      const register = async (scope: FastifyInstance): Promise<void> => {
        await scope.register(users, optionsWith())
      }
      const refusal = { code: 'FST_USERS_NAME_TAKEN', message: new RegExp(`already has a decorator "${name}".*Rename yours`) }
      await t.rejects(
        async () => {
          await (location === 'the parent instance' ? app.register(register) : register(app))
        },
        refusal,
        `${name} on ${location}`
      )
    }
  }
  await t.rejects(
    async () => {
      const app = createApp(t)
      await app.register(users, optionsWith())
      await app.register(users, optionsWith({ name: 'staff' }))
    },
    { code: 'FST_USERS_ALREADY_REGISTERED' },
    'a second registration is another error'
  )
})

t.test('@fastify/jwt may be registered first, although it decorates request.user too', async (t) => {
  const app = createApp(t)
  await app.register(fastifyJwt, { secret: SECRET })
  await app.register(users, optionsWith())
  app.get('/guarded', { preHandler: authenticate }, async (request) => ({ email: currentUser(request).email }))
  await app.ready()
  t.same((await app.inject({ url: '/guarded', headers: await asUser(app, { email: ARTHUR }) })).json(), {
    email: ARTHUR
  })
})
