/**
 * Passkeys (WebAuthn): login without a password, second factor, and sign-up.
 *
 * @module fastify-users/passkeys
 */

import type { FastifyInstance } from 'fastify'
import { defineFeature, type Feature, type FeatureKit, type FeatureParts } from '../../feature/index.js'
import type { Ceremonies } from './ceremonies.js'
import type { PasskeysApi } from './contracts.js'
import { passkeyErrors } from './errors.js'
import { passkeyEvents } from './events.js'
import { loadLibrary } from './library.js'
import { createLogins } from './login.js'
import { passkeyLoginRoutes } from './login-routes.js'
import { passkeyModel } from './model.js'
import { resolvePasskeysOptions, resolveRelyingParty, type PasskeysOptions, type PasskeysSettings } from './options.js'
import { ownRoutes } from './own-routes.js'
import { createApi, createPasskeyLoginMethods, createSecondFactor } from './passkeys.js'
import { createRegistration } from './registration.js'
import { PasskeyRows } from './rows.js'
import { createSignUps } from './sign-up.js'
import { signUpRoutes } from './sign-up-routes.js'
import { createSteps, PASSKEY_STEPS } from './steps.js'
import { addWellKnownRoute } from './well-known-route.js'

export { passkeyErrors } from './errors.js'
export type * from './contracts.js'
export type { PasskeysOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    passkeys: PasskeysApi
  }
}

/**
 * Creates the feature for passkeys (WebAuthn Level 3). It needs the package `@simplewebauthn/server` 14 and the option
 * `publicUrl`. Users add passkeys below `/users/me/passkeys` and log in with `POST /auth/<backend>/passkey`. Other
 * logins of a user with a passkey need it as the second factor. An invalid option stops the start with a coded error.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, publicUrl, features: [passkeys({ rpName: 'Camelot' })] })
 */
export function passkeys (options: PasskeysOptions = {}): Feature<PasskeysApi> {
  const settings = resolvePasskeysOptions(options)
  return defineFeature<PasskeysApi>({
    name: 'passkeys',
    models: ({ id }) => [passkeyModel(id)],
    errors: passkeyErrors.definitions,
    events: passkeyEvents,
    loginSteps: settings.secondFactor ? PASSKEY_STEPS : [],
    singleUse: true,
    setup: (kit) => startPasskeys(kit, options, settings)
  })
}
export default passkeys

async function startPasskeys (
  kit: FeatureKit,
  options: PasskeysOptions,
  settings: PasskeysSettings
): Promise<FeatureParts<PasskeysApi>> {
  const party = resolveRelyingParty(options, kit.settings)
  const rows = new PasskeyRows(kit)
  const ceremonies: Ceremonies = { kit, settings, party, rows, library: await loadLibrary() }
  const api = createApi(kit, rows)
  return {
    routes: (scope) => registerPasskeyRoutes(scope, ceremonies, api),
    loginMethods: createPasskeyLoginMethods(rows),
    ...(settings.secondFactor
      ? { secondFactors: [createSecondFactor(rows)], loginSteps: createSteps(ceremonies) }
      : {}),
    exportData: async (user) => ({ passkeys: await api.list(user) }),
    api
  }
}

async function registerPasskeyRoutes (scope: FastifyInstance, ceremonies: Ceremonies, api: PasskeysApi): Promise<void> {
  const { kit, settings, party, rows } = ceremonies
  const { users, auth, register } = kit.settings.routes
  if (settings.ownRoutes) {
    const registration = createRegistration(ceremonies)
    await scope.register(ownRoutes, { prefix: users.prefix, kit, api, rows, registration })
  }
  if (settings.loginRoutes && auth.enabled) {
    const logins = createLogins(ceremonies)
    for (const [name, backend] of kit.users.backends) {
      await scope.register(passkeyLoginRoutes, { prefix: `${auth.prefix}/${name}`, kit, backend, logins })
    }
  }
  if (settings.signUp && register.enabled) {
    await scope.register(signUpRoutes, { prefix: register.prefix, kit, signUps: createSignUps(ceremonies) })
  }
  if (party.relatedOrigins.length > 0) addWellKnownRoute(scope, kit.settings, party.origins)
}
