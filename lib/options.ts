import type { FastifyBaseLogger } from 'fastify'
import { userSchemas, type AnyUserSchemas, type UserSchemas } from '../schemas/index.js'
import {
  compatibilityKeys,
  FASTAPI_USERS_PASSWORDS,
  resolveCompatibility,
  type CompatibilityOptions
} from './compatibility.js'
import type { BackendOptions } from './contracts/backend.js'
import type { DatabaseAdapter } from './contracts/database-adapter.js'
import type { UsersHooks } from './contracts/events.js'
import type { PasswordHelper } from './contracts/password-helper.js'
import type {
  Clock,
  InsecureSetting,
  RouteGroupName,
  RouteSettings,
  Settings,
  TokenSettings,
  ValidatePassword
} from './contracts/settings.js'
import type { UsersRegisterMismatch, User } from './contracts/user.js'
import { FST_USERS_DUPLICATE_BACKEND, FST_USERS_INVALID_OPTION } from './errors.js'
import { argon2Passwords, passwordPolicy } from './passwords/index.js'
import { checkSecret } from './tokens/index.js'
import { checkSeconds, MAX_RESET_SECONDS, MAX_VERIFY_SECONDS, readAllowInsecure } from './validation/limits.js'
import {
  baseUrlOf,
  checked,
  checkObject,
  flag,
  isFunction,
  isName,
  originOf,
  readRoute,
  refuseUnknown,
  trustedOriginOf,
  type RouteGroupOptions
} from './validation/options.js'

/** Options of a token that is sent by mail. */
export interface TokenOptions {
  /** A secret of its own, used as it is (default: a key made from the plugin's secret). */
  secret?: string
  /**
   * Seconds that the token lives (3600). At most a day for reset and seven for verify, unless `allowInsecure` names
   * `longTokens`.
   */
  lifetimeSeconds?: number
  /** The token's `aud` claim (`<name>:reset`, `<name>:verify`). */
  audience?: string
}

/** Options of the plugin. Unknown keys refuse to start. */
export interface UsersOptions extends CompatibilityOptions {
  /** Where users are stored: `sqlite(…)`, `memory()` or your own. */
  adapter: DatabaseAdapter
  /** At least 32 random bytes. Of a list the first signs and all verify. */
  secret: string | readonly string[]
  /** The ways to be logged in; the first that knows a request's user wins. */
  backends: readonly BackendOptions[]
  /**
   * Name of the tenant whose users these are (`users`). Keys, tables and key prefixes of another name begin with it.
   */
  name?: string
  /** Custom fields and the kind of ids: what `userSchemas()` returned. */
  schemas?: AnyUserSchemas
  /** Password hashing (`argon2Passwords()`: argon2id with OWASP's parameters). */
  passwords?: PasswordHelper
  /**
   * The password policy: gives or throws the reason of a refusal (`passwordPolicy()`: 8 characters at least, not the
   * e-mail address, not a common password).
   */
  validatePassword?: ValidatePassword
  /** One listener per event; `app.users.addHook` adds more. */
  hooks?: UsersHooks
  /** Per group of routes `false`, or another prefix; for `auth` and `users` also their own `requireVerification`. */
  routes?: Partial<
    Record<Exclude<RouteGroupName, 'auth' | 'users'>, false | { prefix: string }> &
      Record<'auth' | 'users', false | RouteGroupOptions>
  >
  /**
   * Login, logout and the routes of `/users` need a verified e-mail (false). A backend and a group of routes may decide
   * otherwise.
   */
  requireVerification?: boolean
  tokens?: Partial<Record<'reset' | 'verify', TokenOptions>>
  /** The address under which browsers reach the application: for the cross-site check; never taken from headers. */
  publicUrl?: string
  /** Origins of other sites that may send requests with our cookies. */
  trustedOrigins?: readonly string[]
  /**
   * Whether registration and e-mail change tell that an e-mail has an account (true). With false all public replies are
   * the
   * same: registration replies 202, a password login and a new e-mail need a proved e-mail first, and a provider must
   * vouch
   * for the e-mail of a first login.
   */
  revealExistingAccounts?: boolean
  /**
   * Users may register and change to e-mails under `.local` (RFC 6762) and `.home.arpa` (RFC 8375), the domains of
   * private
   * networks (false).
   */
  allowIntranetEmails?: boolean
  /**
   * How users change their password or e-mail. With `immediate` the change takes effect at once, without the current
   * password. With `confirm` the change needs the current password, and a new e-mail takes effect after its owner
   * verified it. Default `immediate`.
   */
  sensitiveChanges?: 'immediate' | 'confirm'
  /** Makes all of the options below as FastAPI Users is, its password hashing and policy too. */
  compatibility?: 'fastapi-users'
  /**
   * Which error handler replies to the errors of our routes: ours, or the one that the application gave to
   * `setErrorHandler`
   * (`plugin`). Errors of other plugins that have a status always reach the application's.
   */
  errorHandler?: 'plugin' | 'application'
  /** Tells the API document of the application's own guarded routes too (false). */
  openapiSecurity?: boolean
  /**
   * Describes bearer backends in the API document as the password flow of OAuth 2 (RFC 6749, section 4.3), so that the
   * Authorize button of Swagger UI logs in with e-mail and password (false: a field for a token).
   */
  openapiPasswordFlow?: boolean
  /**
   * Settings above our upper limits that are accepted all the same: `longSessions`, `longTokens`, `plainCookies`,
   * `readableDatabase` (none).
   */
  allowInsecure?: readonly InsecureSetting[]
  /** The time in milliseconds since 1970 (`Date.now`). */
  clock?: Clock
}

