/**
 * Users delete their account and export its data.
 *
 * @module fastify-users/account
 */

import { contextOf, defineFeature, type Feature } from '../../feature/index.js'
import type { AccountApi } from './contracts.js'
import { createDeletions } from './deletions.js'
import { startDueDeletions } from './due-deletions.js'
import { accountErrors } from './errors.js'
import { accountEvents } from './events.js'
import { deletionModel } from './model.js'
import { resolveAccountOptions, type AccountOptions } from './options.js'
import { accountRoutes } from './routes.js'

export { accountErrors } from './errors.js'
export type * from './contracts.js'
export type { AccountOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    account: AccountApi
  }
}

/**
 * Creates the feature with which users delete their account, at once or after a delay, and export its data. An invalid
 * option stops the start with a coded error.
 *
 * @example
 * await app.register(users, {
 *   adapter, secret, backends, publicUrl, mail,
 *   features: [account({ deletionDelaySeconds: 30 * 86_400 })]
 * })
 */
export function account (options: AccountOptions = {}): Feature<AccountApi> {
  const settings = resolveAccountOptions(options)
  const isDelayed = settings.delayMs > 0
  return defineFeature<AccountApi>({
    name: 'account',
    models: () => (isDelayed ? [deletionModel] : []),
    errors: accountErrors.definitions,
    events: accountEvents,
    setup (kit) {
      const { cancel, hooks, ...deletions } = createDeletions(kit, settings)
      const due = isDelayed ? startDueDeletions(kit) : null
      const api: AccountApi = {
        ...deletions,
        cancelDeletion: (user) => cancel(user, contextOf()),
        deleteDue: due === null ? async () => 0 : due.run
      }
      return {
        async routes (scope) {
          await scope.register(accountRoutes, { kit, settings, api })
        },
        ...(due === null ? {} : { hooks: { ...hooks, ...due.hooks }, beginDeletion: due.begin, reactivate: cancel }),
        api
      }
    }
  })
}
export default account
