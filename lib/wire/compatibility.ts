import type { WireFormat } from '../contracts/wire-format.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { isCookieName } from '../shared/cookie-attributes.js'
import { checkKnownKeys } from '../shared/option-checks.js'
import { fastapiFormat } from './fastapi.js'
import { fastifyFormat } from './fastify.js'

/**
 * The form of replies and tokens, so that clients and services of FastAPI Users keep working. The defaults are the
 * plugin's own format, or with `preset` that of FastAPI Users.
 */
export interface CompatibilityOptions {
  /**
   * `fastapi-users` sets the defaults of the other options, of password hashing and of the password policy to the
   * behaviour of FastAPI Users. Default none.
   */
  preset?: 'fastapi-users'
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

type Part = Exclude<keyof CompatibilityOptions, 'preset'>
type Check = readonly [isValid: (value: unknown) => boolean, reason: string]

const FLAG: Check = [(value) => typeof value === 'boolean', 'must be true or false']
const choiceOf = (...choices: readonly string[]): Check => [
  (value) => typeof value === 'string' && choices.includes(value),
  `must be one of ${choices.join(', ')}`
]

const CHECKS: Readonly<Record<Part, Check>> = {
  errorStyle: choiceOf('fastify', 'fastapi'),
  nullBodies: FLAG,
  wwwAuthenticate: FLAG,
  requireStamp: FLAG,
  tokenStorage: choiceOf('digest', 'plain'),
  normalizePasswords: FLAG,
  issuedAt: FLAG,
  fingerprint: choiceOf('keyed', 'argon2'),
  cookieName: [
    (value) => value === null || isCookieName(value),
    'must be a cookie name or null'
  ],
  duplicateCookies: choiceOf('refuse', 'last'),
  audiencePrefix: [(value) => typeof value === 'string' && value !== '', 'must be a non-empty string'],
  operationIds: choiceOf('fastify', 'fastapi'),
  endlessTokens: FLAG
}

/** Names of the options that replace parts of the format. */
export const compatibilityKeys = Object.keys(CHECKS) as readonly Part[]

/** Throws `FST_USERS_INVALID_OPTION` if an option of `compatibility` is among the options of the plugin. */
export function refuseMisplacedParts (options: object): void {
  const misplaced = Object.keys(options).find((key) => key in CHECKS)
  if (misplaced !== undefined) {
    throw FST_USERS_INVALID_OPTION([misplaced, `belongs to the option compatibility: compatibility: { ${misplaced}: … }`])
  }
}

/**
 * Returns the format that the option `compatibility` describes, and whether it is based on that of FastAPI Users.
 * Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function readCompatibility (
  name: string,
  given: 'fastapi-users' | CompatibilityOptions = {}
): { wire: WireFormat; isFastapiUsers: boolean } {
  const { preset, ...parts } = typeof given === 'string' ? { preset: given } : checkParts(given)
  if (preset !== undefined && preset !== 'fastapi-users') {
    const option = typeof given === 'string' ? 'compatibility' : 'compatibility.preset'
    throw FST_USERS_INVALID_OPTION([option, "must be 'fastapi-users'"])
  }
  const own = fastifyFormat(name)
  const base = preset === undefined ? own : fastapiFormat
  return { wire: replaceParts(base, own, parts), isFastapiUsers: preset !== undefined }
}

function checkParts (given: CompatibilityOptions): CompatibilityOptions {
  checkKnownKeys('compatibility.', given, ['preset', ...compatibilityKeys])
  for (const key of compatibilityKeys) {
    const [isValid, reason] = CHECKS[key]
    if (given[key] !== undefined && !isValid(given[key])) {
      throw FST_USERS_INVALID_OPTION([`compatibility.${key}`, reason])
    }
  }
  return given
}

/** Returns the format with the given parts, which come from either of the two formats or are values. */
function replaceParts (base: WireFormat, own: WireFormat, parts: Omit<CompatibilityOptions, 'preset'>): WireFormat {
  const choose = <K extends 'errors' | 'emptyReplies' | 'operations' | 'storedTokens'>(
    part: K,
    isFastapi: boolean | undefined
  ): WireFormat[K] => (isFastapi === undefined ? base : isFastapi ? fastapiFormat : own)[part]
  const isOf = (value: string | undefined, fastapi: string): boolean | undefined =>
    value === undefined ? undefined : value === fastapi
  const { cookies, signedTokens } = base
  const { audiencePrefix } = parts
  return {
    errors: choose('errors', isOf(parts.errorStyle, 'fastapi')),
    emptyReplies: choose('emptyReplies', parts.nullBodies),
    operations: choose('operations', isOf(parts.operationIds, 'fastapi')),
    storedTokens: choose('storedTokens', isOf(parts.tokenStorage, 'plain')),
    cookies: {
      name: parts.cookieName === undefined ? cookies.name : parts.cookieName,
      duplicates: parts.duplicateCookies ?? cookies.duplicates
    },
    signedTokens: {
      audienceOf: audiencePrefix === undefined
        ? signedTokens.audienceOf
        : (purpose) => `${audiencePrefix}:${purpose}`,
      issuedAt: parts.issuedAt ?? signedTokens.issuedAt,
      requireStamp: parts.requireStamp ?? signedTokens.requireStamp,
      fingerprint: parts.fingerprint ?? signedTokens.fingerprint
    },
    wwwAuthenticate: parts.wwwAuthenticate ?? base.wwwAuthenticate,
    reportsLogout: base.reportsLogout,
    normalizePasswords: parts.normalizePasswords ?? base.normalizePasswords,
    endlessTokens: parts.endlessTokens ?? base.endlessTokens
  }
}
