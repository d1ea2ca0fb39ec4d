import { randomBytes } from 'node:crypto'
import { hash as makeArgon2 } from '@node-rs/argon2'
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  type LightMyRequestResponse,
  type RouteOptions
} from 'fastify'
import type { Test } from 'tap'
import users, {
  argon2Passwords,
  bearerTransport,
  cookieTransport,
  currentUser,
  authenticate,
  databaseStrategy,
  jwtStrategy,
  type DatabaseAdapter,
  type Model,
  type PasswordHelper,
  type Row,
  type User,
  type UsersEvents,
  type UsersOptions
} from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'

/** A password helper with cheap parameters, which the library refuses in production. */
export const fastPasswords = argon2Passwords({ memoryCost: 8, timeCost: 1, insecureFastHashing: true })

/** Returns a hash that is weaker than those of `fastPasswords`, so that the next login replaces it. */
export function weakerHash (password: string): Promise<string> {
  return makeArgon2(password, { algorithm: 1, memoryCost: 8, timeCost: 1, parallelism: 1 }) // argon2i
}

export const SECRET = randomBytes(32).toString('base64url')

/** An event with its name and payload. */
export type CapturedEvent = { [N in keyof UsersEvents]: { name: N } & UsersEvents[N] }[keyof UsersEvents]

/** The events whose payloads have a token. */
export type TokenEvent =
  | 'onAfterRequestRegister'
  | 'onAfterRequestVerify'
  | 'onAfterEmailChange'
  | 'onAfterForgotPassword'

export interface TestApp {
  app: FastifyInstance
  /** All events so far, in order, except those of attempts. */
  events: CapturedEvent[]
  /** All routes of the application: those of the plugin and those that `extend` adds. */
  routes: RouteOptions[]
  /** Waits for listeners that run after replies, then returns the token of the newest event with this name. */
  tokenOf(name: TokenEvent): Promise<string>
  register(values?: Record<string, unknown>): Promise<User>
  /** Creates a user with `app.users.create`, which accepts all flags. */
  create(values?: Record<string, unknown>): Promise<User>
  /** Logs in and returns the headers of the new bearer session. */
  bearer(email: string, password?: string): Promise<{ authorization: string }>
  /** Logs in and returns the headers of the new cookie session. */
  cookie(email: string, password?: string): Promise<{ cookie: string }>
  /** Sends JSON. */
  send(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT' | 'HEAD',
    url: string,
    payload?: unknown,
    headers?: Record<string, string>
  ): Promise<LightMyRequestResponse>
  /** Sends the login form. */
  login(backend: string, username: string, password?: string): Promise<LightMyRequestResponse>
  /** Moves the clock forward. */
  tick(seconds: number): void
}

export const PASSWORD = 'guinevere-1'
export const ARTHUR = 'king.arthur@camelot.bt'

