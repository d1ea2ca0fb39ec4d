/**
 * Authenticator apps as a second factor: time-based one-time passwords (RFC 6238).
 *
 * @module fastify-users/totp
 */

import { defineFeature, factorEvents, type Feature, type FeatureKit, type FeatureParts } from '../../feature/index.js'
import { createAuthenticators } from './authenticator.js'
import type { TotpApi } from './contracts.js'
import { createEnrolments } from './enrolments.js'
import { totpErrors } from './errors.js'
import { codeStep, enrolmentStep, FACTOR, STEPS } from './login-steps.js'
import { totpModel } from './model.js'
import { loadOneTimePasswords } from './one-time-password.js'
import { checkTotpOptions, readIssuer, type TotpOptions } from './options.js'
import { totpRoutes } from './own-routes.js'

export { totpErrors } from './errors.js'
export type * from './contracts.js'
export type { TotpOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    totp: TotpApi
  }
}

/**
 * Creates the feature for authenticator apps. It needs the packages `otpauth` and `uqr`. An invalid option or a missing
 * package stops the start with a coded error.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, features: [totp({ issuer: 'Camelot' }), recoveryCodes()] })
 */
export function totp (options: TotpOptions = {}): Feature<TotpApi> {
  checkTotpOptions(options)
  return defineFeature<TotpApi>({
    name: 'totp',
    models: ({ id }) => [totpModel(id)],
    errors: totpErrors.definitions,
    events: factorEvents,
    loginSteps: STEPS,
    singleUse: true,
    setup: (kit) => startTotp(kit, options)
  })
}
export default totp

async function startTotp (kit: FeatureKit, options: TotpOptions): Promise<FeatureParts<TotpApi>> {
  const passwords = await loadOneTimePasswords(readIssuer(options, kit.settings))
  const authenticators = createAuthenticators(kit, passwords)
  const enrolments = createEnrolments(kit)
  return {
    async routes (scope) {
      const { prefix } = kit.settings.routes.users
      await scope.register(totpRoutes, { prefix, kit, passwords, authenticators, enrolments })
    },
    loginSteps: [codeStep(kit, authenticators), enrolmentStep(kit, authenticators, passwords)],
    secondFactors: [{
      name: FACTOR,
      count: async (user) => ((await authenticators.find(user)) === null ? 0 : 1),
      async list (user) {
        const row = await authenticators.find(user)
        return row === null ? [] : [{ label: null, createdAt: row.created_at, lastUsedAt: null }]
      },
      async removeAll (user, since) {
        await enrolments.endOf(user)
        return await authenticators.removeOf(user, since)
      }
    }],
    exportData: async (user) => {
      const { since } = await authenticators.state(user)
      return since === null ? {} : { since }
    },
    api: {
      state: authenticators.state,
      async verify (user, code) {
        const row = await authenticators.find(user)
        return row !== null && typeof code === 'string' && (await authenticators.accept(row, code))
      }
    }
  }
}
