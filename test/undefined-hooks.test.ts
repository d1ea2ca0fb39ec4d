import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import users, { authenticate } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { backends, fastPasswords, SECRET } from './helpers/build-app.js'

const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const
const OTHERS = ['preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'] as const
const done = (_request: unknown, _reply: unknown, next: () => void): void => {
  next()
}

/** Builds an application and adds routes after the plugin, in the plugin's scope. */
async function start (t: Test, add: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify({ pluginTimeout: 60_000 })
  t.teardown(() => app.close())
  app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
  app.register(async (scope) => {
    add(scope)
  })
  await app.ready()
  return app
}

/** Returns route options that TypeScript refuses but JavaScript can pass. */
const route = (options: object): object => ({ method: 'GET', url: '/x', handler: async () => 'secret', ...options })

t.test(
  'an undefined request hook refuses to start, and the error names the route, the hook and the solutions',
  async (t) => {
    for (const hook of HOOKS) {
      for (const value of [undefined, [undefined], [authenticate, undefined], [undefined, done]]) {
        const expected = {
          code: 'FST_USERS_UNDEFINED_HOOK',
          statusCode: 500,
          message: new RegExp(`GET /x has ${hook}: undefined.*import \`authenticate\`.*\\[\\]`)
        }
        await t.rejects(
          start(t, (app) => {
            app.route(route({ [hook]: value }) as never)
          }),
          expected,
          `${hook}: ${String(value)}`
        )
      }
    }
  }
)

t.test('a route with app.authenticate from before the plugin was loaded refuses to start', async (t) => {
  for (const add of [
    (app: FastifyInstance, early: never) => {
      app.get('/x', { preHandler: early }, async () => 'secret')
    },
    (app: FastifyInstance, early: never) => {
      app.post('/x', { onRequest: early }, async () => 'secret')
    },
    (app: FastifyInstance, early: never) => {
      app.all('/x', { preHandler: early }, async () => 'secret')
    },
    (app: FastifyInstance, early: never) => {
      app.register(
        async (inner) => {
          inner.get('/x', { preHandler: early }, async () => 'secret')
        },
        { prefix: '/api' }
      )
    }
  ]) {
    const app = Fastify({ pluginTimeout: 60_000 })
    t.teardown(() => app.close())
    app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
    // undefined, because the plugin has not loaded yet
    const early = (app as { authenticate?: unknown }).authenticate as never
    app.register(async (scope) => {
      add(scope, early)
    })
    await t.rejects(
      async () => {
        await app.ready()
      },
      { code: 'FST_USERS_UNDEFINED_HOOK' }
    )
  }
})

t.test('absent hooks, empty lists and undefined hooks of other kinds are accepted', async (t) => {
  for (const options of [
    {},
    ...HOOKS.map((hook) => ({ [hook]: [] })),
    ...OTHERS.map((hook) => ({ [hook]: undefined })),
    { preHandler: [done] },
    { preHandler: done, schema: undefined, config: undefined }
  ]) {
    const app = await start(t, (scope) => {
      scope.route(route(options) as never)
    })
    t.equal((await app.inject('/x')).statusCode, 200, JSON.stringify(Object.keys(options)))
  }
})

t.test("routes outside of the plugin's scope are not checked", async (t) => {
  const app = Fastify({ pluginTimeout: 60_000 })
  t.teardown(() => app.close())
  app.register(async (scope) => {
    await scope.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
  })
  app.register(async (scope) => {
    scope.route(route({ preHandler: undefined }) as never)
  })
  await app.ready()
  t.equal((await app.inject('/x')).statusCode, 200)
})
