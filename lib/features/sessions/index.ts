/**
 * The sessions of users: a list of them, their end, their lifetimes, and "remember me".
 *
 * @module fastify-users/sessions
 */

import { defineFeature, type Feature } from '../../feature/index.js'
import type { SessionsApi } from './contracts.js'
import { loadDevices } from './device.js'
import { sessionsErrors } from './errors.js'
import { userSessionModel } from './model.js'
import { checkBackendLifetimes, offersRememberMe, resolveSessionsOptions, type SessionsOptions } from './options.js'
import { ownSessionRoutes } from './own-routes.js'
import { createSessions } from './sessions.js'
import { superuserSessionRoutes } from './superuser-routes.js'

export { sessionsErrors } from './errors.js'
export type * from './contracts.js'
export type { SessionLifetimes, SessionLimits, SessionsOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    sessions: SessionsApi
  }
}

/**
 * Creates the feature with which users list and end their sessions, and superusers those of all users. It also ends
 * unused sessions, and offers longer ones to users who ask for them. It needs the package `bowser`. An invalid option
 * stops the start with a coded error.
 *
 * @example
 * await app.register(users, {
 *   adapter, secret, backends,
 *   features: [sessions({ idleSeconds: 86_400, rememberMe: { idleSeconds: 14 * 86_400 } })]
 * })
 */
export function sessions (options: SessionsOptions = {}): Feature<SessionsApi> {
  const settings = resolveSessionsOptions(options)
  return defineFeature<SessionsApi>({
    name: 'sessions',
    models: ({ id }) => [userSessionModel(id)],
    errors: sessionsErrors.definitions,
    rememberMe: (backend) => offersRememberMe(settings, backend),
    async setup (kit) {
      checkBackendLifetimes(settings, kit)
      const { api, observer, endSurplus, exportData } = createSessions(kit, settings, await loadDevices())
      const { enabled, prefix } = kit.settings.routes.users
      return {
        sessions: observer,
        hooks: { onAfterLogin: ({ user, session }) => endSurplus(user, session.id) },
        exportData,
        async routes (scope) {
          if (!enabled) return
          if (settings.ownRoutes) await scope.register(ownSessionRoutes, { prefix, kit, sessions: api })
          if (settings.superuserRoutes) await scope.register(superuserSessionRoutes, { prefix, kit, sessions: api })
        },
        api
      }
    }
  })
}
export default sessions
