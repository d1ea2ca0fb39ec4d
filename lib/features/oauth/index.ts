/**
 * Login with OAuth 2.0 and OpenID Connect providers, and linked accounts.
 *
 * @module fastify-users/oauth
 */

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { FeatureHost } from '../../contracts/feature-host.js'
import type { AnyInstance } from '../../contracts/instances.js'
import { notRegistered } from '../../copies.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_NOT_REGISTERED } from '../../errors.js'
import { kHost } from '../../symbols.js'
import { accountRoutes } from './account-routes.js'
import { createOauthAccounts } from './accounts.js'
import { createBrowserCookie } from './browser-cookie.js'
import type { OauthAccounts, Provider } from './contracts.js'
import { createClient } from './engine/index.js'
import { createFlow } from './flow.js'
import { issuerOf } from './issuers.js'
import { resolveOauthOptions, type OauthOptions } from './options.js'
import { associateRoutes } from './routes/associate.js'
import type { FlowRoutesOptions } from './routes/provider-flow.js'
import { loginRoutes } from './routes/login.js'
import { createStates } from './state.js'
import { createTransactions } from './transactions.js'

export * from './providers/index.js'
export { oauthErrors } from './errors.js'
export type * from './contracts.js'
export type { OauthCookieOptions, OauthOptions, OauthRouteGroup } from './options.js'

// symbols on the host, which several copies of one package version share
const kAccounts: unique symbol = Symbol.for('fastify-users.oauth')
const kIssuers: unique symbol = Symbol.for('fastify-users.oauth-issuers')
type Host = FeatureHost & { [kAccounts]?: OauthAccounts; [kIssuers]?: Map<string, string> }

/**
 * Returns the functions that list and unlink provider accounts and read their tokens, for application code. Throws
 * `FST_USERS_NOT_REGISTERED`.
 */
export function oauthAccounts (app: AnyInstance): Pick<OauthAccounts, 'list' | 'unlink' | 'tokens'> {
  const { [kAccounts]: accounts } = hostOf(app)
  if (accounts === undefined) throw FST_USERS_NOT_REGISTERED()
  return accounts
}

async function oauthPlugin (scope: FastifyInstance, options: OauthOptions): Promise<void> {
  const host = hostOf(scope)
  const settings = resolveOauthOptions(options, host.settings, scope.users.backends)
  claimNames(host, settings.providers)
  const { insecureOrigins, timeoutMs, fetch, redirects, state } = settings
  const clients = new Map(
    settings.providers.map((provider) => [
      provider.name,
      createClient(provider, { insecureOrigins, timeoutMs, fetch, clock: host.settings.clock, log: host.log })
    ])
  )
  const accounts = createOauthAccounts(host, settings, clients)
  host[kAccounts] ??= accounts

  host.prepareScope(scope)
  const flow = createFlow({
    backend: settings.backend.name,
    redirects,
    states: await createStates(scope, host, state),
    transactions: createTransactions(host, state.lifetimeSeconds),
    cookie: await createBrowserCookie(scope, host.settings, settings.cookie, state.lifetimeSeconds)
  })
  const parts: FlowRoutesOptions = { host, settings, flow, accounts, clients }
  if (settings.routes.login.enabled) await scope.register(loginRoutes, parts)
  if (settings.routes.associate.enabled) await scope.register(associateRoutes, parts)
  if (settings.routes.accounts.enabled) {
    await scope.register(accountRoutes, { prefix: settings.routes.accounts.prefix, host, accounts })
  }
}

/**
 * Checks that a provider name means the same issuer in all registrations, because the name is part of the key of an
 * account.
 */
function claimNames (host: Host, providers: readonly Provider[]): void {
  const issuers = (host[kIssuers] ??= new Map())
  for (const provider of providers) {
    const { name } = provider
    const issuer = issuerOf(provider)
    if ((issuers.get(name) ?? issuer) !== issuer) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.providers',
        `has the name "${name}", which an earlier registration uses for another provider. Set a different \`name\``
      ])
    }
    issuers.set(name, issuer)
  }
}

function hostOf (app: AnyInstance): Host {
  const { [kHost]: host } = app as { [kHost]?: Host }
  if (host === undefined) throw notRegistered(app)
  return host
}

/**
 * Plugin for login with OAuth 2 and OpenID Connect providers. Register it after the users plugin. Throws a coded error
 * if an option is invalid.
 */
export const oauth = fp(oauthPlugin, {
  name: 'fastify-users:oauth',
  fastify: '5.x',
  dependencies: ['fastify-users'],
  encapsulate: true
})
export default oauth
