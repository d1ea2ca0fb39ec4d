import type { Backend } from '../../contracts/backend.js'
import type { RouteSettings, Settings } from '../../contracts/settings.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_BACKEND } from '../../errors.js'
import { checkSecret } from '../../tokens/index.js'
import { checkSecureCookie } from '../../validation/limits.js'
import {
  baseUrlOf,
  checked,
  flag,
  isFunction,
  originOf,
  readRoute,
  refuseUnknown,
  webAddress
} from '../../validation/options.js'
import type { BrowserCookieSettings } from './browser-cookie.js'
import type { AccountSettings, MapProfile, Provider, ProviderFetch } from './contracts.js'
import { createRedirects, type Redirects } from './redirects.js'
import type { StateSettings } from './state.js'

/** Attributes of the cookie that binds a login to its browser; `HttpOnly` always. */
export interface OauthCookieOptions {
  /** (`__Host-<users>-oauth`; without the prefix when `secure`, `path` or `domain` rule it out) */
  name?: string
  path?: string
  domain?: string
  secure?: boolean
  sameSite?: 'lax' | 'none'
}

/** Options of `oauth`. Unknown keys refuse to start. */
export interface OauthOptions {
  /** `google({ clientId, clientSecret })` and the like. */
  providers: readonly Provider[]
  /** Name of the backend that logs in (the first). */
  backend?: string
  /**
   * Where browsers reach the application, for the addresses that providers send them back to (the users' `publicUrl`).
   */
  publicUrl?: string
  /** Per provider, other addresses that it sends browsers back to: a page of a front end that calls our callback. */
  redirectUrls?: Readonly<Record<string, { login?: string; associate?: string }>>
  /**
   * A new account of a provider joins the user with the same e-mail address, when provider and user have proved it
   * (false).
   */
  associateByEmail?: boolean
  /**
   * With `associateByEmail`: a user who never proved the address loses password, sessions and accounts to who did
   * (false).
   */
  reclaimUnverified?: boolean
  /** New users count as verified, when the provider has proved their address (false). */
  isVerifiedByDefault?: boolean
  /** Gives custom fields of a new user from what the provider says. */
  mapProfile?: MapProfile
  /**
   * At least 32 random bytes: stores the provider's tokens, encrypted. Of a list the first encrypts and all decrypt.
   */
  encryptionKey?: string | readonly string[]
  /** Login and linking need a verified user, also where the users' own option is off (that of the backend). */
  requireVerification?: boolean
  /** A secret of its own for the state, used as it is (default: a key made from the users' secret). */
  stateSecret?: string
  /** Seconds that a login may take (600). */
  stateLifetimeSeconds?: number
  cookie?: OauthCookieOptions
  /** Per group of routes `false`, or another prefix (`/auth`, `/auth/associate`, `/users`). */
  routes?: Partial<Record<OauthRouteGroup, false | { prefix: string }>>
  /**
   * Places that a browser may be sent to after a login, and what is below them: paths, URLs of other origins, and those
   * of
   * native applications (`capacitor://localhost/app`, `com.example.app:/done`, `http://127.0.0.1:*` for any port).
   * Switches browser mode on.
   */
  redirects?: readonly string[]
  /** Origins of providers that may be http and in a private network: on the premises, and in tests. */
  insecureOrigins?: readonly string[]
  /** Milliseconds that a call to a provider may take (5000). */
  timeoutMs?: number
  /**
   * Sends the calls to providers, for a network that reaches them through an egress proxy (the built-in client). Time,
   * size, https and redirects are bounded as without it; the proxy looks names up, so it must refuse private addresses.
   */
  fetch?: ProviderFetch
}

/** Names of the route groups. */
export type OauthRouteGroup = 'login' | 'associate' | 'accounts'

/** The options, checked and complete. */
export interface OauthSettings extends AccountSettings {
  readonly providers: readonly Provider[]
  /** The one that logs in. */
  readonly backend: Backend
  readonly requireVerification: boolean
  readonly state: StateSettings
  readonly cookie: BrowserCookieSettings
  readonly routes: Readonly<Record<OauthRouteGroup, RouteSettings>>
  /** Null where browser mode is off. */
  readonly redirects: Redirects | null
  readonly insecureOrigins: ReadonlySet<string>
  readonly timeoutMs: number
  /** Null for the built-in client. */
  readonly fetch: ProviderFetch | null
  /** Where a provider sends browsers back to; `path` is that of our own callback. */
  redirectUri(provider: string, purpose: 'login' | 'associate', path: string): string
}