/** Refuses to compile when `UsersRegister.user` is no user. */
export type CheckedOptions = UsersOptions & (User extends UsersRegisterMismatch ? UsersRegisterMismatch : unknown)

const KEYS: Record<Exclude<keyof UsersOptions, keyof CompatibilityOptions>, true> = {
  adapter: true,
  secret: true,
  backends: true,
  name: true,
  schemas: true,
  passwords: true,
  validatePassword: true,
  hooks: true,
  routes: true,
  requireVerification: true,
  tokens: true,
  publicUrl: true,
  trustedOrigins: true,
  revealExistingAccounts: true,
  allowIntranetEmails: true,
  sensitiveChanges: true,
  compatibility: true,
  errorHandler: true,
  openapiSecurity: true,
  openapiPasswordFlow: true,
  allowInsecure: true,
  clock: true
}
const PREFIXES: Record<RouteGroupName, string> = {
  auth: '/auth',
  register: '/auth',
  reset: '/auth',
  verify: '/auth',
  users: '/users'
}

/**
 * The options checked and complete. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`,
 * `FST_USERS_INVALID_SECRET`, `FST_USERS_DUPLICATE_BACKEND`.
 */
export function resolveOptions (
  options: UsersOptions,
  log?: FastifyBaseLogger
): { settings: Settings; secrets: readonly string[] } {
  refuseRegisterOptions(options)
  refuseUnknown('', options, [...Object.keys(KEYS), ...compatibilityKeys])
  checkAdapter(options.adapter)
  checkObject('hooks', options.hooks ?? {})
  checkBackends(options.backends)
  const name = checked(
    'name',
    options.name ?? 'users',
    isName,
    'must be a lower-case letter, then up to 31 letters, digits, - or _'
  )
  const compatibility = resolveCompatibility(name, options)
  const adopted = options.compatibility !== undefined
  const allowInsecure = readAllowInsecure(options.allowInsecure)
  const settings: Settings = {
    name,
    schemas: checked(
      'schemas',
      (options.schemas ?? userSchemas()) as UserSchemas,
      isUserSchemas,
      'must be what userSchemas() returned'
    ), // checked for what the type says
    clock: checked(
      'clock',
      options.clock ?? Date.now,
      isFunction,
      'must be a function that gives milliseconds, such as Date.now'
    ),
    passwords: checked(
      'passwords',
      options.passwords ?? argon2Passwords(adopted ? FASTAPI_USERS_PASSWORDS : {}),
      isPasswordHelper,
      'must have hash and verifyAndUpdate, as argon2Passwords() does'
    ),
    validatePassword: checked(
      'validatePassword',
      options.validatePassword ?? (adopted ? () => null : passwordPolicy()),
      isFunction,
      'must be a function, such as passwordPolicy()'
    ),
    requireVerification: flag('requireVerification', options.requireVerification, false),
    revealExistingAccounts: flag('revealExistingAccounts', options.revealExistingAccounts, true),
    allowIntranetEmails: flag('allowIntranetEmails', options.allowIntranetEmails, false),
    sensitiveChanges: checked(
      'sensitiveChanges',
      options.sensitiveChanges ?? 'immediate',
      (value) => value === 'immediate' || value === 'confirm',
      "must be 'immediate' or 'confirm'"
    ),
    publicOrigin: options.publicUrl === undefined ? null : originOf('publicUrl', options.publicUrl),
    publicUrl: options.publicUrl === undefined ? null : baseUrlOf('publicUrl', options.publicUrl),
    trustedOrigins: new Set(
      checked('trustedOrigins', options.trustedOrigins ?? [], Array.isArray, 'must be a list of origins').map(
        (origin, i) => trustedOriginOf(`trustedOrigins[${i}]`, origin)
      )
    ),
    routes: readRoutes(options.routes ?? {}, flag('requireVerification', options.requireVerification, false)),
    tokens: readTokens(compatibility.audiencePrefix, options.tokens ?? {}, allowInsecure),
    errorHandler: checked(
      'errorHandler',
      options.errorHandler ?? 'plugin',
      (value) => value === 'plugin' || value === 'application',
      "must be 'plugin' or 'application'"
    ),
    openapiSecurity: flag('openapiSecurity', options.openapiSecurity, false),
    openapiPasswordFlow: flag('openapiPasswordFlow', options.openapiPasswordFlow, false),
    tokensKeptSeconds: longestOf(options.backends),
    allowInsecure,
    ...compatibility
  }
  if (settings.endlessTokens) log?.warn('fastify-users: endlessTokens is on: sessions may live for ever')
  if (allowInsecure.size > 0) log?.warn(`fastify-users: allowInsecure accepts ${[...allowInsecure].join(', ')}`)
  return { settings, secrets: readSecrets(options.secret) }
}

