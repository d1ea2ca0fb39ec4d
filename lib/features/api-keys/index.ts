/**
 * API keys of users and of service accounts, with scopes.
 *
 * @module fastify-users/api-keys
 */

import { defineFeature, scopesFlag, type Authentication, type Feature } from '../../feature/index.js'
import { apiKeyBackend } from './backend.js'
import type { ApiKeysApi } from './contracts.js'
import { apiKeyErrors } from './errors.js'
import { apiKeyEvents } from './events.js'
import { createKeyFormat } from './key-format.js'
import { apiKeyModel } from './key-model.js'
import { createApiKeys } from './keys.js'
import { resolveApiKeysOptions, type ApiKeysOptions } from './options.js'
import { ownKeyRoutes } from './own-routes.js'
import { serviceRoutes } from './service-routes.js'

export { apiKeyErrors } from './errors.js'
export type * from './contracts.js'
export type { ApiKeysOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    'api-keys': ApiKeysApi
  }
}

declare module '../../contracts/authentication.js' {
  interface GuardFlags {
    /**
     * The request must have all of these scopes. A guard with this flag also accepts API keys. Without it, a guard
     * refuses API keys unless its option `backends` names their backend.
     */
    scopes?: readonly string[]
  }
}

/**
 * Creates the feature for API keys. Routes accept them with `authenticate({ scopes: […] })`. An invalid option stops
 * the start with a coded error.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, features: [apiKeys({ scopes: ['read', 'write'] })] })
 * app.get('/reports', { onRequest: authenticate({ scopes: ['read'] }) }, listReports)
 */
export function apiKeys (options: ApiKeysOptions): Feature<ApiKeysApi> {
  const settings = resolveApiKeysOptions(options)
  const format = createKeyFormat(settings.prefix)
  return defineFeature<ApiKeysApi>({
    name: 'api-keys',
    models: ({ id }) => [apiKeyModel(id)],
    errors: apiKeyErrors.definitions,
    events: apiKeyEvents,
    backends: [apiKeyBackend(settings.backend, format)],
    guardFlags: { scopes: scopesFlag },
    setup (kit) {
      const keys = createApiKeys(kit, settings, format)
      return {
        async routes (scope) {
          const { users } = kit.settings.routes
          if (settings.ownRoutes) await scope.register(ownKeyRoutes, { prefix: users.prefix, kit, keys })
          if (settings.servicesPrefix !== null) {
            await scope.register(serviceRoutes, { prefix: settings.servicesPrefix, kit, keys })
          }
        },
        scopes: (authentication) => (authentication.backend === settings.backend ? scopesOf(authentication) : null),
        // keys are not login methods; another person may have created those of an unverified user
        loginMethods: { count: () => 0, removeUnproved: keys.revokeAll, removeAll: keys.revokeAll },
        exportData: async (user) => ({ keys: await keys.list(user) }),
        api: keys
      }
    }
  })
}
export default apiKeys

/** Returns the scopes of the key of a request. */
function scopesOf ({ session }: Authentication): readonly string[] {
  const { scopes } = session.details
  return Array.isArray(scopes) ? scopes.map(String) : []
}
