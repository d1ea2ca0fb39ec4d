import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import mercurius from 'mercurius'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  jwtStrategy,
  watchSession,
  type BackendOptions,
  type SessionEnd,
  type User,
  type UsersOptions,
  type WatchSessionOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { redisStrategy } from '../lib/entries/redis.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, buildApp, type TestApp } from './helpers/build-app.js'
import { createBus } from './helpers/cache-channel.js'
import { connectRedis } from './helpers/redis.js'

// Real connections: a WebSocket, server-sent events and a GraphQL subscription, each as docs/open-connections.md shows.

const { redis, skip: noRedis } = await connectRedis()
const LANCELOT = 'lancelot@camelot.bt'
const QUICK: WatchSessionOptions = { recheckSeconds: 1 }

const backends = (lifetimeSeconds = 3600): BackendOptions[] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds, revocable: true }) },
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds }) }
]

type Headers = Record<string, string>

/** An open connection of a client. */
interface Connection {
  /** Resolves when the server has ended the connection. */
  closed: Promise<unknown>
  /** The first text that the server sent. */
  first: string
}

interface Served extends TestApp {
  url: string
  /** Ends the application, as at the end of the test. */
  close(): Promise<void>
  /** The reasons with which connections of the route `/watched` ended, with their number. */
  ends: SessionEnd[]
}

/** Serves all kinds of connections on a real port. */
async function serve (t: Test, options: Partial<UsersOptions> = {}, watch = QUICK): Promise<Served> {
  const ends: SessionEnd[] = []
  const built = await buildApp(t, { backends: backends(), ...options }, async (app) => {
    await addWebSocket(app, watch, ends)
    addEvents(app, watch, ends)
    await addGraphql(app, watch, ends)
  })
  await built.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = built.app.server.address() as AddressInfo
  return { ...built, ends, url: `127.0.0.1:${port}`, close: () => built.app.close() }
}

async function addWebSocket (app: FastifyInstance, watch: WatchSessionOptions, ends: SessionEnd[]): Promise<void> {
  await app.register(websocket)
  await app.register(async (scope) => {
    scope.get('/live', { websocket: true, preValidation: authenticate }, (socket, request) => {
      const stop = watchSession(request, (reason) => {
        ends.push(reason)
        socket.close(4401, reason)
        socket.terminate()
      }, watch)
      socket.on('close', stop)
      socket.on('message', () => {
        socket.send(`hello ${currentUser(request).email}`)
      })
    })
  })
}

function addEvents (app: FastifyInstance, watch: WatchSessionOptions, ends: SessionEnd[]): void {
  app.get('/events', { preHandler: authenticate }, async (request, reply) => {
    const stream = new PassThrough()
    stream.on('close', watchSession(request, (reason) => {
      ends.push(reason)
      stream.end()
    }, watch))
    stream.write(`data: hello ${currentUser(request).email}\n\n`)
    return reply.type('text/event-stream').send(stream)
  })
}

async function addGraphql (app: FastifyInstance, watch: WatchSessionOptions, ends: SessionEnd[]): Promise<void> {
  const watched = new WeakSet<object>()
  await app.register(mercurius, {
    schema: 'type Query { me: String } type Subscription { news: String }',
    resolvers: {
      Query: { me: (_root, _args, { reply }) => reply.request.user?.email },
      Subscription: { news: { subscribe: async (_root, _args, { pubsub }) => await pubsub.subscribe('NEWS') } }
    },
    additionalRouteOptions: { preValidation: authenticate },
    subscription: {
      context (socket, request) {
        if (!watched.has(socket)) {
          watched.add(socket)
          socket.on('close', watchSession(request, (reason) => {
            ends.push(reason)
            socket.close(4401, reason)
            socket.terminate()
          }, watch))
        }
        return { user: currentUser(request) }
      }
    }
  })
  app.post('/publish', async () => {
    app.graphql.pubsub.publish({ topic: 'NEWS', payload: { news: 'the Grail' } })
    return {}
  })
}

