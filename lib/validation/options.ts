import type { RouteSettings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_OPTION } from '../errors.js'

const NAME = /^[a-z][a-z0-9_-]{0,31}$/
/** As browsers write it in `Origin`: the host is all that comes after the scheme. */
const NATIVE_ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::\d{1,5})?$/
/**
 * Schemes whose pages anybody can serve, that have no origin of their own, or that belong to extensions of browsers.
 */
const NOT_NATIVE = /^(?:https?|wss?|ftp|file|filesystem|data|blob|about|javascript|view-source|null|[a-z-]+-extension)$/
const ANY_LOOPBACK_PORT = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\]):\*$/

/** The value, when it fits. Throws `FST_USERS_INVALID_OPTION` with the reason. */
export function checked<T> (option: string, value: T, fits: (value: T) => boolean, reason: string): T {
  if (!fits(value)) throw FST_USERS_INVALID_OPTION([option, reason])
  return value
}

/** True or false, or what stands for an absent option. */
export function flag (option: string, value: unknown, fallback: boolean): boolean {
  return checked(option, value ?? fallback, (given) => typeof given === 'boolean', 'must be true or false') as boolean
}

/** Throws `FST_USERS_INVALID_OPTION` for anything but an object. */
export function checkObject (option: string, given: unknown): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw FST_USERS_INVALID_OPTION([option, 'must be an object'])
  }
}

/** Throws `FST_USERS_UNKNOWN_OPTION` for a key that is not known; `path` ends in a dot. */
export function refuseUnknown (path: string, given: object, known: readonly string[]): void {
  checkObject(path.slice(0, -1), given)
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([path + unknown, known.join(', ')])
}

/** Options of a group of routes. */
export interface RouteGroupOptions {
  prefix?: string
  requireVerification?: boolean
}

/**
 * Returns the settings of a group of routes; `false` switches it off. `requireVerification` is the default of the
 * option, or
 * null for a group that has no such option. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function readRoute (
  option: string,
  route: false | RouteGroupOptions | undefined,
  prefix: string,
  requireVerification: boolean | null = null
): RouteSettings {
  const defaults = { prefix, requireVerification: requireVerification ?? false }
  if (route === undefined || route === false) return { enabled: route !== false, ...defaults }
  refuseUnknown(`${option}.`, route, requireVerification === null ? ['prefix'] : ['prefix', 'requireVerification'])
  const given = route.prefix ?? (route.requireVerification === undefined ? '' : prefix) // an empty object is a mistake
  return {
    enabled: true,
    prefix: checked(
      `${option}.prefix`,
      given,
      (value) => typeof value === 'string' && /^\/\S*$/.test(value),
      'must start with /'
    ).replace(/\/$/, ''),
    requireVerification: flag(`${option}.requireVerification`, route.requireVerification, defaults.requireVerification)
  }
}

/** The origin of a web address (RFC 6454), as browsers write it. */
export function originOf (option: string, text: string): string {
  const url = webAddress(option, text)
  if (option !== 'publicUrl' && url.username + url.password + url.pathname + url.search + url.hash !== '/') {
    throw FST_USERS_INVALID_OPTION([option, 'must be an origin: scheme, host and port alone'])
  }
  return url.origin
}

/**
 * Returns an origin that may be trusted with our cookies: of a web page, of a page in a native application such as
 * `capacitor://localhost` (a private-use scheme, RFC 8252, section 7.1), or `http://localhost:*` for any port of a
 * loopback
 * host (section 7.3). Throws `FST_USERS_INVALID_OPTION`.
 */
export function trustedOriginOf (option: string, text: string): string {
  const scheme = typeof text === 'string' ? NATIVE_ORIGIN.exec(text)?.[1] : undefined
  if (scheme !== undefined && !NOT_NATIVE.test(scheme)) return text
  return ANY_LOOPBACK_PORT.test(text) ? text : originOf(option, text)
}

/** A web address to which paths are added: without query and fragment, and without `/` at its end. */
export function baseUrlOf (option: string, text: string): string {
  const url = webAddress(option, text)
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

/** A web address. Throws `FST_USERS_INVALID_OPTION`. */
export function webAddress (option: string, text: string): URL {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.host.includes('*')) {
    throw FST_USERS_INVALID_OPTION([
      option,
      'must be an absolute http or https address without wildcards, such as https://app.example.com'
    ])
  }
  return url
}

export function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}

/** True for the name of a registration or of a backend. */
export function isName (value: unknown): boolean {
  return typeof value === 'string' && NAME.test(value)
}
