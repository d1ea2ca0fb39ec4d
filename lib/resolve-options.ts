import type { FastifyBaseLogger } from 'fastify'
import { userSchemas, type UserSchemas } from '../schemas/index.js'
import { readCaptcha, readLimitsOptions } from './attempts/index.js'
import { readStepNames } from './check-login-steps.js'
import { checkName, checkRequiredOptions, isPasswordHelper, isUserSchemas } from './check-options.js'
import type { BackendOptions } from './contracts/backend.js'
import type { RouteGroupName, RouteSettings, Settings } from './contracts/settings.js'
import { createErrorRegistry } from './error-registry.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import { readAuditOptions } from './audit/index.js'
import type { UsersOptions } from './options.js'
import { argon2Passwords, passwordPolicy } from './passwords/index.js'
import { addReplyFields } from './reply-fields.js'
import { isFunction } from './shared/values.js'
import { checkSecret } from './tokens/index.js'
import { readAllowInsecure } from './shared/limits.js'
import {
  checkOption,
  checkBoolean,
  parseBaseUrl,
  parseOrigin,
  parseTrustedOrigin,
  readRoute,
  checkKnownKeys
} from './shared/option-checks.js'
import { readRegistration } from './read-registration.js'
import { readSecondFactorOptions } from './read-second-factors.js'
import { readMailedTokens } from './read-tokens.js'
import { readCacheOptions } from './user-cache/cache-options.js'
import { FASTAPI_USERS_PASSWORDS, readCompatibility } from './wire/index.js'

const PREFIXES: Record<RouteGroupName, string> = {
  auth: '/auth',
  register: '/auth',
  reset: '/auth',
  verify: '/auth',
  users: '/users'
}

/**
 * Checks the options and returns them with all defaults filled in. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`, `FST_USERS_INVALID_SECRET`, `FST_USERS_DUPLICATE_BACKEND`.
 */
export function resolveOptions (
  options: UsersOptions,
  log?: FastifyBaseLogger
): { settings: Settings; secrets: readonly string[] } {
  checkRequiredOptions(options)
  const name = checkName('name', options.name ?? 'users')
  const { wire, isFastapiUsers } = readCompatibility(name, options.compatibility)
  const allowInsecure = readAllowInsecure(options.allowInsecure)
  const requireVerification = checkBoolean('requireVerification', options.requireVerification, false)
  const settings: Settings = {
    name,
    errors: createErrorRegistry(options.features),
    loginSteps: readStepNames(options.features),
    rememberMe: (backend) => options.features?.some((feature) => feature.rememberMe?.(backend) === true) ?? false,
    ...readFunctions(options, isFastapiUsers),
    ...readChoices(options, isFastapiUsers),
    reauthentication: readReauthentication(options.reauthentication),
    ...readOrigins(options),
    requireVerification,
    ...readRegistration(options, isFastapiUsers),
    allowIntranetEmails: checkBoolean('allowIntranetEmails', options.allowIntranetEmails, false),
    routes: readRoutes(options.routes ?? {}, requireVerification),
    jwks: readJwks(options.routes?.jwks),
    tokens: readMailedTokens(wire, options, allowInsecure),
    openapiSecurity: checkBoolean('openapiSecurity', options.openapiSecurity, false),
    openapiPasswordFlow: checkBoolean('openapiPasswordFlow', options.openapiPasswordFlow, false),
    tokensKeptSeconds: longestTokenSeconds(options.backends),
    allowInsecure,
    captcha: readCaptcha(options.captcha, options.features),
    secondFactors: readSecondFactorOptions(options),
    limits: readLimitsOptions(options.limits, options.adapter, isFastapiUsers),
    cache: readCacheOptions(options.cache),
    auditEmails: readAuditOptions(options.audit),
    wire
  }
  if (wire.endlessTokens) log?.warn('fastify-users: endlessTokens is on: sessions may never expire')
  if (allowInsecure.size > 0) log?.warn(`fastify-users: allowInsecure accepts ${[...allowInsecure].join(', ')}`)
  return { settings, secrets: readSecrets(options.secret) }
}

function readFunctions (
  options: UsersOptions,
  isFastapiUsers: boolean
): Pick<Settings, 'schemas' | 'clock' | 'passwords' | 'validatePassword'> {
  return {
    schemas: readSchemas(options),
    clock: checkOption(
      'clock',
      options.clock ?? Date.now,
      isFunction,
      'must be a function that returns milliseconds, such as Date.now'
    ),
    passwords: checkOption(
      'passwords',
      options.passwords ?? argon2Passwords(isFastapiUsers ? FASTAPI_USERS_PASSWORDS : {}),
      isPasswordHelper,
      'must have the methods hash and verifyAndUpdate, such as argon2Passwords()'
    ),
    validatePassword: checkOption(
      'validatePassword',
      options.validatePassword ?? (isFastapiUsers ? () => null : passwordPolicy()),
      isFunction,
      'must be a function, such as passwordPolicy()'
    )
  }
}