/** Two backends: `jwt` (bearer, JWT) and `cookie` (cookie, database). */
export const backends = (): UsersOptions['backends'] => [
  { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
  { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
]

/** Adds routes before the application is ready. */
export type Extend = (app: FastifyInstance) => void | Promise<void>

/**
 * Creates an application with a memory store. It closes when the test ends. `options` replace the defaults, among them
 * `sensitiveChanges: 'immediate'`: most tests check what a change does, and test/step-up.test.ts who may make it.
 */
export async function buildApp (
  t: Test,
  options: Partial<UsersOptions> = {},
  extend: Extend = addRoutes,
  server: FastifyServerOptions = {}
): Promise<TestApp> {
  const app = Fastify({ pluginTimeout: 60_000, ...server }) // a store may be slow to open on a busy machine
  t.teardown(() => app.close())
  const events: CapturedEvent[] = []
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  let ahead = 0
  await app.register(users, {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    sensitiveChanges: 'immediate',
    clock: () => Date.now() + ahead * 1000,
    ...options
  })
  for (const name of app.users.eventNames.filter((event) => !event.endsWith('Attempt'))) {
    app.users.addHook(name, (payload) => {
      events.push({ name, ...payload } as CapturedEvent)
    })
  }
  await extend(app)
  await app.ready()

  const send: TestApp['send'] = (method, url, payload, headers = {}) =>
    app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload: payload as object }) })
  const login: TestApp['login'] = (backend, username, password = PASSWORD) =>
    app.inject({
      method: 'POST',
      url: `/auth/${backend}/login`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ username, password }).toString()
    })

  return {
    app,
    events,
    routes,
    send,
    login,
    tick (seconds) {
      ahead += seconds
    },
    async tokenOf (name) {
      await app.users.settled()
      const event = events.findLast((captured) => captured.name === name)
      if (event === undefined || !('token' in event) || event.token === null) throw new Error(`no ${name}`)
      return event.token
    },
    async register (values = {}) {
      const reply = await send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD, ...values })
      if (reply.statusCode !== 201) throw new Error(`register: ${reply.statusCode} ${reply.body}`)
      return reply.json<User>()
    },
    create: (values = {}) => app.users.create({ email: ARTHUR, password: PASSWORD, ...values }),
    async bearer (email, password) {
      const reply = await login('jwt', email, password)
      if (reply.statusCode !== 200) throw new Error(`login: ${reply.statusCode} ${reply.body}`)
      return { authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}` }
    },
    async cookie (email, password) {
      const reply = await login('cookie', email, password)
      if (reply.statusCode !== 204) throw new Error(`login: ${reply.statusCode} ${reply.body}`)
      return { cookie: cookieOf(reply) }
    }
  }
}

/** Returns the `name=value` of the reply's Set-Cookie header. */
export function cookieOf (reply: LightMyRequestResponse): string {
  return String(reply.headers['set-cookie']).split(';')[0] ?? ''
}

/** Adds guarded routes. It is the default of `extend`. */
export function addRoutes (app: FastifyInstance): void {
  app.get('/guarded', { preHandler: authenticate }, async (request) => ({
    user: currentUser(request),
    ...request.authentication
  }))
  app.post('/guarded', { preHandler: authenticate }, async (request) => ({ user: currentUser(request) }))
}

/** Asserts the status, the code and `detail` of an error reply. `detail` defaults to `word`, the end of the code. */
export function assertErrorReply (
  t: Test,
  reply: LightMyRequestResponse,
  statusCode: number,
  word: string,
  detail: unknown = word,
  name = `${statusCode} ${word}`
): void {
  const body = reply.json<{ code: string; detail: unknown; statusCode: number }>()
  t.same(
    { status: reply.statusCode, statusCode: body.statusCode, code: body.code, detail: body.detail },
    { status: statusCode, statusCode, code: `FST_USERS_${word}`, detail },
    name
  )
}

/** Asserts a validation error: 400 with a problem at exactly these paths. */
export function assertValidationError (
  t: Test,
  reply: LightMyRequestResponse,
  paths: readonly string[],
  name = `400 at ${paths.join(' ')}`
): void {
  const { code, detail } = reply.json<{ code: string; detail: { path: string }[] }>()
  const found = Array.isArray(detail) ? [...new Set(detail.map(({ path }) => path))].sort() : detail
  t.same(
    { statusCode: reply.statusCode, code, paths: found },
    { statusCode: 400, code: 'FST_ERR_VALIDATION', paths: [...paths].sort() },
    name
  )
}

/** Returns the status, the headers except the date, and the body of a reply, for comparison with another reply. */
export function comparableReply ({ statusCode, headers, rawPayload }: LightMyRequestResponse): object {
  return { statusCode, headers: { ...headers, date: null }, body: rawPayload.toString('latin1') }
}

/** Returns the cheap password helper and the list of its calls. */
export function countedPasswords (): { passwords: PasswordHelper; calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    passwords: {
      hash (password) {
        calls.push('hash')
        return fastPasswords.hash(password)
      },
      verifyAndUpdate (password, hash) {
        calls.push('verify')
        return fastPasswords.verifyAndUpdate(password, hash)
      },
      generate: () => fastPasswords.generate()
    }
  }
}

/** Returns the stored rows of a memory adapter. */
export function storedRows (adapter: DatabaseAdapter, name: 'user' | 'accesstoken'): Promise<Row[]> {
  return adapter.findMany(storedModel(name), {}, { limit: 100_000 })
}

/** Returns a model that is sufficient for calls to a memory adapter. */
export function storedModel (name: 'user' | 'accesstoken'): Model {
  return { name, table: name, fields: {} }
}
