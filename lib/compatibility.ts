import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { Argon2PasswordsOptions } from './passwords/index.js'

/** Options for the form of replies and tokens, so that clients and services of FastAPI Users keep working. */
export interface CompatibilityOptions {
  /**
   * Form of error replies, also of the guard: Fastify's with an additional `detail`, or FastAPI's `{ detail }`, where
   * invalid input has the status 422. Default `fastify`.
   */
  errorStyle?: 'fastify' | 'fastapi'
  /** Replies without content that are not 204 have the body `null`. Default false. */
  nullBodies?: boolean
  /** 401 replies carry `WWW-Authenticate` (RFC 9110, section 11.6.1). Default true. */
  wwwAuthenticate?: boolean
  /**
   * Signed tokens must carry `exp`, `iat` (unless `issuedAt` is false), `jti` and the user's security stamp. Default
   * true.
   */
  requireStamp?: boolean
  /** Form of stored tokens: the SHA-256 digest, or plain text. Default `digest`. */
  tokenStorage?: 'digest' | 'plain'
  /** Passwords are normalized to Unicode NFC before hashing. Default true. */
  normalizePasswords?: boolean
  /** Signed tokens carry `iat`. Default true. */
  issuedAt?: boolean
  /**
   * Fingerprint in reset tokens: a keyed hash of the user's state, or an argon2 hash of the stored password hash.
   * Default `keyed`.
   */
  fingerprint?: 'keyed' | 'argon2'
  /** Name of session cookies if the transport has no `name`. Default null, which means `__Host-<name>-<backend>`. */
  cookieName?: string | null
  /**
   * Handling of two session cookies with the same name: the request is not authenticated, or the last cookie is used.
   * Default `refuse`.
   */
  duplicateCookies?: 'refuse' | 'last'
  /** First part of the audiences of tokens. Default: the option `name`. */
  audiencePrefix?: string
  /** Form of the operation ids in the API document. Default `fastify`. */
  operationIds?: 'fastify' | 'fastapi'
  /** Allows `lifetimeSeconds: null`, which creates sessions that never expire. Default false. */
  endlessTokens?: boolean
}

type ResolvedCompatibility = Required<CompatibilityOptions>

const DEFAULTS: Omit<ResolvedCompatibility, 'audiencePrefix'> = {
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

const FASTAPI_USERS: ResolvedCompatibility = {
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

const FASTAPI_USERS_ARGON2 = { memoryCost: 65_536, timeCost: 3, parallelism: 4 } // defaults of pwdlib

const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // a token (RFC 9110, section 5.6.2)
const CHOICES: Partial<Record<keyof CompatibilityOptions, readonly string[]>> = {
  errorStyle: ['fastify', 'fastapi'],
  tokenStorage: ['digest', 'plain'],
  fingerprint: ['keyed', 'argon2'],
  duplicateCookies: ['refuse', 'last'],
  operationIds: ['fastify', 'fastapi']
}

/**
 * Password hashing of FastAPI Users: argon2id with the defaults of pwdlib, and for hashes from before version 13 bcrypt
 * with the defaults of passlib.
 */
export const FASTAPI_USERS_PASSWORDS: Argon2PasswordsOptions = {
  ...FASTAPI_USERS_ARGON2,
  storedFormats: [
    { algorithm: 'argon2id', ...FASTAPI_USERS_ARGON2 },
    { algorithm: 'bcrypt', cost: 12 }
  ]
}

/** Names of the options of {@link CompatibilityOptions}. */
export const compatibilityKeys = Object.keys(FASTAPI_USERS) as readonly (keyof CompatibilityOptions)[]

/**
 * Returns the compatibility options with the defaults that `compatibility` selects. Throws `FST_USERS_INVALID_OPTION`.
 */
export function resolveCompatibility (
  name: string,
  { compatibility, ...given }: CompatibilityOptions & { compatibility?: 'fastapi-users' }
): Omit<ResolvedCompatibility, 'audiencePrefix'> & Pick<Settings, 'audiencePrefix'> {
  if (compatibility !== undefined && compatibility !== 'fastapi-users') {
    throw FST_USERS_INVALID_OPTION(['compatibility', "must be 'fastapi-users'"])
  }
  const defaults = compatibility === undefined ? { ...DEFAULTS, audiencePrefix: name } : FASTAPI_USERS
  const overrides = Object.fromEntries(
    compatibilityKeys.filter((key) => given[key] !== undefined).map((key) => [key, checkValue(key, given[key])])
  )
  return { ...defaults, ...overrides }
}

function checkValue (key: keyof CompatibilityOptions, value: unknown): unknown {
  const choices = CHOICES[key]
  if (choices !== undefined && !(typeof value === 'string' && choices.includes(value))) {
    throw FST_USERS_INVALID_OPTION([key, `must be one of ${choices.join(', ')}`])
  }
  if (typeof FASTAPI_USERS[key] === 'boolean' && typeof value !== 'boolean') {
    throw FST_USERS_INVALID_OPTION([key, 'must be true or false'])
  }
  if (key === 'audiencePrefix' && (typeof value !== 'string' || value === '')) {
    throw FST_USERS_INVALID_OPTION([key, 'must be a non-empty string'])
  }
  if (key === 'cookieName' && value !== null && !(typeof value === 'string' && COOKIE_NAME.test(value))) {
    throw FST_USERS_INVALID_OPTION([key, 'must be a cookie name or null'])
  }
  return value
}
