import type { CallContext, MaybePromise, User, UserId, UserRow } from '../../feature/index.js'
import type { LinkedAccount } from './events.js'

/** Endpoints of a provider, named as in RFC 8414, section 2. */
export interface ProviderEndpoints {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  userinfo_endpoint?: string
  revocation_endpoint?: string
  jwks_uri?: string
  /** The authorization response contains `iss` (RFC 9207). */
  authorization_response_iss_parameter_supported?: boolean
}

/** Second argument of the option `fetch`: a subset of the options of the global `fetch`. The URL has been checked. */
export interface ProviderFetchInit {
  method: string
  headers: Record<string, string>
  body?: string
  /** Redirects must not be followed: they could lead to a private network. */
  redirect: 'manual'
  /** Aborts when `timeoutMs` has passed. */
  signal: AbortSignal
}

/** Result of the option `fetch`: the properties that are read. A `Response` has them. */
export interface ProviderFetchResponse {
  status: number
  redirected?: boolean
  headers: { get(name: string): string | null }
  body: AsyncIterable<Uint8Array> | null
}

/** Sends one request to a provider. The global `fetch` and that of undici have this type. */
export type ProviderFetch = (url: string, init: ProviderFetchInit) => Promise<ProviderFetchResponse>

/** Calls to the provider with a user's access token. Time and size are limited, and redirects are not followed. */
export interface ProviderApi {
  readonly accessToken: string
  /** Claims of the validated id_token (OpenID Connect Core 1.0, section 2); null without one. */
  readonly claims: Readonly<Record<string, unknown>> | null
  /**
   * Returns the JSON body of a provider's URL. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`,
   * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
   */
  fetchJson(
    url: string,
    init?: { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: URLSearchParams }
  ): Promise<unknown>
  /**
   * Returns the claims of the userinfo endpoint. Their `sub` equals that of the id_token (OpenID Connect Core 1.0,
   * section 5.3).
   */
  userInfo(): Promise<Record<string, unknown>>
}

/** A person's profile as the provider returns it, not yet validated. */
export interface ProviderProfile {
  /** Stable id: a text, or a whole number, which is stored as text. Anything else is refused. */
  id: unknown
  /** E-mail, or null if the provider returns none. */
  email: unknown
  /** True only if the provider itself states that exactly this e-mail is verified. */
  emailVerified: boolean
  /** The provider's response, for `mapProfile`. */
  raw: Readonly<Record<string, unknown>>
}

/** An OAuth 2 or OpenID Connect provider with the credentials of a client. */
export interface Provider {
  readonly kind: 'provider'
  /** Stored with each account (`oauth_name`) and part of the paths: lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /** Text for a login button. */
  readonly title: string
  readonly clientId: string
  /**
   * Returns the client secret for an exchange (Apple's is a JWT signed for each exchange); null for a public client. It
   * is a function so that the secret is not printed with the provider.
   */
  readonly clientSecret: (() => MaybePromise<string>) | null
  readonly clientAuthentication: 'client_secret_post' | 'client_secret_basic' | 'none'
  /** Default scopes. A request may select some of these, but no others. */
  readonly scopes: readonly string[]
  /** Known endpoints, or the issuer whose discovery document lists them (OpenID Connect Discovery 1.0, section 4). */
  readonly server: ProviderEndpoints | { readonly discover: string }
  /** Former issuers whose accounts are accepted: the same server under another URL, with the same subjects. */
  readonly formerIssuers?: readonly string[]
  /** The token response must contain an id_token, which is always validated. */
  readonly idToken: boolean
  /** Additional parameters of the authorization request. */
  readonly authorizationParameters?: Readonly<Record<string, string>>
  /** `form_post`: the provider posts its response to the callback. */
  readonly responseMode?: 'query' | 'form_post'
  /** False disables PKCE for a provider that refuses it. Default: S256 (RFC 7636). */
  readonly pkce?: false
  /** The provider's statement that an e-mail is verified is accepted for linking and for `isVerifiedByDefault`. */
  readonly trustEmail: boolean
  profile(api: ProviderApi): Promise<ProviderProfile>
  /** Ends the grant at a provider without a revocation endpoint (RFC 7009). */
  revoke?(api: ProviderApi): Promise<void>
}