/**
 * Fastify gives these options of `register` to scopes, and the plugin has none: its decorators belong to the scope of
 * the call.
 */
function refuseRegisterOptions (options: object): void {
  const given = ['prefix', 'logLevel', 'logSerializers'].find((key) => key in options)
  if (given === undefined) return
  const example = `app.register(async (scope) => { await scope.register(users, options) }, { ${given} })`
  throw FST_USERS_INVALID_OPTION([
    given,
    `belongs to a scope: ${example}. Guarded routes are then added to that scope${given === 'prefix' ? ', and the option routes changes the prefix of one group' : ''}`
  ])
}

function readSecrets (secret: UsersOptions['secret']): readonly string[] {
  const list: readonly unknown[] = Array.isArray(secret) ? secret : [secret]
  if (list.length === 0) throw FST_USERS_INVALID_OPTION(['secret', 'must not be an empty list'])
  return list.map((value, i) => checkSecret(Array.isArray(secret) ? `secret[${i}]` : 'secret', value))
}

function checkAdapter (adapter: unknown): void {
  const methods = ['define', 'open', 'create', 'findOne', 'findMany', 'update', 'delete']
  if (
    typeof adapter !== 'object' ||
    adapter === null ||
    !methods.every((method) => typeof (adapter as Record<string, unknown>)[method] === 'function')
  ) {
    throw FST_USERS_INVALID_OPTION(['adapter', "must be a database adapter, such as sqlite('app.db')"])
  }
}

