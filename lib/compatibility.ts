import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { Argon2PasswordsOptions } from './passwords/index.js'

/**
 * What decides how replies and tokens look to clients and services of FastAPI Users. Each has the default given in
 * brackets.
 */
export interface CompatibilityOptions {
  /** Error replies: Fastify's with `detail`, or FastAPI's `{ detail }` with 422, from the guard too (`fastify`). */
  errorStyle?: 'fastify' | 'fastapi'
  /** Replies without content that are not 204 have the body `null` (false). */
  nullBodies?: boolean
  /** 401 replies carry `WWW-Authenticate`, RFC 9110, section 11.6.1 (true). */
  wwwAuthenticate?: boolean
  /**
   * Signed tokens must carry `exp`, `iat` (unless `issuedAt` is off), `jti` and the user's stamp, as ours do (true).
   */
  requireStamp?: boolean
  /** Stored tokens: their SHA-256, or as they are (`digest`). */
  tokenStorage?: 'digest' | 'plain'
  /** Passwords are brought into Unicode NFC before hashing (true). */
  normalizePasswords?: boolean
  /** Signed tokens carry `iat` (true). */
  issuedAt?: boolean
  /** Reset tokens hold a keyed fingerprint of the user's state, or an argon2 hash of the stored hash (`keyed`). */
  fingerprint?: 'keyed' | 'argon2'
  /** Name of session cookies whose transport names none; null for `__Host-<name>-<backend>` (null). */
  cookieName?: string | null
  /** Two cookies of one name: nobody, or the last one (`refuse`). */
  duplicateCookies?: 'refuse' | 'last'
  /** First part of the audiences of tokens (the registration's name). */
  audiencePrefix?: string
  /** Operation ids of the API document (`fastify`). */
  operationIds?: 'fastify' | 'fastapi'
  /** Allows `lifetimeSeconds: null`, sessions that never end by themselves (false). */
  endlessTokens?: boolean
}

type Parts = Required<CompatibilityOptions>

const OURS: Omit<Parts, 'audiencePrefix'> = {
  errorStyle: 'fastify',
  nullBodies: false,
  wwwAuthenticate: true,
  requireStamp: true,
  tokenStorage: 'digest',
  normalizePasswords: true,
  issuedAt: true,
  fingerprint: 'keyed',
  cookieName: null,
  duplicateCookies: 'refuse',
  operationIds: 'fastify',
  endlessTokens: false
}

const FASTAPI_USERS: Parts = {
  errorStyle: 'fastapi',
  nullBodies: true,
  wwwAuthenticate: false,
  requireStamp: false,
  tokenStorage: 'plain',
  normalizePasswords: false,
  issuedAt: false,
  fingerprint: 'argon2',
  cookieName: 'fastapiusersauth',
  duplicateCookies: 'last',
  audiencePrefix: 'fastapi-users',
  operationIds: 'fastapi',
  endlessTokens: true
}

const FASTAPI_USERS_ARGON2 = { memoryCost: 65_536, timeCost: 3, parallelism: 4 } // pwdlib's defaults

/**
 * Password hashing of FastAPI Users: argon2id, and before its version 13 bcrypt (the defaults of pwdlib and passlib).
 */
export const FASTAPI_USERS_PASSWORDS: Argon2PasswordsOptions = {
  ...FASTAPI_USERS_ARGON2,
  storedFormats: [
    { algorithm: 'argon2id', ...FASTAPI_USERS_ARGON2 },
    { algorithm: 'bcrypt', cost: 12 }
  ]
}

/** Names of the options. */
export const compatibilityKeys = Object.keys(FASTAPI_USERS) as readonly (keyof CompatibilityOptions)[]

/** The parts of `compatibility`, each replaced by the option of its own. Throws `FST_USERS_INVALID_OPTION`. */
export function resolveCompatibility (
  name: string,
  { compatibility, ...given }: CompatibilityOptions & { compatibility?: 'fastapi-users' }
): Omit<Parts, 'audiencePrefix'> & Pick<Settings, 'audiencePrefix'> {
  if (compatibility !== undefined && compatibility !== 'fastapi-users') {
    throw FST_USERS_INVALID_OPTION(['compatibility', "must be 'fastapi-users'"])
  }
  const defaults: Parts = compatibility === undefined ? { ...OURS, audiencePrefix: name } : FASTAPI_USERS
  const own = Object.fromEntries(
    compatibilityKeys.filter((key) => given[key] !== undefined).map((key) => [key, checked(key, given[key])])
  )
  return { ...defaults, ...own }
}

const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // token of RFC 9110, section 5.6.2
const CHOICES: Partial<Record<keyof CompatibilityOptions, readonly string[]>> = {
  errorStyle: ['fastify', 'fastapi'],
  tokenStorage: ['digest', 'plain'],
  fingerprint: ['keyed', 'argon2'],
  duplicateCookies: ['refuse', 'last'],
  operationIds: ['fastify', 'fastapi']
}

function checked (key: keyof CompatibilityOptions, value: unknown): unknown {
  const choices = CHOICES[key]
  if (choices !== undefined && !(typeof value === 'string' && choices.includes(value))) {
    throw FST_USERS_INVALID_OPTION([key, `must be one of ${choices.join(', ')}`])
  }
  if (typeof FASTAPI_USERS[key] === 'boolean' && typeof value !== 'boolean') {
    throw FST_USERS_INVALID_OPTION([key, 'must be true or false'])
  }
  if (key === 'audiencePrefix' && (typeof value !== 'string' || value === '')) {
    throw FST_USERS_INVALID_OPTION([key, 'must be text'])
  }
  if (key === 'cookieName' && value !== null && !(typeof value === 'string' && COOKIE_NAME.test(value))) {
    throw FST_USERS_INVALID_OPTION([key, 'must be a cookie name'])
  }
  return value
}