function readSchemas ({ schemas, features = [], name = 'users' }: UsersOptions): UserSchemas {
  const given = (schemas ?? userSchemas()) as UserSchemas // isUserSchemas checks what the type claims
  checkOption('schemas', given, isUserSchemas, 'must be the return value of userSchemas()')
  return addReplyFields(given, features, name)
}

function readChoices (
  options: UsersOptions,
  isFastapiUsers: boolean
): Pick<Settings, 'sensitiveChanges' | 'errorHandler'> {
  return {
    sensitiveChanges: checkOption(
      'sensitiveChanges',
      options.sensitiveChanges ?? (isFastapiUsers ? 'immediate' : 'confirm'),
      (value) => value === 'immediate' || value === 'confirm',
      "must be 'immediate' or 'confirm'"
    ),
    errorHandler: checkOption(
      'errorHandler',
      options.errorHandler ?? 'plugin',
      (value) => value === 'plugin' || value === 'application',
      "must be 'plugin' or 'application'"
    )
  }
}

function readReauthentication (given: UsersOptions['reauthentication'] = {}): Settings['reauthentication'] {
  checkKnownKeys('reauthentication.', given, ['maxAgeSeconds'])
  const { maxAgeSeconds = 300 } = given
  const isSeconds = Number.isInteger(maxAgeSeconds) && maxAgeSeconds >= 1 && maxAgeSeconds <= 3600
  checkOption('reauthentication.maxAgeSeconds', maxAgeSeconds, () => isSeconds, 'must be a whole number from 1 to 3600')
  return { maxAgeSeconds }
}

function readOrigins ({
  publicUrl,
  trustedOrigins = []
}: UsersOptions): Pick<Settings, 'publicOrigin' | 'publicUrl' | 'trustedOrigins'> {
  const origins = checkOption('trustedOrigins', trustedOrigins, Array.isArray, 'must be a list of origins')
  return {
    publicOrigin: publicUrl === undefined ? null : parseOrigin('publicUrl', publicUrl),
    publicUrl: publicUrl === undefined ? null : parseBaseUrl('publicUrl', publicUrl),
    trustedOrigins: new Set(origins.map((origin, i) => parseTrustedOrigin(`trustedOrigins[${i}]`, origin)))
  }
}

function readSecrets (secret: UsersOptions['secret']): readonly string[] {
  const list: readonly unknown[] = Array.isArray(secret) ? secret : [secret]
  if (list.length === 0) throw FST_USERS_INVALID_OPTION(['secret', 'must not be an empty list'])
  return list.map((value, i) => checkSecret(Array.isArray(secret) ? `secret[${i}]` : 'secret', value))
}

/** Returns the longest time that a backend needs a stored token, in seconds; null if one never deletes its tokens. */
function longestTokenSeconds (backends: readonly BackendOptions[]): number | null {
  const seconds = backends.map(({ strategy: { keepsSeconds = 0 } }) => keepsSeconds ?? Infinity)
  const longest = Math.max(...seconds)
  return longest === Infinity ? null : longest
}

function readRoutes (given: NonNullable<UsersOptions['routes']>, requireVerification: boolean): Settings['routes'] {
  checkKnownKeys('routes.', given, [...Object.keys(PREFIXES), 'jwks'])
  const entries = Object.entries(PREFIXES).map(([group, prefix]): [string, RouteSettings] => {
    // users have no session when they call the routes of the other groups
    const verification = group === 'auth' || group === 'users' ? requireVerification : null
    return [group, readRoute(`routes.${group}`, given[group as RouteGroupName], prefix, verification)]
  })
  return Object.fromEntries(entries) as Record<RouteGroupName, RouteSettings> // one entry per key of PREFIXES
}

function readJwks (given: NonNullable<UsersOptions['routes']>['jwks'] = {}): Settings['jwks'] {
  if (given === false) return null
  checkKnownKeys('routes.jwks.', given, ['path', 'maxAgeSeconds'])
  const { path = '/.well-known/jwks.json', maxAgeSeconds = 300 } = given
  const isSeconds = Number.isInteger(maxAgeSeconds) && maxAgeSeconds >= 1 && maxAgeSeconds <= 86_400
  checkOption('routes.jwks.maxAgeSeconds', maxAgeSeconds, () => isSeconds, 'must be a whole number from 1 to 86400')
  return { path: checkOption('routes.jwks.path', path, isPath, 'must be a path without parameters, and start with /'), maxAgeSeconds }
}

/** True for a path of unreserved characters (RFC 3986, section 2.3), so that the router finds no parameters in it. */
function isPath (value: unknown): boolean {
  return typeof value === 'string' && /^(?:\/[\w.~-]+)+$/.test(value)
}
