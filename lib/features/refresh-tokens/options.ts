import {
  checkBoolean,
  checkKnownKeys,
  checkOption,
  checkSeconds,
  cookieNameProblem,
  cookiePathProblem,
  FST_USERS_INVALID_OPTION,
  FST_USERS_UNKNOWN_BACKEND,
  isObject,
  MAX_SESSION_SECONDS,
  type Backend,
  type FeatureKit
} from '../../feature/index.js'
import type { RefreshCookieSettings } from './refresh-cookie.js'

/** A backend whose logins return a refresh token. */
export interface RefreshBackendOptions {
  /** Name of the backend. */
  name: string
  /**
   * Sends the refresh token in a cookie that scripts cannot read, and only to the login routes of the backend. With
   * false, it is part of the reply. Default: true if the backend itself uses a cookie, otherwise false.
   */
  cookie?: boolean | RefreshCookieOptions
}

/** Attributes of the cookie. It is always `HttpOnly` and `SameSite=Strict`. */
export interface RefreshCookieOptions {
  /** Default: `__Secure-<users>-<backend>-refresh`, without the prefix if `secure` is false. */
  name?: string
  /** Path under which browsers reach the login routes of the backend. Default: `/auth/<backend>` after `publicUrl`. */
  path?: string
  /** Default: that of the session cookie, or true. */
  secure?: boolean
}

/** Options of `refreshTokens`. */
export interface RefreshTokensOptions {
  /** Backends, by name or with options. Default: all backends whose strategy stores no tokens, such as JWT. */
  backends?: readonly (string | RefreshBackendOptions)[]
  /** Seconds after which an unused refresh token expires. Default 14 days. */
  idleSeconds?: number
  /** Seconds from the login to the end of the session. Refreshing does not extend it. Default 30 days. */
  absoluteSeconds?: number
  /**
   * Seconds for which a used token still returns its successor, for clients that lost a reply, and for tabs that
   * refresh at the same time. At most 60. Default 10.
   */
  graceSeconds?: number
}

/** Settings of the feature. */
export interface RefreshTokensSettings {
  readonly idleMs: number
  readonly absoluteMs: number
  readonly graceMs: number
  /** The backends that return refresh tokens. */
  readonly backends: readonly RefreshBackendSettings[]
}

/** A backend, with the attributes of the cookie of its refresh tokens; null for tokens in the reply. */
export interface RefreshBackendSettings {
  readonly backend: Backend
  readonly cookie: RefreshCookieSettings | null
}

const DAY_SECONDS = 86_400
const MAX_GRACE_SECONDS = 60

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_UNKNOWN_BACKEND`. */
export function resolveRefreshOptions (options: RefreshTokensOptions, kit: FeatureKit): RefreshTokensSettings {
  checkKnownKeys('refreshTokens.', options, ['backends', 'idleSeconds', 'absoluteSeconds', 'graceSeconds'])
  const { absoluteSeconds = 30 * DAY_SECONDS, graceSeconds = 10 } = options
  checkWholeSeconds('absoluteSeconds', absoluteSeconds, 1)
  checkSeconds('refreshTokens.absoluteSeconds', absoluteSeconds, MAX_SESSION_SECONDS, kit.settings, 'longSessions')
  const { idleSeconds = Math.min(14 * DAY_SECONDS, absoluteSeconds) } = options
  checkWholeSeconds('idleSeconds', idleSeconds, 1)
  checkOption(
    'refreshTokens.idleSeconds',
    idleSeconds,
    (seconds) => seconds <= absoluteSeconds,
    'must not be more than `absoluteSeconds`'
  )
  checkWholeSeconds('graceSeconds', graceSeconds, 0)
  checkOption(
    'refreshTokens.graceSeconds',
    graceSeconds,
    (seconds) => seconds <= MAX_GRACE_SECONDS,
    `must not be more than ${MAX_GRACE_SECONDS}: in this time, a stolen token works beside its successor`
  )
  return {
    idleMs: idleSeconds * 1000,
    absoluteMs: absoluteSeconds * 1000,
    graceMs: graceSeconds * 1000,
    backends: readRefreshBackends(options.backends, kit)
  }
}

function checkWholeSeconds (name: string, seconds: unknown, minimum: number): void {
  checkOption(
    `refreshTokens.${name}`,
    seconds,
    (value) => Number.isSafeInteger(value) && (value as number) >= minimum,
    `must be a whole number of seconds of at least ${minimum}`
  )
}

/** Returns true for a strategy that signs its tokens, revocable or not, and for one that stores none. */
function hasSignedTokens ({ strategy: { destroyToken, description } }: Backend): boolean {
  return destroyToken === undefined || (description?.keys ?? []).length > 0
}

function readRefreshBackends (
  given: RefreshTokensOptions['backends'],
  kit: FeatureKit
): readonly RefreshBackendSettings[] {
  const { backends } = kit.users
  const list = given ?? [...backends.values()].filter(hasSignedTokens).map(({ name }) => name)
  checkOption(
    'refreshTokens.backends',
    list,
    (names) => Array.isArray(names) && names.length > 0,
    given === undefined ? 'is missing, and no backend has the JWT strategy' : 'must be a list of at least one backend'
  )
  const entries = list.map(readEntry)
  const twice = entries.find(({ name }, position) => entries.findIndex((one) => one.name === name) < position)
  if (twice !== undefined) throw FST_USERS_INVALID_OPTION(['refreshTokens.backends', `names "${twice.name}" twice`])
  return entries.map(({ name, cookie }) => {
    const backend = namedIn(backends, name)
    return { backend, cookie: readRefreshCookieOptions(cookie, backend, kit) }
  })
}

/** Returns the entry with this name. Throws `FST_USERS_UNKNOWN_BACKEND`. */
export function namedIn<T> (backends: ReadonlyMap<string, T>, name: string): T {
  const backend = backends.get(name)
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([name, [...backends.keys()].join(', ')])
  return backend
}

function readEntry (entry: string | RefreshBackendOptions): RefreshBackendOptions {
  if (typeof entry === 'string') return { name: entry }
  checkKnownKeys('refreshTokens.backends[].', entry, ['name', 'cookie'])
  return entry
}

function readRefreshCookieOptions (
  given: RefreshBackendOptions['cookie'],
  { name: backend, transport }: Backend,
  { scope, settings }: FeatureKit
): RefreshCookieSettings | null {
  const option = 'refreshTokens.backends[].cookie'
  if (transport.ambient && given === false) {
    throw FST_USERS_INVALID_OPTION([option, `must not be false for "${backend}", whose session is in a cookie too`])
  }
  if (given === false || (given === undefined && !transport.ambient)) return null
  const options = isObject(given) ? (given as RefreshCookieOptions) : {}
  if (!isObject(given)) checkBoolean(option, given, true)
  checkKnownKeys(`${option}.`, options, ['name', 'path', 'secure'])
  const secure = checkBoolean(`${option}.secure`, options.secure, transport.secure ?? true)
  const basePath = settings.publicUrl === null ? '' : new URL(settings.publicUrl).pathname.replace(/\/$/, '')
  const { path = `${basePath}${scope.prefix}${settings.routes.auth.prefix}/${backend}` } = options
  const { name = `${secure ? '__Secure-' : ''}${settings.name}-${backend}-refresh` } = options
  const problem = cookieNameProblem(name, { secure, path }) ?? cookiePathProblem(path)
  if (problem !== null) throw FST_USERS_INVALID_OPTION([option, problem])
  return { name, path, secure, partitioned: transport.partitioned ?? false }
}
