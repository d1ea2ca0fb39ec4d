import type { AnyUserSchemas } from '../schemas/index.js'
import type { AuditOptions } from './contracts/audit.js'
import type { BackendOptions } from './contracts/backend.js'
import type { CaptchaOptions } from './contracts/captcha.js'
import type { DatabaseAdapter } from './contracts/database-adapter.js'
import type { UsersHooks } from './contracts/events.js'
import type { Feature } from './contracts/feature.js'
import type { MailOptions } from './contracts/mail.js'
import type { LimitsOptions } from './contracts/limits.js'
import type { PasswordHelper } from './contracts/password-helper.js'
import type { ValidatePassword } from './contracts/password-policy.js'
import type { Clock, InsecureSetting, RouteGroupName } from './contracts/settings.js'
import type { SecondFactorOptions } from './contracts/second-factors.js'
import type { UserCacheOptions } from './contracts/user-cache.js'
import type { User, UsersRegisterMismatch } from './contracts/user.js'
import type { RouteGroupOptions } from './shared/option-checks.js'
import type { CompatibilityOptions } from './wire/index.js'

/** Options of the reset token or the verify token, both of which are sent by mail. */
export interface TokenOptions {
  /** Secret that signs only these tokens. Default: a key derived from the plugin's `secret`. */
  secret?: string
  /**
   * Lifetime in seconds. Default 3600. At most one day for reset and seven days for verify, unless `allowInsecure`
   * contains `longTokens`.
   */
  lifetimeSeconds?: number
  /** The token's `aud` claim. Default `<name>:reset` or `<name>:verify`. */
  audience?: string
}

/** Options of the route with the public keys of the backends (RFC 7517). It exists if a backend has such keys. */
export interface JwksOptions {
  /** Path of the route. Default `/.well-known/jwks.json`. */
  path?: string
  /** Seconds for which clients may cache the keys, from 1 to 86,400. Default 300. */
  maxAgeSeconds?: number
}

/** Options of a mailed token that is stored as a digest and used once. */
export interface StoredTokenOptions {
  /** Lifetime in seconds. */
  lifetimeSeconds?: number
}

/** Options of the tokens that are sent by mail. */
export interface MailedTokenOptions extends Partial<Record<'reset' | 'verify', TokenOptions>> {
  /**
   * The token that completes a registration by mail. Lifetime: 3600 seconds by default, at most one day unless
   * `allowInsecure` contains `longTokens`.
   */
  register?: StoredTokenOptions
  /**
   * The token that undoes an e-mail change. Lifetime: seven days by default, at most 30. Default: on if the option
   * `mail` is set. An object switches it on, `false` off.
   */
  undo?: false | StoredTokenOptions
}

/** Options of reauthentication. */
export interface ReauthenticationOptions {
  /** Seconds for which an authentication suffices for sensitive changes, from 1 to 3600. Default 300. */
  maxAgeSeconds?: number
}

