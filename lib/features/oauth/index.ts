/**
 * Login with OAuth 2.0 and OpenID Connect providers, and linked accounts.
 *
 * @module fastify-users/oauth
 */

import type { FastifyInstance } from 'fastify'
import { checkObject, defineFeature, Type, type Feature, type FeatureKit, type FeatureParts, type UserId } from '../../feature/index.js'
import { accountModel } from './account-model.js'
import { oauthAccountRoutes } from './account-routes.js'
import { createOauthAccounts } from './accounts.js'
import { createOauthCookie } from './oauth-cookie.js'
import type { OauthApi } from './contracts.js'
import { createClient } from './engine/index.js'
import { oauthErrors } from './errors.js'
import { oauthEvents } from './events.js'
import { createFlow } from './flow.js'
import { issuerModel } from './issuers.js'
import { resolveOauthOptions, type OauthOptions } from './options.js'
import { associateRoutes } from './routes/associate.js'
import { oauthLoginRoutes } from './routes/login.js'
import type { FlowRoutesOptions } from './routes/provider-flow.js'
import { oauthAccountRead } from './schemas.js'
import { claimNames, sharedState } from './shared.js'
import { createStates } from './state.js'
import { createTransactions } from './transactions.js'

export { oauthErrors } from './errors.js'
export * from './providers/index.js'
export type * from './contracts.js'
export type { LinkedAccount } from './events.js'
export type { OauthCookieOptions, OauthOptions, OauthRouteGroup } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    oauth: OauthApi
    /** Further registrations, such as `oauth({ name: 'oauth-staff', … })`. */
    [name: `oauth-${string}`]: OauthApi
  }
}

/**
 * Creates the feature for login with OAuth 2 and OpenID Connect providers. `app.users.feature('oauth')` lists and
 * unlinks accounts and reads their tokens. An invalid option stops the start with a coded error.
 *
 * @example
 * await app.register(users, {
 *   adapter, secret, backends, publicUrl,
 *   features: [oauth({ providers: [google({ clientId, clientSecret })] })]
 * })
 */
export function oauth (options: OauthOptions): Feature<OauthApi> {
  checkObject('oauth', options)
  return defineFeature({
    name: options.name ?? 'oauth',
    models: ({ id }) => [accountModel(id), issuerModel],
    singleUse: true,
    ...(options.accountsInReplies === true
      ? { replyFields: ({ id }) => ({ oauth_accounts: Type.Array(oauthAccountRead(id)) }) }
      : {}),
    errors: oauthErrors.definitions,
    events: oauthEvents,
    setup: (kit) => startOauth(kit, options)
  })
}
export default oauth

async function startOauth (kit: FeatureKit, options: OauthOptions): Promise<FeatureParts<OauthApi>> {
  const settings = resolveOauthOptions(options, kit.settings, kit.users.backends)
  const shared = sharedState(kit)
  claimNames(shared, settings.providers)
  const { insecureOrigins, timeoutMs, fetch, redirects, state } = settings
  const clients = new Map(
    settings.providers.map((provider) => [
      provider.name,
      createClient(provider, { insecureOrigins, timeoutMs, fetch, clock: kit.clock, log: kit.log })
    ])
  )
  const isFirst = shared.revocations.length === 0
  const { accounts, loginMethods } = createOauthAccounts(kit, settings, clients, shared)
  const flow = createFlow({
    attempts: kit.attempts,
    audit: kit.audit,
    backend: settings.backend.name,
    redirects,
    states: await createStates(kit.scope, kit, state),
    transactions: createTransactions(kit, state.lifetimeSeconds),
    cookie: createOauthCookie(kit, settings.cookie, state.lifetimeSeconds)
  })
  const parts: FlowRoutesOptions = { kit, settings, flow, accounts, clients }
  return {
    routes: (scope) => registerOauthRoutes(scope, parts),
    // all registrations use the same accounts, so only the first one counts, deletes and exports them
    ...(isFirst
      ? { loginMethods, exportData: async ({ id }) => ({ accounts: await accounts.list(id as UserId) }) }
      : {}),
    ...(settings.accountsInReplies
      ? { replyFields: { oauth_accounts: async ({ id }) => await accounts.list(id as UserId) } }
      : {}),
    api: { list: accounts.list, unlink: accounts.unlink, tokens: accounts.tokens }
  }
}

async function registerOauthRoutes (scope: FastifyInstance, parts: FlowRoutesOptions): Promise<void> {
  const {
    kit,
    accounts,
    settings: { routes }
  } = parts
  if (routes.login.enabled) await scope.register(oauthLoginRoutes, parts)
  if (routes.associate.enabled) await scope.register(associateRoutes, parts)
  if (routes.accounts.enabled) {
    await scope.register(oauthAccountRoutes, { prefix: routes.accounts.prefix, kit, accounts })
  }
}