/** Resolves when a WebSocket is open; rejects with the status of the reply if the server refuses it. */
async function openSocket (url: string, headers: Headers, protocol?: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${url}`, protocol === undefined ? [] : [protocol], { headers })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('unexpected-response', (_request, reply) => {
      reject(new Error(`status ${reply.statusCode}`))
    })
    socket.once('error', reject)
  })
  return socket
}

/** The ways to connect. Each rejects with an error that names the status if the server refuses the connection. */
const connect: Record<string, (url: string, headers: Headers) => Promise<Connection>> = {
  async 'a WebSocket' (url, headers) {
    const socket = await openSocket(`${url}/live`, headers)
    const closed = once(socket, 'close')
    socket.send('who')
    const [data] = (await once(socket, 'message')) as [Buffer]
    return { closed, first: data.toString() }
  },
  async 'server-sent events' (url, headers) {
    const request = httpGet(`http://${url}/events`, { headers, agent: false })
    const [reply] = (await once(request, 'response')) as [IncomingMessage]
    if (reply.statusCode !== 200) {
      reply.resume()
      throw new Error(`status ${reply.statusCode}`)
    }
    const [data] = (await once(reply, 'data')) as [Buffer]
    reply.resume()
    return { closed: once(reply, 'end'), first: data.toString() }
  },
  async 'a GraphQL subscription' (url, headers) {
    const socket = await openSocket(`${url}/graphql`, headers, 'graphql-transport-ws')
    const closed = once(socket, 'close')
    const messages: { type: string; payload?: unknown }[] = []
    socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as { type: string }))
    const until = async (type: string): Promise<unknown> => {
      while (!messages.some((message) => message.type === type)) await once(socket, 'message')
      return messages.find((message) => message.type === type)?.payload
    }
    for (let i = 0; i < 2; i++) socket.send(JSON.stringify({ type: 'connection_init' }))
    await until('connection_ack')
    const isSubscribed = until('next')
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: 'subscription { news }' } }))
    let first: unknown
    // the subscription begins at a time that the client does not see, so the event is published until it arrives
    while (first === undefined) {
      await fetch(`http://${url}/publish`, { method: 'POST' })
      first = await Promise.race([isSubscribed, new Promise((resolve) => setImmediate(resolve, undefined))])
    }
    return { closed, first: JSON.stringify(first) }
  }
}

const logIn = async (served: Served, backend: 'jwt' | 'cookie'): Promise<Headers> =>
  backend === 'jwt' ? await served.bearer(ARTHUR) : await served.cookie(ARTHUR)

/** Calls that end a session. The last one changes the password. */
const ended: Record<string, (served: Served, headers: Headers, backend: string, user: User) => Promise<unknown>> = {
  'a logout': ({ send }, headers, backend) => send('POST', `/auth/${backend}/logout`, undefined, headers),
  endSessions: ({ app }, _headers, _backend, user) => app.users.endSessions(user),
  'a new password': ({ send }, headers) => send('PATCH', '/users/me', { password: 'excalibur-22' }, headers)
}

const kinds = Object.keys(connect)
const reasons = (reason: SessionEnd): SessionEnd[] => kinds.map(() => reason)

/** Opens a connection of each kind. */
async function openAll ({ url }: Served, headers: Headers): Promise<Connection[]> {
  return await Promise.all(Object.values(connect).map((open) => open(url, headers)))
}

for (const backend of ['jwt', 'cookie'] as const) {
  t.test(`SES-06: open connections of the backend ${backend} end with their session, in every process`, async (t) => {
    const adapter = memory()
    const one = await serve(t, { adapter })
    const two = await serve(t, { adapter })
    const user = await one.create()
    const other = await one.create({ email: LANCELOT })
    const others = await openAll(one, await one.bearer(LANCELOT))
    for (const [name, end] of Object.entries(ended)) {
      const headers = await logIn(one, backend)
      const connections = [...(await openAll(one, headers)), ...(await openAll(two, headers))]
      for (const { first } of connections) t.match(first, /hello king\.arthur|the Grail/)
      await end(one, headers, backend, user)
      t.same(one.ends.splice(0), reasons('ended'), `${name}: at once in this process`)
      await Promise.all(connections.map(({ closed }) => closed))
      t.same(two.ends.splice(0), reasons('ended'), `${name}: at the next check in the other`)
      for (const [kind, open] of Object.entries(connect)) {
        await t.rejects(open(two.url, headers), /status 401/, `${name}: ${kind} cannot connect again`)
      }
    }
    await one.app.users.endSessions(other)
    await Promise.all(others.map(({ closed }) => closed))
    t.same(one.ends, reasons('ended'), 'connections of another user stayed open until now')
  })
}

t.test('DEP-07: open connections end when the application closes, and none opens without a session', async (t) => {
  const served = await serve(t)
  await served.create()
  for (const [kind, open] of Object.entries(connect)) await t.rejects(open(served.url, {}), /status 401/, kind)
  const connections = await openAll(served, await served.bearer(ARTHUR))
  await Promise.all([served.close(), ...connections.map(({ closed }) => closed)])
  t.same(served.ends, reasons('closing'))
})

