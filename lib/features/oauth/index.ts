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
export type * from './contracts.js'
export type { OauthCookieOptions, OauthOptions, OauthRouteGroup } from './options.js'

// on a host, which copies of equal version share
const kAccounts: unique symbol = Symbol.for('fastify-users.oauth')
const kIssuers: unique symbol = Symbol.for('fastify-users.oauth-issuers')
type Host = FeatureHost & { [kAccounts]?: OauthAccounts; [kIssuers]?: Map<string, string> }

/**
 * The accounts of the registered users at providers, for code: their list, unlinking, and the provider's tokens. Throws
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

/** A name with an id is a key of accounts: in no registration may it be that of another provider. */
function claimNames (host: Host, providers: readonly Provider[]): void {
  const issuers = (host[kIssuers] ??= new Map())
  for (const provider of providers) {
    const { name } = provider
    const issuer = issuerOf(provider)
    if ((issuers.get(name) ?? issuer) !== issuer) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.providers',
        `has "${name}", which is another provider in an earlier registration; give each its own name`
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
 * Login with providers of identities, over OAuth 2 and OpenID Connect; register it after the users plugin. Refuses to
 * start
 * with a coded error that says what to do when an option is wrong.
 */
export const oauth = fp(oauthPlugin, {
  name: 'fastify-users:oauth',
  fastify: '5.x',
  dependencies: ['fastify-users'],
  encapsulate: true
})
export default oauth
