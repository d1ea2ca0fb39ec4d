import type { LightMyRequestResponse } from 'fastify'
import { apiKeys } from '../../lib/features/api-keys/index.js'
import { oauth, openidConnect } from '../../lib/features/oauth/index.js'
import { passkeys } from '../../lib/features/passkeys/index.js'
import { refreshTokens } from '../../lib/features/refresh-tokens/index.js'
import { roles } from '../../lib/features/roles/index.js'
import {
  bearerTransport,
  cookieTransport,
  databaseStrategy,
  jwtStrategy,
  type UserId,
  type UsersOptions
} from '../../lib/index.js'
import { createAuthenticator, type Authenticator } from '../helpers/authenticator.js'
import { openBrowser, ORIGIN } from '../helpers/browser.js'
import { ARTHUR } from '../helpers/build-app.js'
import type { Flow, FlowApp } from '../helpers/flows.js'
import { codes, type Codes } from '../helpers/login-features.js'
import { startOauthServer } from '../helpers/oauth-server.js'
import type { Assertion, Creation } from '../helpers/passkey-app.js'
import { factorFlows } from './factor-flows.js'
import type { ScriptTest } from './script-test.js'

/** The counters of attempts are in the store that fails. */
const COUNTED: Partial<UsersOptions> = { limits: { store: 'database' } }

/** A logout stores the revoked session. */
const REVOCABLE: Partial<UsersOptions> = {
  backends: [
    { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600, revocable: true }) },
    { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
  ]
}
const NEW_KEY = { name: 'job', scopes: ['read'] }

