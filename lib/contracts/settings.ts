import type { AuditEmails } from './audit.js'
import type { CaptchaSettings } from './captcha.js'
import type { ErrorRegistry } from './errors.js'
import type { LimitSettings } from './limits.js'
import type { PasswordHelper } from './password-helper.js'
import type { ValidatePassword } from './password-policy.js'
import type { CacheChannel } from './user-cache.js'
import type { WireFormat } from './wire-format.js'
import type { SecondFactorSettings } from './second-factors.js'
import type { UserSchemas } from '../../schemas/index.js'

/** Returns the current time in milliseconds since 1970. */
export type Clock = () => number

/** Names of the route groups. */
export type RouteGroupName = 'auth' | 'register' | 'reset' | 'verify' | 'users'

/** The prefix of a group of routes, and whether the group is registered. */
export interface RouteSettings {
  enabled: boolean
  prefix: string
  requireVerification: boolean
}

/** Settings of the reset tokens or the verify tokens. */
export interface TokenSettings {
  /**
   * Returns a separate secret, used without derivation; null for keys that are derived from the plugin's secrets. It is
   * a function so that it does not appear in logs.
   */
  secret: (() => string) | null
  lifetimeSeconds: number
  audience: string
}

/** Settings of a token that is stored as a digest. */
export interface StoredTokenSettings {
  lifetimeSeconds: number
}

/** Settings of all mailed tokens. */
export interface MailedTokenSettings extends Record<'reset' | 'verify', TokenSettings> {
  /** Tokens that complete a registration by mail. */
  register: StoredTokenSettings
  /** Tokens that undo an e-mail change; null if there are none. */
  undo: StoredTokenSettings | null
}

/** An insecure setting that the option `allowInsecure` can permit. */
export type InsecureSetting = 'longSessions' | 'longTokens' | 'plainCookies' | 'readableDatabase'

/** The checked options of one registration of the plugin, with all defaults. They never change. */
export interface Settings {
  readonly name: string
  readonly schemas: UserSchemas
  readonly clock: Clock
  /** The errors of the plugin and its features. */
  readonly errors: ErrorRegistry
  /** Names of the login steps of all features. */
  readonly loginSteps: readonly string[]
  readonly passwords: PasswordHelper
  readonly validatePassword: ValidatePassword
  readonly requireVerification: boolean
  readonly revealExistingAccounts: boolean
  /** E-mails may have domains that end in `.local` or `.home.arpa`. */
  readonly allowIntranetEmails: boolean
  readonly sensitiveChanges: 'immediate' | 'confirm'
  /** When a session is fresh enough for sensitive changes. */
  readonly reauthentication: { readonly maxAgeSeconds: number }
  /** Origin of `publicUrl`, or null. */
  readonly publicOrigin: string | null
  /** `publicUrl` with its path, without a trailing `/`, or null. */
  readonly publicUrl: string | null
  readonly trustedOrigins: ReadonlySet<string>
  readonly routes: Readonly<Record<RouteGroupName, RouteSettings>>
  /** The JWKS route; null if it is off. */
  readonly jwks: JwksSettings | null
  readonly tokens: Readonly<MailedTokenSettings>
  /** Way of registration: with a password, or with a link that is mailed first. */
  readonly registration: 'password' | 'mail'
  /** Returns true if users can ask for a longer session when they log in at this backend. */
  readonly rememberMe: (backend: string) => boolean
  /** Logins from devices that a user has not used before fire `onNewDevice`. */
  readonly detectNewDevices: boolean
  /** The form of replies, tokens and stored values. */
  readonly wire: WireFormat
  /** The error handler that replies to errors of the plugin's routes. */
  readonly errorHandler: 'plugin' | 'application'
  /** The OpenAPI document lists the security requirements of the application's guarded routes. */
  readonly openapiSecurity: boolean
  /** The OpenAPI document describes bearer backends as the OAuth 2 password flow. */
  readonly openapiPasswordFlow: boolean
  /** Seconds after which stored tokens may be deleted; null for never. All backends share one table. */
  readonly tokensKeptSeconds: number | null
  /** Insecure settings that the application permits. */
  readonly allowInsecure: ReadonlySet<InsecureSetting>
  /** The captcha; null if there is none. */
  readonly captcha: CaptchaSettings | null
  /** Rules for second factors. */
  readonly secondFactors: SecondFactorSettings
  /** Limits of attempts and mails; null if they are off. */
  readonly limits: LimitSettings | null
  /** The user cache; null if it is off. */
  readonly cache: CacheSettings | null
  /** Form of e-mails in audit events. */
  readonly auditEmails: AuditEmails
}

/** Settings of the route with the public keys. */
export interface JwksSettings {
  readonly path: string
  readonly maxAgeSeconds: number
}

/** Settings of the user cache. */
export interface CacheSettings {
  readonly maxAgeMs: number
  readonly max: number
  readonly channel: CacheChannel | null
}
