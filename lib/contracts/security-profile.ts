import type { JwtAlgorithm } from './keys.js'
import type { CaptchaOptions } from './captcha.js'
import type { AccountRule, Limit } from './limits.js'
import type { PasswordHashDescription } from './password-helper.js'
import type { PasswordPolicyDescription } from './password-policy.js'
import type { InsecureSetting, JwksSettings, RouteGroupName } from './settings.js'

/** The effective security settings of one registration, without secrets. */
export interface SecurityProfile {
  /** Name of the tenant. */
  readonly tenant: string
  readonly secrets: SecretsProfile
  /** The backends in the order in which they are tried. */
  readonly backends: readonly BackendProfile[]
  /** The route with the public keys; null if it is off or no backend has public keys. */
  readonly jwks: JwksSettings | null
  /** The tokens that are sent by mail. */
  readonly tokens: Readonly<Record<'reset' | 'verify', MailedTokenProfile>>
  /** Hashing of new passwords; null if the password helper does not describe it. */
  readonly passwords: PasswordHashDescription | null
  /** The rules for new passwords; null if the function `validatePassword` does not describe them. */
  readonly passwordPolicy: PasswordPolicyDescription | null
  /** The limits of attempts and mails; null if they are off. */
  readonly limits: LimitsProfile | null
  /** The sender of mails: a function of the application, the console during development, or null for hooks only. */
  readonly mail: 'function' | 'console' | null
  /** The captcha; null if there is none. */
  readonly captcha: CaptchaProfile | null
  /** The route groups, and whether they are on. */
  readonly routes: Readonly<Record<RouteGroupName, boolean>>
  /** The option `publicUrl`, or null. */
  readonly publicUrl: string | null
  readonly trustedOrigins: readonly string[]
  readonly requireVerification: boolean
  readonly revealExistingAccounts: boolean
  readonly sensitiveChanges: 'immediate' | 'confirm'
  /** Seconds for which an authentication suffices for sensitive changes. */
  readonly reauthenticationSeconds: number
  readonly allowIntranetEmails: boolean
  readonly errorHandler: 'plugin' | 'application'
  /** Seconds for which the user cache keeps rows; null if it is off. */
  readonly cacheSeconds: number | null
  /** Form of stored tokens: SHA-256 digests, or plain text as in FastAPI Users. */
  readonly storedTokens: 'digest' | 'plain'
  /** Sessions may have no end. */
  readonly endlessTokens: boolean
  readonly allowInsecure: readonly InsecureSetting[]
  /** Names of the features, and of the login steps that they add. */
  readonly features: readonly string[]
  readonly loginSteps: readonly string[]
}

/** The effective limits. */
export interface LimitsProfile {
  /** Place of the counters. */
  readonly store: 'database' | 'memory' | 'other'
  readonly whenUnavailable: 'refuse' | 'memory'
  /** Limits per client by kind. Kinds without limits have an empty list. */
  readonly client: Readonly<Record<string, readonly Limit[]>>
  readonly account: AccountRule
  readonly mail: { readonly recipient: readonly Limit[]; readonly all: readonly Limit[] }
}

/** The settings of the captcha. */
export interface CaptchaProfile {
  /** Name of the provider, such as `turnstile`. */
  readonly provider: string
  /** Kinds of attempts that need a captcha. */
  readonly kinds: readonly string[]
  /** A function of the application can let attempts pass without a captcha. */
  readonly isConditional: boolean
  readonly ifUnavailable: NonNullable<CaptchaOptions['ifUnavailable']>
}

/** The secrets of the option `secret`. */
export interface SecretsProfile {
  readonly count: number
  /** The purposes of the keys that are derived from the secrets. */
  readonly uses: readonly SecretUse[]
}

/** One purpose of keys that are derived from the secrets. */
export interface SecretUse {
  readonly purpose: string
  /** Longest lifetime of what the keys protect, in seconds; null for no end; absent if it is not known. */
  readonly lifetimeSeconds?: number | null
}

/** The settings of a backend. */
export interface BackendProfile {
  readonly name: string
  /** Names of the transport and the strategy, such as `bearer` and `jwt`. */
  readonly transport: string
  readonly strategy: string
  /** Lifetime of a session in seconds; null for no end; absent if the strategy does not describe it. */
  readonly lifetimeSeconds?: number | null
  /** A logout ends the session: its token is refused from then on. */
  readonly revocable: boolean
  /** Keys of signed tokens. The first one signs, all of them verify. */
  readonly keys: readonly KeyProfile[]
  /** Attributes of the session cookie; null for a backend without cookies. */
  readonly cookie: CookieProfile | null
  /** Login and logout require a verified e-mail. */
  readonly requireVerification: boolean
}

/** A key of signed tokens. */
export interface KeyProfile {
  readonly kid: string | null
  readonly algorithm: JwtAlgorithm
  /** The key has a private part or is a shared secret. */
  readonly canSign: boolean
  /** The public key is part of the JWKS route. */
  readonly isPublic: boolean
}

/** The session cookie of a backend. */
export interface CookieProfile {
  readonly name: string | null
  readonly secure: boolean
  readonly sameSite: 'lax' | 'strict' | 'none'
  readonly partitioned: boolean
}

/** A kind of tokens that are sent by mail. */
export interface MailedTokenProfile {
  readonly lifetimeSeconds: number
  /** The tokens are signed with a secret of their own. */
  readonly hasOwnSecret: boolean
}