/** Flows with features. A failed attempt may use up their ticket or state. */
export async function furtherFlows ({ t }: ScriptTest): Promise<Record<string, Flow>> {
  const idp = await startOauthServer({ clientAuthentication: 'client_secret_basic', reusableCodes: true })
  t.teardown(() => idp.close())
  const client = { issuer: idp.url, clientId: 'client-id', clientSecret: 'client-secret', trustEmail: true }
  const withProvider = (): Partial<UsersOptions> => ({
    publicUrl: ORIGIN,
    features: [
      oauth({
        backend: 'cookie',
        providers: [openidConnect(client)],
        insecureOrigins: [idp.url],
        timeoutMs: 30_000
      })
    ]
  })
  const be = (sub: string, email: string): void => {
    idp.behavior.claims = { sub, email, email_verified: true }
  }
  /** Visits the provider. Returns the request of the callback. */
  const visit = async ({ app }: FlowApp, start: string, headers: Record<string, string>): Promise<Request> => {
    const browser = openBrowser(app)
    const begun = await browser.ask(start, { headers })
    const { url } = await idp.visit(begun.json<{ authorization_url: string }>().authorization_url)
    const cookie = `__Host-users-oauth=${browser.cookie('__Host-users-oauth')}`
    const cookies = headers['cookie'] === undefined ? cookie : `${headers['cookie']}; ${cookie}`
    return () => app.inject({ url: url.pathname + url.search, headers: { cookie: cookies } })
  }
  const sessionHeaders = ({ session }: FlowApp): Record<string, string> => ({
    ...session,
    'sec-fetch-site': 'same-origin'
  })

  return {
    ...factorFlows(),
    'start a login with a provider': {
      prepare: async ({ app }) => () => app.inject('/auth/openid/authorize'),
      success: 200,
      options: withProvider()
    },
    'first login with a provider': {
      async prepare (round) {
        be('lancelot', 'lancelot@camelot.bt')
        return await visit(round, '/auth/openid/authorize', {})
      },
      success: 204,
      options: withProvider()
    },
    'next login with a provider': {
      async prepare (round) {
        be('lancelot', 'lancelot@camelot.bt')
        await (await visit(round, '/auth/openid/authorize', {}))()
        return await visit(round, '/auth/openid/authorize', {})
      },
      success: 204,
      options: withProvider()
    },
    'link a provider account': {
      async prepare (round) {
        be('arthur', 'pendragon@camelot.bt')
        return await visit(round, '/auth/associate/openid/authorize', sessionHeaders(round))
      },
      success: 200,
      options: withProvider()
    },
    'unlink a provider account': {
      async prepare (round) {
        be('arthur', 'pendragon@camelot.bt')
        await (await visit(round, '/auth/associate/openid/authorize', sessionHeaders(round)))()
        const list = await round.send('GET', '/users/me/oauth-accounts', undefined, round.session)
        const [account] = list.json<{ id: string }[]>()
        return () => round.send('DELETE', `/users/me/oauth-accounts/${account?.id}`, undefined, round.session)
      },
      success: 204,
      options: withProvider()
    },
    'log in to the first step': {
      async prepare (round) {
        await featureOf(round).enrol({ id: round.id })
        return () => round.login('cookie', ARTHUR)
      },
      success: 403,
      options: { features: [codes()] }
    },
    'log in and get a refresh token': {
      prepare: async ({ login }) => () => login('jwt', ARTHUR),
      success: 200,
      options: { features: [refreshTokens()] }
    },
    'use a refresh token': {
      async prepare ({ login, send }) {
        const { refresh_token: token } = (await login('jwt', ARTHUR)).json<{ refresh_token: string }>()
        return () => send('POST', '/auth/jwt/refresh', { refresh_token: token })
      },
      success: 200,
      options: { features: [refreshTokens()] }
    },
    'revoke a refresh token': {
      async prepare ({ login, send }) {
        const { refresh_token: token } = (await login('jwt', ARTHUR)).json<{ refresh_token: string }>()
        return () => send('POST', '/auth/jwt/revoke', { token })
      },
      success: 200,
      options: { features: [refreshTokens()] }
    },
    'guarded by a revocable jwt': {
      prepare: async ({ send, own }) => () => send('GET', '/guarded', undefined, own),
      success: 200,
      options: REVOCABLE
    },
    'log out by a revocable jwt': {
      prepare: async ({ bearer, send }) => {
        // a run may end its session, so the next run has another one
        const sessions = [await bearer(ARTHUR), await bearer(ARTHUR)]
        let runs = 0
        return () => send('POST', '/auth/jwt/logout', undefined, sessions[runs++ % sessions.length])
      },
      success: 204,
      options: REVOCABLE
    },
    'create an API key': {
      prepare: async ({ send, own }) => () => send('POST', '/users/me/api-keys', NEW_KEY, own),
      success: 201,
      options: { features: [apiKeys({ scopes: ['read'] })] }
    },
    'revoke an API key': {
      async prepare ({ send, own }) {
        const { id } = (await send('POST', '/users/me/api-keys', NEW_KEY, own)).json<{ id: string }>()
        return () => send('DELETE', `/users/me/api-keys/${id}`, undefined, own)
      },
      success: 204,
      options: { features: [apiKeys({ scopes: ['read'] })] }
    },
    'give a user a role': {
      prepare: async ({ send, admin, id }) => () => send('PUT', `/users/${id}/role`, { role: 'king' }, admin),
      success: 200,
      options: { features: [roles({ roles: { king: { scopes: [] } } })] }
    },
    'log in, counted in the database': {
      prepare: async ({ login }) => () => login('cookie', ARTHUR),
      success: 204,
      options: COUNTED
    },
    'fail to log in, counted in the database': {
      prepare: async ({ login }) => () => login('cookie', ARTHUR, 'wrong'),
      success: 400,
      options: COUNTED
    },
    'ask for a reset, counted in the database': {
      prepare: async ({ send }) => () => send('POST', '/auth/forgot-password', { email: ARTHUR }),
      success: 202,
      options: COUNTED
    },
    'add a passkey': {
      async prepare (round) {
        const { body, headers } = await newPasskey(round)
        return () => round.send('POST', '/users/me/passkeys', body, headers)
      },
      success: 201,
      options: withPasskeys()
    },
    'begin a login with a passkey': {
      prepare: async ({ send }) => () => send('POST', '/auth/jwt/passkey/options'),
      success: 200,
      options: withPasskeys()
    },
    'log in with a passkey': {
      async prepare (round) {
        const { device, body, headers } = await newPasskey(round)
        await round.send('POST', '/users/me/passkeys', body, headers)
        const { ticket, options } = (await round.send('POST', '/auth/jwt/passkey/options')).json<Assertion>()
        return () => round.send('POST', '/auth/jwt/passkey', { ticket, credential: device.get(options) })
      },
      success: 200,
      options: withPasskeys()
    },
    'register with a passkey': {
      async prepare ({ send }) {
        const begun = await send('POST', '/auth/register/passkey/options', { email: 'lancelot@camelot.bt' })
        const { ticket, options } = begun.json<Creation>()
        const credential = createAuthenticator(ORIGIN).create(options)
        return () => send('POST', '/auth/register/passkey', { ticket, credential })
      },
      success: 201,
      options: withPasskeys()
    },
    'delete a passkey': {
      async prepare (round) {
        const { body, headers } = await newPasskey(round)
        const { id } = (await round.send('POST', '/users/me/passkeys', body, headers)).json<{ id: string }>()
        const session = await verifiedSession(round)
        return () => round.send('DELETE', `/users/me/passkeys/${id}`, undefined, session)
      },
      success: 204,
      options: withPasskeys()
    },
    'answer a login step': {
      async prepare (round) {
        const feature = featureOf(round)
        await feature.enrol({ id: round.id })
        const { ticket } = (await round.login('jwt', ARTHUR)).json<{ detail: { ticket: string } }>().detail
        return () => round.send('POST', '/auth/jwt/login/code', { ticket, code: feature.sent.at(-1) })
      },
      success: 200,
      options: { features: [codes()] }
    }
  }
}

const withPasskeys = (): Partial<UsersOptions> => ({ publicUrl: ORIGIN, features: [passkeys({ signUp: true })] })

/** Returns the headers of a session of Arthur, whose e-mail is verified. */
async function verifiedSession ({ app, id }: FlowApp): Promise<Record<string, string>> {
  const user = await app.users.update(id as UserId, { is_verified: true })
  const { issued } = await app.users.login(user, { backend: 'jwt', method: 'passkey' })
  return { authorization: `Bearer ${issued?.token}` }
}

/** Begins to add a passkey. Returns the request that finishes it. */
async function newPasskey (
  round: FlowApp
): Promise<{ device: Authenticator; body: object; headers: Record<string, string> }> {
  const device = createAuthenticator(ORIGIN)
  const headers = await verifiedSession(round)
  const begun = await round.send('POST', '/users/me/passkeys/options', undefined, headers)
  const { ticket, options } = begun.json<Creation>()
  return { device, headers, body: { ticket, credential: device.create(options) } }
}

type Request = () => Promise<LightMyRequestResponse>

const featureOf = ({ app }: FlowApp): Codes => app.users.feature('codes') as Codes