const PREFIXES: Readonly<Record<OauthRouteGroup, string>> = {
  login: '/auth',
  associate: '/auth/associate',
  accounts: '/users'
}
const KEYS: Record<keyof OauthOptions, true> = {
  providers: true,
  backend: true,
  publicUrl: true,
  redirectUrls: true,
  associateByEmail: true,
  reclaimUnverified: true,
  isVerifiedByDefault: true,
  mapProfile: true,
  encryptionKey: true,
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
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // token of RFC 9110, section 5.6.2

/**
 * Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_INVALID_SECRET`,
 * `FST_USERS_UNKNOWN_BACKEND`.
 */
export function resolveOauthOptions (
  options: OauthOptions,
  settings: Settings,
  backends: ReadonlyMap<string, Backend>
): OauthSettings {
  refuseUnknown('oauth.', options, Object.keys(KEYS))
  const providers = readProviders(options.providers)
  const publicUrl =
    options.publicUrl === undefined ? settings.publicUrl : baseUrlOf('oauth.publicUrl', options.publicUrl)
  const routes = readRoutes(options.routes ?? {})
  const backend = readBackend(options.backend, backends)
  const redirects = readRedirects(options.redirects ?? [], publicUrl)
  const { name, transport } = backend
  if (redirects !== null && routes.login.enabled && !(transport.ambient && transport.renew !== undefined)) {
    throw FST_USERS_INVALID_OPTION([
      'oauth.redirects',
      `needs a backend with a cookie; "${name}" has none, and a token must not travel in a redirect`
    ])
  }
  return {
    providers,
    backend,
    routes,
    redirects,
    redirectUri: readRedirectUrls(options.redirectUrls ?? {}, providers, publicUrl, routes),
    ...readAccountOptions(options),
    requireVerification:
      flag('oauth.requireVerification', options.requireVerification, false) || backend.requireVerification,
    state: {
      secret: options.stateSecret === undefined ? null : checkSecret('oauth.stateSecret', options.stateSecret),
      lifetimeSeconds: whole('oauth.stateLifetimeSeconds', options.stateLifetimeSeconds ?? 600, 3600)
    },
    cookie: readCookieOptions(options.cookie ?? {}, settings),
    insecureOrigins: new Set(
      listOf('oauth.insecureOrigins', options.insecureOrigins ?? []).map((origin, i) =>
        originOf(`oauth.insecureOrigins[${i}]`, origin)
      )
    ),
    timeoutMs: whole('oauth.timeoutMs', options.timeoutMs ?? 5000, 60_000),
    fetch: checked(
      'oauth.fetch',
      options.fetch ?? null,
      (value) => value === null || isFunction(value),
      'must be a function such as the global fetch'
    )
  }
}

function readAccountOptions ({ encryptionKey = [], mapProfile, ...flags }: OauthOptions): AccountSettings {
  const keys: readonly string[] =
    typeof encryptionKey === 'string' ? [encryptionKey] : listOf('oauth.encryptionKey', encryptionKey)
  return {
    associateByEmail: flag('oauth.associateByEmail', flags.associateByEmail, false),
    reclaimUnverified: flag('oauth.reclaimUnverified', flags.reclaimUnverified, false),
    isVerifiedByDefault: flag('oauth.isVerifiedByDefault', flags.isVerifiedByDefault, false),
    mapProfile: checked(
      'oauth.mapProfile',
      mapProfile ?? null,
      (value) => value === null || isFunction(value),
      'must be a function that gives custom fields'
    ),
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
  for (const { kind, name } of (providers as readonly (Partial<Provider> | null)[]).map((provider) => provider ?? {})) {
    if (kind !== 'provider' || typeof name !== 'string' || !PROVIDER_NAME.test(name)) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.providers',
        'must hold providers, such as google({ clientId, clientSecret })'
      ])
    }
    if (names.has(name)) {
      throw FST_USERS_INVALID_OPTION(['oauth.providers', `has two named "${name}"; give each its own name`])
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

function readRoutes (given: NonNullable<OauthOptions['routes']>): OauthSettings['routes'] {
  refuseUnknown('oauth.routes.', given, Object.keys(PREFIXES))
  return Object.fromEntries(
    Object.entries(PREFIXES).map(([group, prefix]) => [
      group,
      readRoute(`oauth.routes.${group}`, given[group as OauthRouteGroup], prefix)
    ])
  ) as OauthSettings['routes'] // one entry per key of PREFIXES
}

function readRedirects (places: readonly string[], publicUrl: string | null): Redirects | null {
  if (listOf('oauth.redirects', places).length === 0) return null
  if (publicUrl === null) throw FST_USERS_INVALID_OPTION(['oauth.redirects', 'needs `publicUrl`'])
  return createRedirects(places, publicUrl)
}

/** The addresses that providers send browsers back to come from options alone, never from a request. */
function readRedirectUrls (
  given: NonNullable<OauthOptions['redirectUrls']>,
  providers: readonly Provider[],
  publicUrl: string | null,
  routes: OauthSettings['routes']
): OauthSettings['redirectUri'] {
  refuseUnknown(
    'oauth.redirectUrls.',
    given,
    providers.map(({ name }) => name)
  )
  const fixed = new Map<string, string>()
  for (const [name, urls] of Object.entries(given)) {
    refuseUnknown(`oauth.redirectUrls.${name}.`, urls, ['login', 'associate'])
    for (const [purpose, text] of Object.entries(urls)) {
      fixed.set(`${purpose} ${name}`, readRedirectUrl(`oauth.redirectUrls.${name}.${purpose}`, text))
    }
  }
  for (const purpose of ['login', 'associate'] as const) {
    const open = routes[purpose].enabled
      ? providers.find(({ name }) => publicUrl === null && !fixed.has(`${purpose} ${name}`))
      : undefined
    if (open !== undefined) {
      throw FST_USERS_INVALID_OPTION([
        'oauth.publicUrl',
        `is missing: the address that "${open.name}" sends browsers back to is never taken from a request. Set \`publicUrl\` of the users plugin, such as https://app.example.com`
      ])
    }
  }
  // one of both is there for every group that is on
  return (provider, purpose, path) => fixed.get(`${purpose} ${provider}`) ?? `${String(publicUrl)}${path}`
}

function readRedirectUrl (option: string, text: string): string {
  const url = webAddress(option, text)
  if (url.username + url.password + url.search + url.hash !== '') {
    throw FST_USERS_INVALID_OPTION([option, 'must have no user name, query or fragment'])
  }
  return url.href
}

function readCookieOptions (given: OauthCookieOptions, settings: Settings): BrowserCookieSettings {
  const { name: users, cookieName } = settings
  refuseUnknown('oauth.cookie.', given, ['name', 'path', 'domain', 'secure', 'sameSite'])
  const { path = '/', domain = null, sameSite = 'lax' } = given
  const secure = flag('oauth.cookie.secure', given.secure, true)
  checkSecureCookie('oauth.cookie.secure', secure, settings)
  const bound = secure && path === '/' && domain === null
  // as the session cookie is named
  const ours = cookieName === 'fastapiusersauth' ? 'fastapiusersoauthcsrf' : `${bound ? '__Host-' : ''}${users}-oauth`
  const name = checked(
    'oauth.cookie.name',
    given.name ?? ours,
    (value) => typeof value === 'string' && COOKIE_NAME.test(value),
    'must be a cookie name'
  )
  checked(
    'oauth.cookie.name',
    name,
    () => bound || !name.startsWith('__Host-'),
    'with the prefix __Host- needs secure, path / and no domain'
  )
  checked(
    'oauth.cookie.name',
    name,
    () => secure || !name.startsWith('__Secure-'),
    'with the prefix __Secure- needs secure'
  )
  checked(
    'oauth.cookie.path',
    path,
    (value) => typeof value === 'string' && /^\/[^;\s]*$/.test(value),
    'must start with / and hold no white space or semicolon'
  )
  checked(
    'oauth.cookie.domain',
    domain,
    (value) => value === null || (typeof value === 'string' && /^[^;\s]+$/.test(value)),
    'must be a domain'
  )
  checked(
    'oauth.cookie.sameSite',
    sameSite,
    (value) => value === 'lax' || (value === 'none' && secure),
    "must be 'lax', or 'none' with secure: a strict cookie does not come back from the provider"
  )
  return { name, path, domain, secure, sameSite }
}

function listOf (option: string, list: readonly string[]): readonly string[] {
  return checked(option, list, (value) => Array.isArray(value), 'must be a list')
}

function whole (option: string, value: number, most: number): number {
  return checked(
    option,
    value,
    (given) => Number.isInteger(given) && given > 0 && given <= most,
    `must be a whole number from 1 to ${most}`
  )
}