/** Tokens issued by a provider. */
export interface ProviderTokens {
  accessToken: string
  refreshToken: string | null
  /** Time of expiry in seconds since 1970; null if the provider sends none. */
  expiresAt: number | null
}

/** A validated provider account, as the rules about accounts use it. */
export interface Identity {
  provider: Provider
  accountId: string
  email: string | null
  /** The provider is trusted and states that the e-mail is verified. */
  emailVerified: boolean
  profile: Readonly<Record<string, unknown>>
  tokens: ProviderTokens
}

/** A linked account without the provider's tokens. */
export type OauthAccount = LinkedAccount

/** Returns custom fields of a new user from the provider's profile. Flags, e-mail and id in the result are ignored. */
export type MapProfile = (
  profile: Identity['profile'],
  identity: Identity
) => MaybePromise<Readonly<Record<string, unknown>> | null | undefined>

/** The validated options about accounts. */
export interface AccountSettings {
  /** Links an account with a verified e-mail to the verified user who has the same e-mail. */
  readonly associateByEmail: boolean
  /**
   * With `associateByEmail`: hands a user with an unverified e-mail over to the person who proved it. The password, the
   * sessions and the accounts that do not vouch for the e-mail are removed.
   */
  readonly reclaimUnverified: boolean
  /** Login requires a verified e-mail. */
  readonly requireVerification?: boolean
  /** Marks new users as verified if a trusted provider states that their e-mail is verified. */
  readonly isVerifiedByDefault: boolean
  readonly mapProfile: MapProfile | null
  /**
   * Secrets that encrypt providers' tokens: the first encrypts, all decrypt. If the list is empty, tokens are not
   * stored, or are stored unencrypted with `tokenStorage: 'plain'`.
   */
  readonly encryptionKeys: readonly string[]
}

/** The rules about provider accounts, independent of HTTP. */
export interface OauthAccounts {
  /** Returns the user of an identity: the linked one, one that is linked by e-mail, or a new one. */
  resolve(identity: Identity, context: CallContext): Promise<UserRow>
  /** Undoes a refused first login: deletes the user that `resolve` returned, if `resolve` created it. */
  withdraw(row: UserRow, context: CallContext): Promise<void>
  /**
   * Links an account to a user. If the user is a row, its sessions must not have been revoked since it was read. Throws
   * `FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED` if another user has the account, `FST_USERS_UNAUTHENTICATED`.
   */
  link(user: UserId | UserRow, identity: Identity, context: CallContext): Promise<User>
  list(userId: UserId): Promise<OauthAccount[]>
  /**
   * Unlinks an account and ends the grant at the provider if its tokens are stored. If the user is a row, its sessions
   * must not have been revoked since it was read. Throws `FST_USERS_OAUTH_LAST_LOGIN_METHOD`,
   * `FST_USERS_OAUTH_ACCOUNT_NOT_FOUND`, `FST_USERS_UNAUTHENTICATED`.
   */
  unlink(user: UserId | UserRow, accountId: OauthAccount['id'], context: CallContext): Promise<void>
  /** Returns the provider's tokens of an account, refreshed if they have expired; null if none are stored. */
  tokens(userId: UserId, provider: string): Promise<ProviderTokens | null>
}

/** The calls to a provider that the rules about accounts need. */
export interface ProviderClient {
  readonly provider: Provider
  refresh(refreshToken: string): Promise<ProviderTokens>
  revoke(tokens: ProviderTokens): Promise<void>
}

/** The functions for application code: `app.users.feature('oauth')`. */
export type OauthApi = Pick<OauthAccounts, 'list' | 'unlink' | 'tokens'>
