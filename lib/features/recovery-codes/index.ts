/**
 * Recovery codes: ten codes, each of which replaces a lost second factor once.
 *
 * @module fastify-users/recovery-codes
 */

import {
  contextOf,
  defineFeature,
  factorEvents,
  provideRecoveryCodes,
  type Feature,
  type FeatureKit,
  type FeatureParts
} from '../../feature/index.js'
import { createStoredCodes } from './codes.js'
import type { RecoveryCodesApi } from './contracts.js'
import { FST_USERS_RECOVERY_CODES_NOT_NEEDED, recoveryCodeErrors } from './errors.js'
import { recoveryCodeStep, STEP } from './login-step.js'
import { recoveryCodeModel } from './model.js'
import { recoveryCodeRoutes } from './routes.js'
import { createRecoveryCodes } from './source.js'

export { recoveryCodeErrors } from './errors.js'
export type * from './contracts.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    'recovery-codes': RecoveryCodesApi
  }
}

/**
 * Creates the feature for recovery codes. Users get ten codes when they add their first second factor, such as
 * `totp()`. Each code completes one login in place of the factor.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, features: [totp(), recoveryCodes()] })
 */
export function recoveryCodes (): Feature<RecoveryCodesApi> {
  return defineFeature<RecoveryCodesApi>({
    name: 'recovery-codes',
    models: ({ id }) => [recoveryCodeModel(id)],
    errors: recoveryCodeErrors.definitions,
    events: [...factorEvents, 'onAfterCreateRecoveryCodes', 'onAfterUseRecoveryCode'],
    loginSteps: [STEP],
    setup: startRecoveryCodes
  })
}
export default recoveryCodes

function startRecoveryCodes (kit: FeatureKit): FeatureParts<RecoveryCodesApi> {
  const stored = createStoredCodes(kit)
  const codes = createRecoveryCodes(kit, stored)
  provideRecoveryCodes(kit, codes)
  return {
    async routes (scope) {
      const { prefix } = kit.settings.routes.users
      await scope.register(recoveryCodeRoutes, { prefix, kit, stored, codes })
    },
    loginSteps: [recoveryCodeStep(kit, stored, codes)],
    hooks: {
      // without a second factor, old codes must not become valid for a later one
      async onLoginMethodRemoved ({ user }) {
        if ((await kit.secondFactors.count(user)) === 0) await stored.remove(user)
      }
    },
    loginMethods: {
      count: () => 0,
      // the second factors are removed first
      async removeUnproved (user, { untrustedSince }) {
        if (untrustedSince === null) return 0
        const isLast = (await kit.secondFactors.count(user)) === 0
        return await stored.remove(user, isLast ? undefined : untrustedSince)
      },
      removeAll: (user) => stored.remove(user)
    },
    exportData: async (user) => {
      const { remaining, created_at: createdAt } = await stored.state(user)
      return createdAt === null ? {} : { remaining, created_at: createdAt }
    },
    api: {
      state: stored.state,
      async create (user) {
        if ((await kit.secondFactors.count(user)) === 0) throw FST_USERS_RECOVERY_CODES_NOT_NEEDED()
        return await codes.replace(user, contextOf())
      },
      remove: async (user) => (await stored.remove(user)) > 0
    }
  }
}
