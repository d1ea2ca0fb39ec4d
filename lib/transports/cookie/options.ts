import type { DescriptionDefaults } from '../../contracts/transport.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_OPTION } from '../../errors.js'
import type { CookiePlace } from './former-cookies.js'

/** Options of `cookieTransport`. */
export interface CookieTransportOptions {
  /** Cookie name (`__Host-<users>-<backend>`; without the prefix when `secure`, `path` or `domain` rule it out). */
  name?: string
  /**
   * Seconds that the browser keeps the cookie, never longer than the token lives (absent: until the browser closes).
   */
  maxAge?: number
  path?: string
  domain?: string
  secure?: boolean
  httpOnly?: boolean
  sameSite?: 'lax' | 'strict' | 'none'
  /**
   * Keeps the cookie apart for each site that embeds yours (false): `Partitioned` of CHIPS,
   * draft-cutler-httpbis-partitioned-cookies, section 2.1. Needs `secure`; in a frame of another site also `sameSite:
   * 'none'`.
   */
  partitioned?: boolean
  /**
   * Where earlier deployments kept a cookie of this name (none). Login and logout remove such cookies from browsers
   * that
   * send one. The places left by adding `domain` or `path`, or by switching on `partitioned`, are known without this
   * option.
   */
  formerly?: readonly CookiePlace[]
}

const KEYS = ['name', 'maxAge', 'path', 'domain', 'secure', 'httpOnly', 'sameSite', 'partitioned', 'formerly']
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // token of RFC 9110, section 5.6.2

/** Returns the name of a backend's cookie. */
export function cookieName (
  { name, path = '/', domain, secure = true }: CookieTransportOptions,
  { backend, settings }: DescriptionDefaults
): string {
  const base = name ?? settings.cookieName
  if (base !== null) return base
  return `${secure && path === '/' && domain === undefined ? '__Host-' : ''}${settings.name}-${backend}`
}

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function checkOptions (options: CookieTransportOptions): void {
  refuseUnknown('cookieTransport', options, KEYS)
  const { maxAge, secure = true, sameSite = 'lax', partitioned = false, formerly = [] } = options
  if (maxAge !== undefined && !(Number.isInteger(maxAge) && maxAge > 0)) {
    throw refuse('maxAge', 'must be a whole number of seconds above 0')
  }
  for (const flag of ['secure', 'httpOnly', 'partitioned'] as const) {
    if (typeof (options[flag] ?? true) !== 'boolean') throw refuse(flag, 'must be true or false')
  }
  if (!['lax', 'strict', 'none'].includes(sameSite)) throw refuse('sameSite', "must be 'lax', 'strict' or 'none'")
  if (sameSite === 'none' && !secure) {
    throw refuse('sameSite', "'none' needs `secure`; browsers drop the cookie otherwise")
  }
  if (partitioned && !secure) throw refuse('partitioned', 'needs `secure`; browsers drop the cookie otherwise')
  checkName(options)
  checkPlace('', options)
  if (!Array.isArray(formerly)) throw refuse('formerly', 'must be a list of { domain, path, partitioned }')
  formerly.forEach((place: CookiePlace, i) => {
    checkFormer(`formerly[${i}]`, place)
  })
}

function checkName ({ name, secure = true, path = '/', domain }: CookieTransportOptions): void {
  if (name === undefined) return
  if (typeof name !== 'string' || !COOKIE_NAME.test(name)) {
    throw refuse('name', 'is not a cookie name (RFC 6265, section 4.1.1)')
  }
  if (name.startsWith('__Host-') && (!secure || path !== '/' || domain !== undefined)) {
    throw refuse('name', 'with the prefix __Host- needs secure, path / and no domain')
  }
  if (name.startsWith('__Secure-') && !secure) throw refuse('name', 'with the prefix __Secure- needs secure')
}

function checkFormer (option: string, place: CookiePlace): void {
  if (typeof place !== 'object' || place === null || Array.isArray(place)) {
    throw refuse(option, 'must be an object { domain, path, partitioned }')
  }
  refuseUnknown(`cookieTransport.${option}`, place, ['domain', 'path', 'partitioned'])
  checkPlace(`${option}.`, place)
  if (typeof (place.partitioned ?? false) !== 'boolean') throw refuse(`${option}.partitioned`, 'must be true or false')
}

function checkPlace (prefix: string, { path = '/', domain }: CookiePlace): void {
  if (typeof path !== 'string' || !/^\/[^;\s]*$/.test(path)) {
    throw refuse(`${prefix}path`, 'must start with / and hold no white space or semicolon')
  }
  if (domain !== undefined && !(typeof domain === 'string' && /^[^;\s]+$/.test(domain))) {
    throw refuse(`${prefix}domain`, 'must be a domain without white space or semicolons')
  }
}

function refuseUnknown (where: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([`${where}.${unknown}`, known.join(', ')])
}

function refuse (option: string, reason: string): Error {
  return FST_USERS_INVALID_OPTION([`cookieTransport.${option}`, reason])
}
