import {
  type Backend,
  checkBoolean,
  checkKnownKeys,
  checkOption,
  checkSecret,
  FST_USERS_INVALID_OPTION,
  FST_USERS_UNKNOWN_BACKEND,
  isFunction,
  parseBaseUrl,
  parseOrigin,
  readRoute,
  type RouteSettings,
  type Settings
} from '../../feature/index.js'
import type { OauthCookieSettings } from './oauth-cookie.js'
import type { AccountSettings, MapProfile, Provider, ProviderFetch } from './contracts.js'
import { readOauthCookieOptions, type OauthCookieOptions } from './cookie-options.js'
import { readRedirects, readRedirectUrls, type RedirectUriOf, type RedirectUrls } from './redirect-options.js'
import type { Redirects } from './redirects.js'
import type { StateSettings } from './state.js'

export type { OauthCookieOptions } from './cookie-options.js'

/** Options of `oauth`. Unknown keys make registration fail. */
export interface OauthOptions {
  /**
   * Name of the feature. A second registration in one application needs another name, such as `oauth-staff`. Default:
   * `oauth`.
   */
  name?: string
  /** Providers, such as `google({ clientId, clientSecret })`. */
  providers: readonly Provider[]
  /** Name of the backend that logs users in. Default: the first one. */
  backend?: string
  /**
   * URL at which browsers reach the application. Redirect URIs are built from it. Default: `publicUrl` of the users
   * plugin.
   */
  publicUrl?: string
  /**
   * Redirect URIs per provider that replace the ones built from `publicUrl`: pages of a front end that call the
   * callback route. Default: none.
   */
  redirectUrls?: RedirectUrls
  /**
   * Links a new provider account to the user with the same e-mail, if both the provider and the user have verified it.
   * Default: false.
   */
  associateByEmail?: boolean
  /**
   * With `associateByEmail`: hands a user with an unverified e-mail over to the person who proved it. The password, the
   * sessions and the accounts that do not vouch for the e-mail are removed. Default: false.
   */
  reclaimUnverified?: boolean
  /** Marks new users as verified if a trusted provider states that their e-mail is verified. Default: false. */
  isVerifiedByDefault?: boolean
  /** Returns custom fields of a new user from the provider's profile. */
  mapProfile?: MapProfile
  /**
   * Key of at least 32 random bytes that encrypts the provider's tokens for storage. In a list, the first key encrypts
   * and all keys decrypt. Default: none; tokens are not stored.
   */
  encryptionKey?: string | readonly string[]
  /** Adds the linked accounts to users in replies as `oauth_accounts`, without the tokens. Default: false. */
  accountsInReplies?: boolean
  /** Requires verified users, even if the backend does not. Default: the setting of the backend. */
  requireVerification?: boolean
  /** Separate secret that signs the state. Default: a key derived from the users plugin's secret. */
  stateSecret?: string
  /** Seconds within which a login must be finished. Default: 600. */
  stateLifetimeSeconds?: number
  /** Cookie that binds a login to the browser that began it. */
  cookie?: OauthCookieOptions
  /**
   * `false` or another prefix for each group of routes. Default: login `/auth`, associate `/auth/associate`, accounts
   * `/users`.
   */
  routes?: Partial<Record<OauthRouteGroup, false | { prefix: string }>>
  /**
   * Allowed targets of redirects after a login, including the paths below them: paths, URLs of other origins, and those
   * of native applications (`capacitor://localhost/app`, `com.example.app:/done`, `http://127.0.0.1:*` for any port).
   * A list enables browser mode. Default: none.
   */
  redirects?: readonly string[]
  /** Origins of on-premises and test providers that may use http and private IP addresses. Default: none. */
  insecureOrigins?: readonly string[]
  /** Time limit of each call to a provider, in milliseconds. Default: 5000. */
  timeoutMs?: number
  /**
   * Sends the calls to providers, for servers behind an egress proxy. Time, size, https and redirects are limited in
   * the same way. The proxy resolves host names, so it must refuse private IP addresses. Default: Node's client.
   */
  fetch?: ProviderFetch
}

/** Names of the route groups. */
export type OauthRouteGroup = 'login' | 'associate' | 'accounts'

/** The validated options with all defaults. */
export interface OauthSettings extends AccountSettings {
  readonly providers: readonly Provider[]
  /** The backend that logs users in. */
  readonly backend: Backend
  readonly requireVerification: boolean
  /** Users in replies contain their linked accounts. */
  readonly accountsInReplies: boolean
  readonly state: StateSettings
  readonly cookie: OauthCookieSettings
  readonly routes: Readonly<Record<OauthRouteGroup, RouteSettings>>
  /** Null if browser mode is off. */
  readonly redirects: Redirects | null
  readonly insecureOrigins: ReadonlySet<string>
  readonly timeoutMs: number
  /** Null for Node's client. */
  readonly fetch: ProviderFetch | null
  readonly redirectUri: RedirectUriOf
}

const PREFIXES: Readonly<Record<OauthRouteGroup, string>> = {
  login: '/auth',
  associate: '/auth/associate',
  accounts: '/users'
}
const KEYS: Record<keyof OauthOptions, true> = {
  name: true,
  providers: true,
  backend: true,
  publicUrl: true,
  redirectUrls: true,
  associateByEmail: true,
  reclaimUnverified: true,
  isVerifiedByDefault: true,
  mapProfile: true,
  encryptionKey: true,
  accountsInReplies: true,
  requireVerification: true,
  stateSecret: true,
  stateLifetimeSeconds: true,
  cookie: true,
  routes: true,
  redirects: true,
  insecureOrigins: true,
  timeoutMs: true,
  fetch: true
}
const PROVIDER_NAME = /^[a-z0-9][a-z0-9_-]{0,99}$/

