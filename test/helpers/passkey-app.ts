import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { passkeys, type Passkey } from '../../lib/features/passkeys/index.js'
import type { PasskeysOptions } from '../../lib/features/passkeys/index.js'
import { authenticate, type User, type UsersOptions } from '../../lib/index.js'
import {
  createAuthenticator,
  type AlgorithmName,
  type AssertionRequest,
  type Authenticator,
  type CreationRequest,
  type CredentialJson,
  type Mutations
} from './authenticator.js'
import { addRoutes, ARTHUR, buildApp, type TestApp } from './build-app.js'

export const PUBLIC_URL = 'https://camelot.example'
export const PASSKEYS = '/users/me/passkeys'

export type Headers = Record<string, string>
export interface Creation { ticket: string; options: CreationRequest }
export interface Assertion { ticket: string; options: AssertionRequest }

/** An application with the feature and a verified user. */
export interface PasskeyApp extends TestApp {
  user: User
  /** Creates an authenticator with a browser at the page of the application. */
  device(options?: { algorithm?: AlgorithmName; counts?: boolean; origin?: string }): Authenticator
  /** Returns the headers of a new session, which needs no second factor. */
  sessionOf(email?: string, backend?: string): Promise<Headers>
  /** Begins to add a passkey. */
  begin(headers: Headers): Promise<Creation>
  /** Adds a passkey of a device to the user of the headers. */
  add(device: Authenticator, headers: Headers, mutations?: Mutations, values?: object): Promise<LightMyRequestResponse>
  /** Adds a passkey to a user who logs in for it, and returns it. */
  own(device: Authenticator, email?: string, mutations?: Mutations): Promise<Passkey>
  /** Begins a login. At a backend with cookies, `headers` has the cookie of the ceremony. */
  ask(backend?: string): Promise<Assertion & { headers: Headers }>
  /** Answers a login that has begun. */
  answer(
    begun: Assertion & { headers?: Headers },
    credential: unknown,
    backend?: string
  ): Promise<LightMyRequestResponse>
  /** Logs in with a passkey of the device. */
  enter(device: Authenticator, mutations?: Mutations, backend?: string): Promise<LightMyRequestResponse>
}

/** Builds an application with a verified user, Arthur. */
export async function buildWithPasskeys (
  t: Test,
  options: Partial<UsersOptions> = {},
  passkeyOptions: PasskeysOptions = {}
): Promise<PasskeyApp> {
  const { features = [], ...rest } = options
  const built = await buildApp(t, {
    publicUrl: PUBLIC_URL,
    ...rest,
    features: [passkeys(passkeyOptions), ...features]
  }, (app) => {
    addRoutes(app)
    app.get('/methods', { onRequest: authenticate }, async (request) => request.authentication?.session.methods)
  })
  const user = await built.create({ is_verified: true })
  const { send } = built

  const app: PasskeyApp = {
    ...built,
    user,
    device: ({ origin = PUBLIC_URL, ...deviceOptions } = {}) => createAuthenticator(origin, deviceOptions),
    async sessionOf (email = ARTHUR, backend = 'jwt') {
      const { users } = built.app
      const found = await users.getByEmail(email)
      // the method proves two factors
      const { issued } = found === null ? {} : await users.login(found, { backend, method: 'passkey' })
      const headers = users.backends.get(backend)?.transport.requestHeaders?.(issued?.token ?? '')
      if (headers === undefined) throw new Error(`no session of ${email}`)
      return headers
    },
    async begin (headers) {
      const reply = await send('POST', `${PASSKEYS}/options`, undefined, headers)
      if (reply.statusCode !== 200) throw new Error(`options: ${reply.statusCode} ${reply.body}`)
      return reply.json<Creation>()
    },
    async add (device, headers, mutations = {}, values = {}) {
      const { ticket, options: creation } = await app.begin(headers)
      return await send('POST', PASSKEYS, { ticket, credential: device.create(creation, mutations), ...values }, headers)
    },
    async own (device, email = ARTHUR, mutations = {}) {
      const reply = await app.add(device, await app.sessionOf(email), mutations)
      if (reply.statusCode !== 201) throw new Error(`add: ${reply.statusCode} ${reply.body}`)
      return reply.json<Passkey>()
    },
    async ask (backend = 'jwt') {
      const reply = await send('POST', `/auth/${backend}/passkey/options`)
      if (reply.statusCode !== 200) throw new Error(`options: ${reply.statusCode} ${reply.body}`)
      return { ...reply.json<Assertion>(), headers: cookiesOf(reply) }
    },
    answer: ({ ticket, headers = {} }, credential, backend = 'jwt') =>
      send('POST', `/auth/${backend}/passkey`, { ticket, credential }, headers),
    async enter (device, mutations = {}, backend = 'jwt') {
      const begun = await app.ask(backend)
      return await app.answer(begun, device.get(begun.options, mutations), backend)
    }
  }
  return app
}

/** Returns the cookies of a reply as the headers of the next request. */
export function cookiesOf (reply: LightMyRequestResponse): Headers {
  const cookies = [reply.headers['set-cookie'] ?? []]
    .flat()
    .map((cookie) => cookie.split(';')[0] ?? '')
    .filter((pair) => !pair.endsWith('=')) // a deleted cookie
  return cookies.length === 0 ? {} : { cookie: cookies.join('; ') }
}

export const bearerOf = (reply: LightMyRequestResponse): Headers => ({
  authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}`
})

export type { CredentialJson }
