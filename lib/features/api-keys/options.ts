import { checkKnownKeys, checkObject, checkOption, isName, isScope, readRoute, type RouteGroupOptions } from '../../feature/index.js'

/** Options of `apiKeys`. */
export interface ApiKeysOptions {
  /**
   * Scopes that keys can have (RFC 6749, section 3.3). `authenticate({ scopes: […] })` accepts keys that have all of
   * its scopes.
   */
  scopes: readonly string[]
  /** First part of keys: 2 to 16 lower-case letters and digits, the first a letter. Default `fu`. */
  prefix?: string
  /** Name of the backend in `request.authentication` and in the option `backends` of guards. Default `api-key`. */
  backend?: string
  /** Longest lifetime of a key in seconds. Default: none, keys can be valid without end. */
  maxLifetimeSeconds?: number
  /** Largest number of keys of one user. Default 50. */
  maxKeys?: number
  /** Routes of users, below `<users prefix>/me/api-keys`, and of superusers. Default: both. */
  routes?: {
    own?: false
    services?: false | RouteGroupOptions
  }
}

/** Checked options. */
export interface ApiKeysSettings {
  readonly scopes: readonly string[]
  readonly prefix: string
  readonly backend: string
  readonly maxLifetimeSeconds: number | null
  readonly maxKeys: number
  readonly ownRoutes: boolean
  /** Prefix of the routes of superusers; null if they are off. */
  readonly servicesPrefix: string | null
}

const KEYS = ['scopes', 'prefix', 'backend', 'maxLifetimeSeconds', 'maxKeys', 'routes']
const PREFIX = /^[a-z][a-z0-9]{1,15}$/

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolveApiKeysOptions (options: ApiKeysOptions): ApiKeysSettings {
  checkObject('apiKeys', options)
  checkKnownKeys('apiKeys.', options, KEYS)
  const { scopes, prefix = 'fu', backend = 'api-key', maxLifetimeSeconds = null, maxKeys = 50, routes = {} } = options
  checkKnownKeys('apiKeys.routes.', routes, ['own', 'services'])
  checkOption('apiKeys.scopes', scopes, isScopeSet, 'must be a list of different scopes (RFC 6749, section 3.3)')
  checkOption('apiKeys.prefix', prefix, isPrefix, 'must have 2 to 16 lower-case letters and digits')
  checkOption('apiKeys.backend', backend, isName, 'must be a name of lower-case letters, digits, - and _')
  checkOption('apiKeys.maxKeys', maxKeys, isCount, 'must be a whole number above 0')
  const isLifetime = (value: number | null): boolean => value === null || isCount(value)
  checkOption('apiKeys.maxLifetimeSeconds', maxLifetimeSeconds, isLifetime, 'must be a whole number above 0')
  checkOption('apiKeys.routes.own', routes.own ?? false, (value) => value === false, 'can only be false')
  const services = readRoute('apiKeys.routes.services', routes.services, '/service-accounts')
  return {
    scopes: [...scopes],
    prefix,
    backend,
    maxLifetimeSeconds,
    maxKeys,
    ownRoutes: routes.own !== false,
    servicesPrefix: services.enabled ? services.prefix : null
  }
}

/** Returns true for a list of scopes without duplicates. `*` would include the scopes that are added later. */
function isScopeSet (value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((scope) => isScope(scope) && scope !== '*') &&
    new Set(value).size === value.length
  )
}

function isPrefix (value: unknown): boolean {
  return typeof value === 'string' && PREFIX.test(value)
}

function isCount (value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0
}