/** Options of the plugin. An unknown key stops the start. */
export interface UsersOptions {
  /** Database that stores the users: `sqlite(…)`, `postgres(…)`, `memory()` or your own adapter. */
  adapter: DatabaseAdapter
  /** At least 32 random bytes. In a list, the first secret signs and all of them verify. */
  secret: string | readonly string[]
  /** Authentication backends, tried in order. The first one that identifies the user is used. */
  backends: readonly BackendOptions[]
  /** Features, which start in this order after the backends. Default: none. */
  features?: readonly Feature[]
  /**
   * Name of the tenant. Default `users`. The tables and Redis keys of a tenant with any other name begin with that
   * name.
   */
  name?: string
  /** Custom fields and the kind of user ids, as returned by `userSchemas()`. Default `userSchemas()`. */
  schemas?: AnyUserSchemas
  /** Password hashing. Default `argon2Passwords()`, which is argon2id with OWASP's parameters. */
  passwords?: PasswordHelper
  /**
   * Password policy. Returns or throws the reasons why a password is refused. Default `passwordPolicy()`: at least 8
   * characters, not the user's e-mail or name, not a common password.
   */
  validatePassword?: ValidatePassword
  /** One listener per event. `app.users.addHook` adds more. */
  hooks?: UsersHooks
  /**
   * Mails with links and notices: how they are sent, and their texts. `'console'` logs them and shows them at
   * `/dev/mail`; it is refused if `NODE_ENV` is `production`. Default: no mails, your hooks send them.
   */
  mail?: MailOptions | 'console'
  /**
   * Route groups. `false` switches a group off, `{ prefix }` moves it. The groups `auth` and `users` also take
   * `requireVerification`. `jwks` is the route with the public keys of the backends. Default: all groups are on.
   */
  routes?: Partial<
    Record<Exclude<RouteGroupName, 'auth' | 'users'>, false | { prefix: string }> &
      Record<'auth' | 'users', false | RouteGroupOptions> &
      Record<'jwks', false | JwksOptions>
  >
  /**
   * Login, logout and the routes of `/users` require a verified e-mail. A backend or a route group can override it.
   * Default false.
   */
  requireVerification?: boolean
  /** Options of the tokens that are sent by mail. */
  tokens?: MailedTokenOptions
  /**
   * How users register. With `password`, the registration has an e-mail and a password, and creates the user. With
   * `mail`, it has an e-mail only, and the link in the mail sets the password and creates a verified user. Default
   * `password`.
   */
  registration?: 'password' | 'mail'
  /**
   * Fires `onNewDevice` after a login from a device that the user has not used before. Default: true if the option
   * `mail` is set, otherwise false.
   */
  detectNewDevices?: boolean
  /**
   * URL under which browsers reach the application. The cross-site check accepts its origin. Default none: the check
   * compares the origin with the host of the request.
   */
  publicUrl?: string
  /** Other origins that may send requests with the cookies of this application. Default none. */
  trustedOrigins?: readonly string[]
  /**
   * Registration and e-mail changes reveal that an e-mail has an account. Default: true, or false with `registration:
   * 'mail'`. With false, all public replies are the same: registration replies 202, a password login and a new e-mail
   * require a verified e-mail, and a first login through a provider requires that the provider vouches for the e-mail.
   */
  revealExistingAccounts?: boolean
  /**
   * Users may register and change to e-mails under `.local` (RFC 6762) and `.home.arpa` (RFC 8375), the domains of
   * private networks. Default false.
   */
  allowIntranetEmails?: boolean
  /**
   * Requirements for sensitive changes: of password, e-mail, second factors, passkeys, linked accounts and API keys.
   * With `immediate`, a session is enough, and a change takes effect at once; only users with a second factor must
   * verify a new e-mail first. With `confirm`, the user must have authenticated recently, with a second factor if the
   * user has one, or send the current password; a new password always needs the current one, and a new e-mail takes
   * effect after its owner verified it. Default: `confirm`, or `immediate` with `compatibility: 'fastapi-users'`.
   */
  sensitiveChanges?: 'immediate' | 'confirm'
  /** When users must authenticate again before sensitive changes. */
  reauthentication?: ReauthenticationOptions
  /**
   * Replies, tokens and stored values of FastAPI Users: all of them, together with its password hashing and without a
   * password policy (`fastapi-users`), or single ones. Default none.
   */
  compatibility?: 'fastapi-users' | CompatibilityOptions
  /**
   * Error handler that replies to the errors of the plugin's routes: `plugin`, or `application` for the one that you
   * passed to `setErrorHandler`. Errors of other plugins that have a status always reach yours. Default `plugin`.
   */
  errorHandler?: 'plugin' | 'application'
  /** Adds security requirements to the application's own guarded routes in the API document. Default false. */
  openapiSecurity?: boolean
  /**
   * Describes bearer backends in the API document as the password flow of OAuth 2 (RFC 6749, section 4.3), so that the
   * Authorize button of Swagger UI logs in with e-mail and password. Default false: Swagger UI shows a field for a
   * token.
   */
  openapiPasswordFlow?: boolean
  /**
   * Settings that are accepted although they exceed an upper limit: `longSessions`, `longTokens`, `plainCookies`,
   * `readableDatabase`. Default none.
   */
  allowInsecure?: readonly InsecureSetting[]
  /**
   * Guarded requests use the rows of users and sessions from memory for a short time instead of reading them. Changes
   * through the plugin apply at once in this process, and through `channel` in others. Default: off.
   */
  cache?: UserCacheOptions
  /**
   * Users who must present a second factor, and trusted devices. Features such as `totp()` store the factors. Default:
   * the users who have one.
   */
  secondFactors?: SecondFactorOptions
  /** A captcha for some kinds of attempts. It is checked after the limits and before any work. Default: none. */
  captcha?: CaptchaOptions
  /**
   * Limits of attempts per client and per account, and of mails. Default: on, with counters in the database. `false`
   * switches them off: the application then must limit them itself.
   */
  limits?: false | LimitsOptions
  /** Settings of audit events. Default: e-mails are masked. */
  audit?: AuditOptions
  /** Returns the time in milliseconds since 1970. Default `Date.now`. */
  clock?: Clock
}

/** Plugin options that do not compile when `UsersRegister.user` lacks a field of `BaseUser`. */
export type CheckedOptions = UsersOptions & (User extends UsersRegisterMismatch ? UsersRegisterMismatch : unknown)
