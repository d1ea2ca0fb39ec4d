import type { DescriptionDefaults } from '../../contracts/transport.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import {
  cookieDomainProblem,
  cookieNameProblem,
  cookiePathProblem,
  hostPrefixOf
} from '../../shared/cookie-attributes.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import type { CookiePlace } from './former-cookies.js'

/** Options of `cookieTransport`. */
export interface CookieTransportOptions {
  /**
   * Name of the cookie. Default: `__Host-<name>-<backend>`, without the prefix if `secure`, `path` or `domain` forbids
   * it.
   */
  name?: string
  /**
   * Lifetime of the cookie in seconds, at most the lifetime of the token. Default: until the browser closes.
   */
  maxAge?: number
  /** Path of the cookie. Default: `/`. */
  path?: string
  /** Domain of the cookie. Default: the host of the request, without subdomains. */
  domain?: string
  /** The cookie is sent over https only. Default: true. */
  secure?: boolean
  /** Scripts in the browser cannot read the cookie. Default: true. */
  httpOnly?: boolean
  /** The attribute `SameSite`. Default: `lax`. */
  sameSite?: 'lax' | 'strict' | 'none'
  /**
   * Gives each site that embeds yours a separate cookie: the attribute `Partitioned` of CHIPS
   * (draft-cutler-httpbis-partitioned-cookies, section 2.1). Needs `secure`; in a frame on another site it also needs
   * `sameSite: 'none'`. Default: false.
   */
  partitioned?: boolean
  /**
   * Other places where an earlier deployment set a cookie with this name. Login and logout remove such cookies from
   * browsers that send one. Places from before `domain`, `path` or `partitioned` was added need no entry.
   * Default: none.
   */
  formerly?: readonly CookiePlace[]
}

const KEYS = ['name', 'maxAge', 'path', 'domain', 'secure', 'httpOnly', 'sameSite', 'partitioned', 'formerly']

/** Returns the name of a backend's cookie. */
export function cookieName (
  { name, ...scope }: CookieTransportOptions,
  { backend, settings }: DescriptionDefaults
): string {
  const base = name ?? settings.wire.cookies.name
  if (base !== null) return base
  return `${hostPrefixOf(scope)}${settings.name}-${backend}`
}

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function checkCookieOptions (options: CookieTransportOptions): void {
  checkKnownKeys('cookieTransport.', options, KEYS)
  const { maxAge, secure = true, sameSite = 'lax', partitioned = false, formerly = [] } = options
  if (maxAge !== undefined && !(Number.isInteger(maxAge) && maxAge > 0)) {
    throw invalidOption('maxAge', 'must be a whole number of seconds above 0')
  }
  for (const flag of ['secure', 'httpOnly', 'partitioned'] as const) {
    if (typeof (options[flag] ?? true) !== 'boolean') throw invalidOption(flag, 'must be true or false')
  }
  if (!['lax', 'strict', 'none'].includes(sameSite)) {
    throw invalidOption('sameSite', "must be 'lax', 'strict' or 'none'")
  }
  if (sameSite === 'none' && !secure) {
    throw invalidOption('sameSite', "'none' needs `secure: true`; browsers drop the cookie otherwise")
  }
  if (partitioned && !secure) {
    throw invalidOption('partitioned', 'needs `secure: true`; browsers drop the cookie otherwise')
  }
  checkCookieName(options)
  checkPlace('', options)
  if (!Array.isArray(formerly)) throw invalidOption('formerly', 'must be a list of { domain, path, partitioned }')
  formerly.forEach((place: CookiePlace, i) => {
    checkFormer(`formerly[${i}]`, place)
  })
}

function checkCookieName ({ name, ...scope }: CookieTransportOptions): void {
  if (name === undefined) return
  const problem = cookieNameProblem(name, scope)
  if (problem !== null) throw invalidOption('name', problem)
}

function checkFormer (option: string, place: CookiePlace): void {
  if (typeof place !== 'object' || place === null || Array.isArray(place)) {
    throw invalidOption(option, 'must be an object { domain, path, partitioned }')
  }
  checkKnownKeys(`cookieTransport.${option}.`, place, ['domain', 'path', 'partitioned'])
  checkPlace(`${option}.`, place)
  if (typeof (place.partitioned ?? false) !== 'boolean') {
    throw invalidOption(`${option}.partitioned`, 'must be true or false')
  }
}

function checkPlace (prefix: string, { path = '/', domain }: CookiePlace): void {
  const pathProblem = cookiePathProblem(path)
  if (pathProblem !== null) throw invalidOption(`${prefix}path`, pathProblem)
  const domainProblem = domain === undefined ? null : cookieDomainProblem(domain)
  if (domainProblem !== null) throw invalidOption(`${prefix}domain`, domainProblem)
}

function invalidOption (option: string, reason: string): Error {
  return FST_USERS_INVALID_OPTION([`cookieTransport.${option}`, reason])
}