function checkBackends (backends: unknown): void {
  if (!Array.isArray(backends) || backends.length === 0) {
    throw FST_USERS_INVALID_OPTION(['backends', 'must list at least one backend: { name, transport, strategy }'])
  }
  const names = new Set<string>()
  for (const backend of backends as readonly Partial<BackendOptions>[]) {
    if (typeof backend !== 'object' || backend === null) {
      throw FST_USERS_INVALID_OPTION(['backends', 'must hold objects: { name, transport, strategy }'])
    }
    refuseUnknown('backends[].', backend, ['name', 'transport', 'strategy', 'requireVerification'])
    const name = checked(
      'backends[].name',
      backend.name ?? '',
      isName,
      'must be a lower-case letter, then up to 31 letters, digits, - or _'
    )
    if (backend.transport?.kind !== 'transport') {
      throw FST_USERS_INVALID_OPTION([
        `backends["${name}"].transport`,
        'must be made by bearerTransport(), cookieTransport() or defineTransport()'
      ])
    }
    if (backend.strategy?.kind !== 'strategy') {
      throw FST_USERS_INVALID_OPTION([
        `backends["${name}"].strategy`,
        'must be made by jwtStrategy(), databaseStrategy() or defineStrategy()'
      ])
    }
    flag(`backends["${name}"].requireVerification`, backend.requireVerification, false)
    if (names.has(name)) throw FST_USERS_DUPLICATE_BACKEND([name])
    names.add(name)
  }
}

function longestOf (backends: readonly BackendOptions[]): number | null {
  const kept = backends.map(({ strategy: { keepsSeconds = 0 } }) => keepsSeconds ?? Infinity)
  const longest = Math.max(...kept)
  return longest === Infinity ? null : longest
}

function readRoutes (given: NonNullable<UsersOptions['routes']>, requireVerification: boolean): Settings['routes'] {
  refuseUnknown('routes.', given, Object.keys(PREFIXES))
  const entries = Object.entries(PREFIXES).map(([group, prefix]): [string, RouteSettings] => {
    // the other groups serve people without a session
    const verification = group === 'auth' || group === 'users' ? requireVerification : null
    return [group, readRoute(`routes.${group}`, given[group as RouteGroupName], prefix, verification)]
  })
  return Object.fromEntries(entries) as Record<RouteGroupName, RouteSettings> // one entry per key of PREFIXES
}

function readTokens (
  name: string,
  given: NonNullable<UsersOptions['tokens']>,
  allowInsecure: Settings['allowInsecure']
): Settings['tokens'] {
  refuseUnknown('tokens.', given, ['reset', 'verify'])
  const read = (purpose: 'reset' | 'verify', most: number): TokenSettings => {
    const options = given[purpose] ?? {}
    refuseUnknown(`tokens.${purpose}.`, options, ['secret', 'lifetimeSeconds', 'audience'])
    const { secret, lifetimeSeconds = 3600, audience = `${name}:${purpose}` } = options
    checked(
      `tokens.${purpose}.audience`,
      audience,
      (value) => typeof value === 'string' && value !== '',
      'must be text that is not empty'
    )
    if (!(Number.isInteger(lifetimeSeconds) && lifetimeSeconds > 0)) {
      throw FST_USERS_INVALID_OPTION([`tokens.${purpose}.lifetimeSeconds`, 'must be a whole number of seconds above 0'])
    }
    checkSeconds(`tokens.${purpose}.lifetimeSeconds`, lifetimeSeconds, most, { allowInsecure }, 'longTokens')
    const own = secret === undefined ? null : checkSecret(`tokens.${purpose}.secret`, secret)
    return { secret: own === null ? null : () => own, lifetimeSeconds, audience }
  }
  return { reset: read('reset', MAX_RESET_SECONDS), verify: read('verify', MAX_VERIFY_SECONDS) }
}

function isPasswordHelper ({ hash, verifyAndUpdate }: PasswordHelper): boolean {
  return isFunction(hash) && isFunction(verifyAndUpdate)
}

function isUserSchemas (schemas: UserSchemas): boolean {
  return ['UserRead', 'UserCreate', 'UserUpdate', 'id', 'fields'].every((key) => key in schemas)
}
