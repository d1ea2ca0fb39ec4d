import type { MaybePromise } from './database-adapter.js'
import type { PasswordHelper } from './password-helper.js'
import type { User } from './user.js'
import type { UserSchemas } from '../../schemas/index.js'

/** Milliseconds since 1970. */
export type Clock = () => number

/** Names of the route groups. */
export type RouteGroupName = 'auth' | 'register' | 'reset' | 'verify' | 'users'

/** Where the routes of one group are, and whether there are any. */
export interface RouteSettings {
  enabled: boolean
  prefix: string
  requireVerification: boolean
}

/** How the tokens of one purpose, reset or verify, are signed. */
export interface TokenSettings {
  /**
   * Gives a secret of its own, used as it is; null for keys made from the plugin's secrets. A function is not printed.
   */
  secret: (() => string) | null
  lifetimeSeconds: number
  audience: string
}

/**
 * The password policy: gives the reason as text, or throws `FST_USERS_INVALID_PASSWORD(reason)`, to refuse. `user` is
 * the
 * stored user, or what was sent to register.
 */
export type ValidatePassword = (
  password: string,
  user: User | { email: string }
) => MaybePromise<string | null | undefined | void>

/** A setting above our upper limits that `allowInsecure` accepts. */
export type InsecureSetting = 'longSessions' | 'longTokens' | 'plainCookies' | 'readableDatabase'

/** The options of one registration, checked and complete. Made once; nothing changes it. */
export interface Settings {
  readonly name: string
  readonly schemas: UserSchemas
  readonly clock: Clock
  readonly passwords: PasswordHelper
  readonly validatePassword: ValidatePassword
  readonly requireVerification: boolean
  readonly revealExistingAccounts: boolean
  /** Names under `.local` and `.home.arpa` may be domains of e-mails. */
  readonly allowIntranetEmails: boolean
  readonly sensitiveChanges: 'immediate' | 'confirm'
  /** Origin of `publicUrl`, or null. */
  readonly publicOrigin: string | null
  /** `publicUrl` with its path, without `/` at the end, or null. */
  readonly publicUrl: string | null
  readonly trustedOrigins: ReadonlySet<string>
  readonly routes: Readonly<Record<RouteGroupName, RouteSettings>>
  readonly tokens: Readonly<Record<'reset' | 'verify', TokenSettings>>
  /** First part of the audiences of tokens: `<prefix>:auth`, `<prefix>:reset`, `<prefix>:verify`. */
  readonly audiencePrefix: string
  /** Form of error replies: Fastify's with `detail`, or FastAPI's `{ detail }` with 422. */
  readonly errorStyle: 'fastify' | 'fastapi'
  /** Replies without content that are not 204 have the body `null`. */
  readonly nullBodies: boolean
  /** 401 replies carry `WWW-Authenticate`. */
  readonly wwwAuthenticate: boolean
  /** Tokens must carry our own claims (`iat`, `jti`, the stamp). */
  readonly requireStamp: boolean
  readonly tokenStorage: 'digest' | 'plain'
  /** Passwords are brought into Unicode NFC before hashing. */
  readonly normalizePasswords: boolean
  /** Signed tokens carry `iat`. */
  readonly issuedAt: boolean
  /** Form of a reset token's fingerprint. */
  readonly fingerprint: 'keyed' | 'argon2'
  /** Cookie name where the transport sets none; null for the `__Host-` form. */
  readonly cookieName: string | null
  /** What two cookies of one name mean. */
  readonly duplicateCookies: 'refuse' | 'last'
  readonly operationIds: 'fastify' | 'fastapi'
  /** Which error handler replies to the errors of our routes. */
  readonly errorHandler: 'plugin' | 'application'
  /** Guarded routes of the application are part of the API document's security. */
  readonly openapiSecurity: boolean
  /** The API document describes bearer backends as the password flow of OAuth 2. */
  readonly openapiPasswordFlow: boolean
  /** Seconds after which no backend wants a token of the database any more; null for never: they share one table. */
  readonly tokensKeptSeconds: number | null
  /** `lifetimeSeconds: null` is allowed. */
  readonly endlessTokens: boolean
  /** Settings above our upper limits that the application accepts. */
  readonly allowInsecure: ReadonlySet<InsecureSetting>
}
