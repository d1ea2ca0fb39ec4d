/**
 * Refresh tokens: short access tokens, and sessions that last and can be ended.
 *
 * @module fastify-users/refresh-tokens
 */

import type { FastifyInstance } from 'fastify'
import {
  checkObject,
  defineFeature,
  FST_USERS_CROSS_SITE_REQUEST,
  isCrossSite,
  type CallContext,
  type CreatedSession,
  type Feature,
  type FeatureKit,
  type FeatureParts,
  type IssuedToken,
  type SessionObserver
} from '../../feature/index.js'
import { FST_USERS_REFRESH_TOKEN_INVALID, refreshTokenErrors, refreshTokenEvents } from './errors.js'
import { Families } from './families.js'
import { refreshTokenModel } from './model.js'
import { namedIn, resolveRefreshOptions, type RefreshTokensOptions } from './options.js'
import { createRefreshCookie } from './refresh-cookie.js'
import { closesWithBrowser, refreshRoutes, type RefreshBackend } from './routes.js'

export { refreshTokenErrors } from './errors.js'
export type { RefreshBackendOptions, RefreshCookieOptions, RefreshTokensOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    'refresh-tokens': RefreshTokensApi
  }
}

/** The functions of `app.users.feature('refresh-tokens')`, for APIs without these routes, such as GraphQL. */
export interface RefreshTokensApi {
  /**
   * Returns a new access token, with `refresh_token` and `expires_in`. Throws `FST_USERS_REFRESH_TOKEN_INVALID` and
   * `FST_USERS_UNKNOWN_BACKEND`.
   */
  refresh(token: string, context: CallContext & { backend: string }): Promise<IssuedToken>
  /** Ends the session of a refresh token. Does nothing for other text. */
  revoke(token: string): Promise<void>
}

/**
 * Creates the feature for refresh tokens (RFC 6749, section 6). Logins return a refresh token beside the access token,
 * and `POST /auth/<backend>/refresh` replaces both. A refresh token works once; a second use ends the session (RFC
 * 9700, section 4.14). Logout, `endSessions`, and a change of the password, the e-mail or a flag end it too. An invalid
 * option stops the start with a coded error.
 *
 * @example
 * await app.register(users, {
 *   adapter, secret,
 *   backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy() }],
 *   features: [refreshTokens()]
 * })
 */
export function refreshTokens (options: RefreshTokensOptions = {}): Feature<RefreshTokensApi> {
  checkObject('refreshTokens', options)
  return defineFeature({
    name: 'refresh-tokens',
    models: ({ id }) => [refreshTokenModel(id)],
    errors: refreshTokenErrors.definitions,
    events: refreshTokenEvents,
    setup: (kit) => startRefreshTokens(kit, options)
  })
}
export default refreshTokens

function startRefreshTokens (kit: FeatureKit, options: RefreshTokensOptions): FeatureParts<RefreshTokensApi> {
  const settings = resolveRefreshOptions(options, kit)
  const families = new Families(kit, settings)
  const backends = new Map<string, RefreshBackend>()
  for (const { backend, cookie } of settings.backends) {
    backends.set(backend.name, { backend, cookie: cookie && createRefreshCookie(cookie, kit) })
  }
  return {
    routes: (scope) => registerRefreshRoutes(scope, kit, families, backends),
    sessions: observeSessions(kit, families, backends),
    exportData: async (user) => ({ sessions: await families.export(user) }),
    hooks: {
      onAfterLogout ({ backend }, { reply }) {
        if (reply !== null) backends.get(backend)?.cookie?.clear(reply)
      }
    },
    api: {
      async refresh (token, { backend: name, ...call }) {
        const { backend } = namedIn(backends, name)
        if (typeof token !== 'string') throw FST_USERS_REFRESH_TOKEN_INVALID()
        const { issued, next } = await families.refresh(token, backend, call)
        const { lifetimeSeconds: seconds } = issued
        return { ...issued, refresh_token: next.text, ...(seconds === null ? {} : { expires_in: seconds }) }
      },
      async revoke (token) {
        if (typeof token === 'string') await families.revoke(token)
      }
    }
  }
}

async function registerRefreshRoutes (
  scope: FastifyInstance,
  kit: FeatureKit,
  families: Families,
  backends: ReadonlyMap<string, RefreshBackend>
): Promise<void> {
  const { enabled, prefix } = kit.settings.routes.auth
  if (!enabled) return
  for (const [name, each] of backends) {
    await scope.register(refreshRoutes, { prefix: `${prefix}/${name}`, kit, families, ...each })
  }
}

function observeSessions (
  kit: FeatureKit,
  families: Families,
  backends: ReadonlyMap<string, RefreshBackend>
): SessionObserver {
  return {
    async issued (_session, created) {
      const { backend, issued, continues } = created
      const each = backends.get(backend)
      if (each === undefined || continues) return
      if (each.cookie !== null) await replaceCookie(kit, families, each.cookie, created)
      else issued.refresh_token = (await families.start(created)).text
      if (issued.lifetimeSeconds !== null) issued.expires_in = issued.lifetimeSeconds
    },
    async ended (user, which) {
      await families.remove(user, which)
    },
    end: async (user, id) => (await families.remove(user, { id })) > 0,
    list: (user) => families.list(user)
  }
}

/** Sets the cookie of a new session, and ends the session whose cookie it replaces. */
async function replaceCookie (
  kit: FeatureKit,
  families: Families,
  cookie: NonNullable<RefreshBackend['cookie']>,
  created: CreatedSession
): Promise<void> {
  const { request, reply } = created.context
  // without a reply, the cookie cannot be sent
  if (request === null || reply === null) return
  // a login at a provider comes back from another site, and is bound to the browser by a cookie of its own
  const hasPassword = created.issued.session.methods.includes('password')
  if (hasPassword && isCrossSite(request, kit.settings, cookie)) throw FST_USERS_CROSS_SITE_REQUEST()
  const former = cookie.read(request)
  const { text, lifetimeSeconds } = await families.start(created)
  if (former !== null) await families.revoke(former)
  cookie.set(reply, text, closesWithBrowser(kit, created.backend, created.issued) ? null : lifetimeSeconds)
}
