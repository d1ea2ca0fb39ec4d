import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t from 'tap'
import users, {
  authenticate,
  bearerTransport,
  currentUser,
  databaseStrategy,
  defineStrategy,
  defineTransport,
  FST_USERS_STORE_UNAVAILABLE,
  type DatabaseAdapter,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, addRoutes, backends, buildApp, fastPasswords, SECRET, type TestApp } from './helpers/build-app.js'

const CANARY = 'canary: db.internal'
const throwTypeError = (): never => (undefined as unknown as { canary: () => never }).canary()
const errorWithCode = (code: string, more: object = {}): Error => Object.assign(new Error(CANARY), { code, ...more })
const errorWithName = (name: string): Error => Object.assign(new Error(CANARY), { name })

interface FailingParts {
  transport?: () => never
  strategy?: () => never | Promise<never>
  backendsFn?: () => never | Promise<never>
}

/** Builds an application whose transport, strategy or `backends` function is the given function. */
async function build (
  t: Parameters<typeof buildApp>[0],
  { transport, strategy, backendsFn }: FailingParts
): Promise<TestApp & { lines: string[] }> {
  const lines: string[] = []
  const list: UsersOptions['backends'] = [
    {
      name: 'own',
      transport:
        transport === undefined
          ? bearerTransport()
          : defineTransport({
            name: 'own',
            describe: () => ({ scheme: {}, login: {}, logout: {} }),
            setup: () => ({ ambient: false, extractToken: transport, sendLogin: (reply) => reply })
          }),
      strategy:
        strategy === undefined
          ? databaseStrategy({ lifetimeSeconds: 60 })
          : defineStrategy({
            name: 'own',
            setup: () => ({ readToken: strategy, writeToken: () => ({ token: 'x', lifetimeSeconds: 1 }) })
          })
    }
  ]
  const built = await buildApp(
    t,
    { backends: list },
    (app) => {
      addRoutes(app)
      app.get('/optional', { preHandler: authenticate({ optional: true }) }, async () => 'secret')
      app.get('/handler', async (request, reply) => {
        await authenticate(request, reply, { optional: true })
        return 'secret'
      })
      if (backendsFn !== undefined) {
        app.get('/chosen', { preHandler: authenticate({ optional: true, backends: backendsFn }) }, async () => 'secret')
      }
    },
    {
      logger: {
        level: 'error',
        stream: {
          write: (line: string) => {
            lines.push(line)
          }
        }
      }
    }
  )
  return { ...built, lines }
}

t.test(
  'ERR-02, BR-03: a bug in a transport, a strategy or a backends function is a 500 with its cause in the log',
  async (t) => {
    const failures: [string, FailingParts, string[]][] = [
      ['transport', { transport: throwTypeError }, ['/guarded', '/optional', '/handler', '/users/me']],
      ['strategy', { strategy: throwTypeError }, ['/guarded', '/optional', '/handler', '/users/me']],
      [
        'asynchronous strategy',
        { strategy: async () => throwTypeError() },
        ['/guarded', '/optional', '/handler', '/users/me']
      ],
      [
        'strategy that throws a plain error',
        {
          strategy () {
            throw new Error("Cannot read properties of undefined (reading 'canary')")
          }
        },
        ['/guarded']
      ],
      ['backends function', { backendsFn: throwTypeError }, ['/chosen']],
      ['asynchronous backends function', { backendsFn: async () => throwTypeError() }, ['/chosen']]
    ]
    for (const [what, failing, urls] of failures) {
      const built = await build(t, failing)
      for (const url of urls) {
        const reply = await built.send('GET', url, undefined, { authorization: 'Bearer any' })
        const { code } = reply.json<{ code: string }>()
        t.same(
          [reply.statusCode, code, reply.headers['retry-after']],
          [500, 'FST_USERS_INTERNAL_ERROR', undefined],
          `${what}: ${url}`
        )
        t.notMatch(reply.body, 'canary')
        t.match(
          built.lines.at(-1),
          /Cannot read properties of undefined.*canary/,
          `${what}: ${url}: the log contains the cause`
        )
      }
      const logout = await built.send('POST', '/auth/own/logout', undefined, { authorization: 'Bearer any' })
      if (failing.backendsFn === undefined) t.equal(logout.statusCode, 500, `${what}: logout`)
    }
  }
)