/**
 * Validates the options of `oauth` and returns them with all defaults. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_INVALID_SECRET`, `FST_USERS_UNKNOWN_BACKEND`.
 */
export function resolveOauthOptions (
  options: OauthOptions,
  settings: Settings,
  backends: ReadonlyMap<string, Backend>
): OauthSettings {
  checkKnownKeys('oauth.', options, Object.keys(KEYS))
  const { redirectUrls = {}, stateSecret } = options
  const publicUrl =
    options.publicUrl === undefined ? settings.publicUrl : parseBaseUrl('oauth.publicUrl', options.publicUrl)
  const providers = readProviders(options.providers)
  const routes = readOauthRoutes(options.routes ?? {})
  const backend = readBackend(options.backend, backends)
  const redirects = readRedirects(options.redirects ?? [], publicUrl)
  if (redirects !== null && routes.login.enabled) checkBrowserBackend(backend)
  return {
    providers,
    backend,
    routes,
    redirects,
    redirectUri: readRedirectUrls(redirectUrls, providers, publicUrl, routes),
    ...readAccountOptions(options),
    accountsInReplies: checkBoolean('oauth.accountsInReplies', options.accountsInReplies, false),
    requireVerification:
      checkBoolean('oauth.requireVerification', options.requireVerification, false) || backend.requireVerification,
    state: {
      secret: stateSecret === undefined ? null : checkSecret('oauth.stateSecret', stateSecret),
      lifetimeSeconds: readPositive('oauth.stateLifetimeSeconds', options.stateLifetimeSeconds ?? 600, 3600)
    },
    cookie: readOauthCookieOptions(options.cookie ?? {}, settings),
    insecureOrigins: readInsecureOrigins(options.insecureOrigins ?? []),
    timeoutMs: readPositive('oauth.timeoutMs', options.timeoutMs ?? 5000, 60_000),
    fetch: readFunction('oauth.fetch', options.fetch, 'must be a function such as the global fetch')
  }
}

function readAccountOptions ({ encryptionKey = [], mapProfile, ...flags }: OauthOptions): AccountSettings {
  const keys: readonly string[] =
    typeof encryptionKey === 'string' ? [encryptionKey] : checkList('oauth.encryptionKey', encryptionKey)
  return {
    associateByEmail: checkBoolean('oauth.associateByEmail', flags.associateByEmail, false),
    reclaimUnverified: checkBoolean('oauth.reclaimUnverified', flags.reclaimUnverified, false),
    isVerifiedByDefault: checkBoolean('oauth.isVerifiedByDefault', flags.isVerifiedByDefault, false),
    mapProfile: readFunction('oauth.mapProfile', mapProfile, 'must be a function that returns custom fields'),
    encryptionKeys: keys.map((key) => checkSecret('oauth.encryptionKey', key))
  }
}

function readProviders (providers: unknown): readonly Provider[] {
  if (!Array.isArray(providers) || providers.length === 0) {
    throw FST_USERS_INVALID_OPTION([
      'oauth.providers',
      'must list at least one provider, such as google({ clientId, clientSecret })'
    ])
  }
  const names = new Set<string>()
  for (const provider of providers as readonly (Partial<Provider> | null)[]) {
    const { kind, name } = provider ?? {}
    if (kind !== 'provider' || typeof name !== 'string' || !PROVIDER_NAME.test(name)) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.providers',
        'contains a value that is not a provider; use functions such as google({ clientId, clientSecret })'
      ])
    }
    if (names.has(name)) {
      throw FST_USERS_INVALID_OPTION(['oauth.providers', `has two providers named "${name}"; set a different name`])
    }
    names.add(name)
  }
  return [...(providers as readonly Provider[])]
}

function readBackend (name: string | undefined, backends: ReadonlyMap<string, Backend>): Backend {
  const backend = name === undefined ? [...backends.values()][0] : backends.get(name)
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([String(name), [...backends.keys()].join(', ')])
  return backend
}

/** Throws `FST_USERS_INVALID_OPTION` if the backend sets no cookie: a token must not appear in a redirect. */
function checkBrowserBackend ({ name, transport }: Backend): void {
  if (transport.ambient && transport.renew !== undefined) return
  throw FST_USERS_INVALID_OPTION([
    'oauth.redirects',
    `needs a backend with a cookie, because a token must not appear in a redirect; "${name}" has none. Set \`backend\``
  ])
}

function readOauthRoutes (given: NonNullable<OauthOptions['routes']>): OauthSettings['routes'] {
  checkKnownKeys('oauth.routes.', given, Object.keys(PREFIXES))
  return Object.fromEntries(
    Object.entries(PREFIXES).map(([group, prefix]) => [
      group,
      readRoute(`oauth.routes.${group}`, given[group as OauthRouteGroup], prefix)
    ])
  ) as OauthSettings['routes'] // one entry per key of PREFIXES
}

function readInsecureOrigins (origins: readonly string[]): ReadonlySet<string> {
  const list = checkList('oauth.insecureOrigins', origins)
  return new Set(list.map((origin, i) => parseOrigin(`oauth.insecureOrigins[${i}]`, origin)))
}

function readFunction<F> (option: string, value: F | undefined, reason: string): F | null {
  return checkOption(option, value ?? null, (given) => given === null || isFunction(given), reason)
}

function checkList (option: string, list: readonly string[]): readonly string[] {
  return checkOption(option, list, (value) => Array.isArray(value), 'must be a list')
}

function readPositive (option: string, value: number, max: number): number {
  return checkOption(
    option,
    value,
    (given) => Number.isInteger(given) && given > 0 && given <= max,
    `must be a whole number from 1 to ${max}`
  )
}
