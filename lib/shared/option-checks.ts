import type { RouteSettings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import { isObject } from './values.js'

const NAME = /^[a-z][a-z0-9_-]{0,31}$/
/** Origin of a page in a native application, as browsers write it in `Origin`: only a host follows the scheme. */
const NATIVE_ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::\d{1,5})?$/
/** Schemes that are not native: anyone can serve them, they have an opaque origin, or browser extensions use them. */
const NOT_NATIVE = /^(?:https?|wss?|ftp|file|filesystem|data|blob|about|javascript|view-source|null|[a-z-]+-extension)$/
const ANY_LOOPBACK_PORT = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\]):\*$/

/** Returns the value of an option. Throws `FST_USERS_INVALID_OPTION` with the reason if the value is not valid. */
export function checkOption<T> (option: string, value: T, isValid: (value: T) => boolean, reason: string): T {
  if (!isValid(value)) throw FST_USERS_INVALID_OPTION([option, reason])
  return value
}

/** Returns the value of a boolean option, or `fallback` if it is absent. Throws `FST_USERS_INVALID_OPTION`. */
export function checkBoolean (option: string, value: unknown, fallback: boolean): boolean {
  const isBoolean = (given: unknown): boolean => typeof given === 'boolean'
  return checkOption(option, value ?? fallback, isBoolean, 'must be true or false') as boolean
}

/** Throws `FST_USERS_INVALID_OPTION` if the value of an option is not an object. */
export function checkObject (option: string, given: unknown): void {
  if (!isObject(given)) throw FST_USERS_INVALID_OPTION([option, 'must be an object'])
}

/** Throws `FST_USERS_UNKNOWN_OPTION` for the first key that is not known. `path` is empty or ends in a dot. */
export function checkKnownKeys (path: string, given: object, known: readonly string[]): void {
  checkObject(path.slice(0, -1), given)
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([path + unknown, known.join(', ')])
}

/** Options of a route group. */
export interface RouteGroupOptions {
  /** Prefix of the group's paths. Begins with `/`. */
  prefix?: string
  /** The routes of the group require a verified e-mail. Default: the plugin's `requireVerification`. */
  requireVerification?: boolean
}

/**
 * Returns the settings of a route group; `false` switches the group off. `requireVerification` is the default of that
 * option, or null if the group does not have the option. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function readRoute (
  option: string,
  route: false | RouteGroupOptions | undefined,
  prefix: string,
  requireVerification: boolean | null = null
): RouteSettings {
  const defaults = { prefix, requireVerification: requireVerification ?? false }
  if (route === undefined || route === false) return { enabled: route !== false, ...defaults }
  checkKnownKeys(`${option}.`, route, requireVerification === null ? ['prefix'] : ['prefix', 'requireVerification'])
  // an empty object is a mistake: the empty prefix makes the check below fail
  const given = route.prefix ?? (route.requireVerification === undefined ? '' : prefix)
  return {
    enabled: true,
    prefix: checkOption(
      `${option}.prefix`,
      given,
      (value) => typeof value === 'string' && /^\/\S*$/.test(value),
      'must start with /'
    ).replace(/\/$/, ''),
    requireVerification: checkBoolean(
      `${option}.requireVerification`, route.requireVerification, defaults.requireVerification
    )
  }
}

/** Returns the origin of an http or https URL (RFC 6454). Throws `FST_USERS_INVALID_OPTION`. */
export function parseOrigin (option: string, text: string): string {
  const url = parseHttpUrl(option, text)
  if (option !== 'publicUrl' && url.username + url.password + url.pathname + url.search + url.hash !== '/') {
    throw FST_USERS_INVALID_OPTION([option, 'must be an origin, which has only a scheme, a host and a port, such as https://app.example.com'])
  }
  return url.origin
}

/**
 * Returns an origin that may send requests with our cookies: the origin of a web page, the origin of a page in a native
 * application such as `capacitor://localhost` (a private-use scheme, RFC 8252, section 7.1), or `http://localhost:*`
 * for every port of a loopback host (section 7.3). Throws `FST_USERS_INVALID_OPTION`.
 */
export function parseTrustedOrigin (option: string, text: string): string {
  const scheme = typeof text === 'string' ? NATIVE_ORIGIN.exec(text)?.[1] : undefined
  if (scheme !== undefined && !NOT_NATIVE.test(scheme)) return text
  return ANY_LOOPBACK_PORT.test(text) ? text : parseOrigin(option, text)
}

/**
 * Returns an http or https URL without query, fragment and trailing `/`, so that a path can be appended. Throws
 * `FST_USERS_INVALID_OPTION`.
 */
export function parseBaseUrl (option: string, text: string): string {
  const url = parseHttpUrl(option, text)
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

/** Returns an absolute http or https URL. Throws `FST_USERS_INVALID_OPTION`. */
export function parseHttpUrl (option: string, text: string): URL {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.host.includes('*')) {
    throw FST_USERS_INVALID_OPTION([
      option,
      'must be an absolute http or https URL without wildcards, such as https://app.example.com'
    ])
  }
  return url
}

/** True for the name of a tenant or a backend. */
export function isName (value: unknown): boolean {
  return typeof value === 'string' && NAME.test(value)
}
