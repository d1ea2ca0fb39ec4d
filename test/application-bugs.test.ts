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
  memory,
  type DatabaseAdapter,
  type UsersOptions
} from '../lib/index.js'
import { ARTHUR, addRoutes, backends, buildApp, fastPasswords, SECRET, type TestApp } from './helpers/build-app.js'

const CANARY = 'canary: db.internal'
const bug = (): never => (undefined as unknown as { canary: () => never }).canary()
const coded = (code: string, more: object = {}): Error => Object.assign(new Error(CANARY), { code, ...more })
const named = (name: string): Error => Object.assign(new Error(CANARY), { name })

interface Places {
  transport?: () => never
  strategy?: () => never | Promise<never>
  chosen?: () => never | Promise<never>
}

/** An application whose own transport, strategy and `backends` function fail as they are told. */
async function build (
  t: Parameters<typeof buildApp>[0],
  { transport, strategy, chosen }: Places
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
      if (chosen !== undefined) {
        app.get('/chosen', { preHandler: authenticate({ optional: true, backends: chosen }) }, async () => 'secret')
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
    const places: [string, Places, string[]][] = [
      ['transport', { transport: bug }, ['/guarded', '/optional', '/handler', '/users/me']],
      ['strategy', { strategy: bug }, ['/guarded', '/optional', '/handler', '/users/me']],
      ['strategy, later', { strategy: async () => bug() }, ['/guarded', '/optional', '/handler', '/users/me']],
      [
        'strategy that throws a plain error',
        {
          strategy () {
            throw new Error("Cannot read properties of undefined (reading 'canary')")
          }
        },
        ['/guarded']
      ],
      ['backends function', { chosen: bug }, ['/chosen']],
      ['backends function, later', { chosen: async () => bug() }, ['/chosen']]
    ]
    for (const [what, place, urls] of places) {
      const built = await build(t, place)
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
          `${what}: ${url}: the log has the cause`
        )
      }
      const logout = await built.send('POST', '/auth/own/logout', undefined, { authorization: 'Bearer any' })
      if (place.chosen === undefined) t.equal(logout.statusCode, 500, `${what}: logout`)
    }
  }
)

t.test('BR-03, DEP-01: errors by which drivers say that their server is away are 503', async (t) => {
  const away = [
    coded('ECONNREFUSED'),
    coded('ETIMEDOUT'),
    coded('57P01'),
    coded('08006'),
    coded('PROTOCOL_CONNECTION_LOST'),
    coded('P1001'),
    named('MaxRetriesPerRequestError'),
    named('MongoServerSelectionError'),
    new TypeError('fetch failed', { cause: coded('ECONNREFUSED') }),
    new TypeError('fetch failed', { cause: coded('UND_ERR_CONNECT_TIMEOUT') }),
    FST_USERS_STORE_UNAVAILABLE()
  ]
  for (const error of away) {
    const built = await build(t, {
      strategy: () => Promise.reject(error),
      chosen () {
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
  'ERR-02: a bug in an adapter is a 500 with its cause in the log, and only an error of the connection is a failing store',
  async (t) => {
    const table: [() => unknown, number][] = [
      [bug, 500],
      [async () => bug(), 500],
      [
        () => {
          throw new RangeError(CANARY)
        },
        500
      ],
      [
        () => {
          throw coded('ERR_ASSERTION')
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
          throw coded('ECONNRESET')
        },
        503
      ],
      [
        () => {
          throw coded('40P01')
        },
        503
      ],
      [
        () => {
          throw coded('23514')
        },
        500
      ],
      [() => Promise.reject(new TypeError('fetch failed', { cause: coded('ECONNREFUSED') })), 503]
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
        t.match(lines.at(-1), /canary|ECONN/, 'the log has the cause')
      }
      t.equal((await built.login('jwt', ARTHUR)).statusCode, status, `login ${String(fail)}`)
    }
  }
)

t.test('BR-01: a simulated upgrade without raw headers is authenticated by its token', async (t) => {
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