t.test('BR-03, DEP-01: an error that means that the database server cannot be reached is a 503', async (t) => {
  const connectionErrors = [
    errorWithCode('ECONNREFUSED'),
    errorWithCode('ETIMEDOUT'),
    errorWithCode('57P01'),
    errorWithCode('08006'),
    errorWithCode('PROTOCOL_CONNECTION_LOST'),
    errorWithCode('P1001'),
    errorWithName('MaxRetriesPerRequestError'),
    errorWithName('MongoServerSelectionError'),
    new TypeError('fetch failed', { cause: errorWithCode('ECONNREFUSED') }),
    new TypeError('fetch failed', { cause: errorWithCode('UND_ERR_CONNECT_TIMEOUT') }),
    FST_USERS_STORE_UNAVAILABLE()
  ]
  for (const error of connectionErrors) {
    const built = await build(t, {
      strategy: () => Promise.reject(error),
      backendsFn () {
        throw error
      }
    })
    for (const url of ['/guarded', '/optional', '/handler', '/users/me', '/chosen']) {
      const reply = await built.send('GET', url, undefined, { authorization: 'Bearer any' })
      t.same(
        [reply.statusCode, reply.json<{ code: string }>().code],
        [503, 'FST_USERS_STORE_UNAVAILABLE'],
        `${String(error)} ${url}`
      )
      t.notMatch(reply.body, CANARY)
    }
    t.equal((await built.send('POST', '/auth/own/logout', undefined, { authorization: 'Bearer any' })).statusCode, 503)
  }
})

t.test(
  'ERR-02: a bug in an adapter is a 500 with its cause in the log, and only a lost connection or a deadlock is a 503',
  async (t) => {
    const table: [() => unknown, number][] = [
      [throwTypeError, 500],
      [async () => throwTypeError(), 500],
      [
        () => {
          throw new RangeError(CANARY)
        },
        500
      ],
      [
        () => {
          throw errorWithCode('ERR_ASSERTION')
        },
        500
      ],
      [
        () => {
          throw new Error(CANARY)
        },
        500
      ],
      [
        () => {
          throw errorWithCode('ECONNRESET')
        },
        503
      ],
      [
        () => {
          throw errorWithCode('40P01')
        },
        503
      ],
      [
        () => {
          throw errorWithCode('23514')
        },
        500
      ],
      [() => Promise.reject(new TypeError('fetch failed', { cause: errorWithCode('ECONNREFUSED') })), 503]
    ]
    for (const [fail, status] of table) {
      const lines: string[] = []
      let failing = false
      const adapter: DatabaseAdapter = new Proxy(memory(), {
        get (target, key) {
          const method: unknown = Reflect.get(target, key)
          if (typeof method !== 'function') return method
          const isRead = ['findOne', 'findMany', 'findWithUser'].includes(String(key))
          return (...args: unknown[]): unknown =>
            failing && isRead ? fail() : (method as (...args: unknown[]) => unknown).apply(target, args)
        }
      })
      const built = await buildApp(t, { adapter }, addRoutes, {
        logger: {
          level: 'error',
          stream: {
            write: (line: string) => {
              lines.push(line)
            }
          }
        }
      })
      await built.create()
      const headers = await built.bearer(ARTHUR)
      failing = true
      for (const url of ['/guarded', '/users/me']) {
        const reply = await built.send('GET', url, undefined, headers)
        t.equal(reply.statusCode, status, `${String(fail)} ${url}`)
        t.notMatch(reply.body, 'canary')
        t.match(lines.at(-1), /canary|ECONN/, 'the log contains the cause')
      }
      t.equal((await built.login('jwt', ARTHUR)).statusCode, status, `login ${String(fail)}`)
    }
  }
)

t.test('BR-01: a WebSocket upgrade of injectWS, without raw headers, is authenticated by its token', async (t) => {
  const app = Fastify({ pluginTimeout: 60_000 })
  t.teardown(() => app.close())
  await app.register(websocket)
  await app.register(users, { adapter: memory(), secret: SECRET, backends: backends(), passwords: fastPasswords })
  app.get('/socket', { websocket: true, preHandler: authenticate }, (socket, request) => {
    socket.on('message', () => {
      socket.send(currentUser(request).email)
    })
  })
  await app.ready()
  const user = await app.users.create({ email: ARTHUR, password: 'guinevere-1' })
  const { issued } = await app.users.login(user, { backend: 'jwt' })
  const { issued: ofCookie } = await app.users.login(user, { backend: 'cookie' })
  for (const headers of [
    { authorization: `Bearer ${issued?.token}` },
    { cookie: `__Host-users-cookie=${ofCookie?.token}` }
  ]) {
    const socket = await app.injectWS('/socket', { headers })
    const answer = new Promise((resolve) => {
      socket.on('message', (data: Buffer) => {
        resolve(data.toString())
      })
    })
    socket.send('who')
    t.equal(await answer, ARTHUR)
    socket.terminate()
  }
  for (const headers of [{}, { authorization: 'Bearer nonsense' }]) {
    await t.rejects(app.injectWS('/socket', { headers }), /401/)
  }
})