t.test('SES-08: the channel of the user cache ends connections in other processes without waiting for a check', { skip: noRedis }, async (t) => {
  const adapter = memory()
  const bus = createBus()
  const keyPrefix = `test-${process.pid}-${Date.now()}:`
  const options = (): Partial<UsersOptions> => ({
    adapter,
    cache: { channel: bus.channel },
    backends: [
      ...backends(),
      { name: 'redis', transport: bearerTransport(), strategy: redisStrategy({ client: redis, keyPrefix, lifetimeSeconds: 60 }) }
    ]
  })
  const one = await serve(t, options(), { recheckSeconds: 3600, guard: { superuser: true } })
  const two = await serve(t, options(), { recheckSeconds: 3600, guard: { superuser: true } })
  const user = await one.create({ is_superuser: true })
  await one.create({ email: 'merlin@camelot.bt', is_superuser: true })
  for (const backend of ['jwt', 'cookie', 'redis'] as const) {
    const login = await one.login(backend, ARTHUR)
    const headers: Headers = backend === 'cookie'
      ? { cookie: String(login.headers['set-cookie']).split(';')[0] ?? '' }
      : { authorization: `Bearer ${login.json<{ access_token: string }>().access_token}` }
    const { closed } = await connect['a WebSocket']!(two.url, headers)
    await one.send('POST', `/auth/${backend}/logout`, undefined, headers)
    await closed
    t.same(two.ends.splice(0), ['ended'], `a logout of the backend ${backend}`)
  }
  const { closed } = await connect['a WebSocket']!(two.url, await one.bearer(ARTHUR))
  await one.app.users.update(user, { is_superuser: false })
  await closed
  t.same(two.ends.splice(0), ['ended'], 'the end of a flag that the guard requires')
  const again = await one.app.users.update(user, { is_superuser: true })
  t.equal(again.is_superuser, true)
  const open = await connect['a WebSocket']!(two.url, await one.bearer(ARTHUR))
  bus.deliver('"all"')
  await one.app.users.endSessions(user)
  await open.closed
  t.same(two.ends, ['ended'], 'a report of any change leads to one check of each connection')
})

t.test('SES-04: a connection ends when its token expires', async (t) => {
  const served = await serve(t, { backends: backends(1) }, { recheckSeconds: 3600 })
  await served.create()
  for (const backend of ['jwt', 'cookie'] as const) {
    const { closed } = await connect['server-sent events']!(served.url, await logIn(served, backend))
    await closed
    t.same(served.ends.splice(0), ['ended'], backend)
  }
})

t.test('DEP-01: one failed check changes nothing; after two in a row the connection ends', async (t) => {
  const store = watchedAdapter(memory())
  const served = await serve(t, { adapter: store.adapter })
  await served.create()
  const headers = await served.bearer(ARTHUR)
  const { closed } = await connect['server-sent events']!(served.url, headers)
  let failures = 0
  const results = [true, false, true, true]
  store.watch(({ method, model, proceed }) => {
    if (method !== 'findOne' || model.name !== 'user' || results.shift() !== true) return proceed()
    failures++
    throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
  })
  await closed
  t.equal(failures, 3)
  t.same(served.ends, ['unavailable'])
})

t.test('watchSession refuses wrong use, and stops on request', async (t) => {
  const ends: string[] = []
  let stop: (() => void) | undefined
  const { create, bearer, send, app } = await buildApp(t, { backends: backends() }, (app) => {
    app.get('/anonymous', { preHandler: authenticate({ optional: true }) }, async (request) => {
      watchSession(request, () => {})
    })
    app.get<{ Params: { n: string } }>('/options/:n', { preHandler: authenticate }, async (request) => {
      const options = [{ recheckSeconds: 0 }, { recheckSeconds: 3601 }, { recheckSeconds: '5' }, { every: 5 }, { guard: { role: 'king' } }]
      watchSession(request, () => {}, options[Number(request.params.n)] as never)
    })
    app.get('/stopped', { preHandler: authenticate }, async (request) => {
      stop = watchSession(request, () => ends.push('stopped'))
    })
    app.get('/throws', { preHandler: authenticate }, async (request) => {
      watchSession(request, () => {
        ends.push('thrown')
        throw new Error('a bug of the application')
      })
      watchSession(request, () => ends.push('other'))
    })
  })
  const user = await create()
  const headers = await bearer(ARTHUR)
  t.equal((await send('GET', '/anonymous')).statusCode, 401)
  for (let n = 0; n < 5; n++) t.equal((await send('GET', `/options/${n}`, undefined, headers)).statusCode, 500, `options ${n}`)
  await send('GET', '/stopped', undefined, headers)
  stop?.()
  await send('GET', '/throws', undefined, headers)
  await app.users.endSessions(user)
  await app.users.endSessions(user)
  t.same(ends, ['thrown', 'other'], 'each once, and an error in one does not reach the others')
})
