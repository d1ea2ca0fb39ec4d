import type { MaybePromise } from '../../contracts/database-adapter.js'
import type { LinkedAccount } from '../../contracts/events.js'
import type { CallContext } from '../../contracts/users-api.js'
import type { User, UserId, UserRow } from '../../contracts/user.js'

/** Where a provider is reached: names of RFC 8414, section 2. */
export interface ProviderEndpoints {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  userinfo_endpoint?: string
  revocation_endpoint?: string
  jwks_uri?: string
  /** The authorization response carries `iss` (RFC 9207). */
  authorization_response_iss_parameter_supported?: boolean
}

/**
 * What the option `fetch` is called with: a URL that was checked, and a subset of the options of the global `fetch`.
 */
export interface ProviderFetchInit {
  method: string
  headers: Record<string, string>
  body?: string
  /** Redirects are not followed: they could lead to a private network. */
  redirect: 'manual'
  /** Aborts when `timeoutMs` has passed. */
  signal: AbortSignal
}

/** What the option `fetch` returns, as far as it is read. A `Response` fits. */
export interface ProviderFetchResponse {
  status: number
  redirected?: boolean
  headers: { get(name: string): string | null }
  body: AsyncIterable<Uint8Array> | null
}

/** Sends one request to a provider. The global `fetch` and that of undici fit. */
export type ProviderFetch = (url: string, init: ProviderFetchInit) => Promise<ProviderFetchResponse>

/** Calls to the provider with a user's access token: bounded in time and size, without redirects. */
export interface ProviderApi {
  readonly accessToken: string
  /** Claims of the checked id_token (OpenID Connect Core 1.0, section 2); null without one. */
  readonly claims: Readonly<Record<string, unknown>> | null
  /**
   * JSON from an address of the provider's. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`,
   * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
   */
  fetchJson(
    url: string,
    init?: { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: URLSearchParams }
  ): Promise<unknown>
  /**
   * Claims of the userinfo endpoint, whose `sub` equals that of the id_token (OpenID Connect Core 1.0, section 5.3).
   */
  userInfo(): Promise<Record<string, unknown>>
}

/**
 * Who somebody is at a provider, as its answer says. The engine refuses an id that is neither text nor a whole number.
 */
export interface ProviderProfile {
  /** The stable id; numbers are written as text. */
  id: unknown
  /** The address, or null when the provider gives none. */
  email: unknown
  /** True only when the provider itself says so of this very address. */
  emailVerified: boolean
  /** The answer, for `mapProfile`. */
  raw: Readonly<Record<string, unknown>>
}

/** One provider of identities, as a value; one small file makes one. */
export interface Provider {
  readonly kind: 'provider'
  /** Stored with each account (`oauth_name`) and part of the paths: lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /** For a login button. */
  readonly title: string
  readonly clientId: string
  /**
   * Gives the secret for an exchange (Apple's is a token signed for it); null for a public client. A function is not
   * printed.
   */
  readonly clientSecret: (() => MaybePromise<string>) | null
  readonly clientAuthentication: 'client_secret_post' | 'client_secret_basic' | 'none'
  /** Asked for when a request names none; a request may name some of these, no others. */
  readonly scopes: readonly string[]
  /** Known endpoints, or the issuer whose discovery document lists them (OpenID Connect Discovery 1.0, section 4). */
  readonly server: ProviderEndpoints | { readonly discover: string }
  /**
   * Former issuers whose accounts are this provider's too: the same server under another URL, with the same subjects.
   */
  readonly formerIssuers?: readonly string[]
  /** Whether the token answer must hold an id_token, which is always checked. */
  readonly idToken: boolean
  /** Further parameters of the authorization request. */
  readonly authorizationParameters?: Readonly<Record<string, string>>
  /** `form_post`: the provider posts to the callback. */
  readonly responseMode?: 'query' | 'form_post'
  /** False switches PKCE off for a provider that refuses it (default: S256, RFC 7636). */
  readonly pkce?: false
  /** Whether its word on an address counts for linking and for `isVerifiedByDefault`. */
  readonly trustEmail: boolean
  profile(api: ProviderApi): Promise<ProviderProfile>
  /** Ends the provider's grant, where there is no standard endpoint (RFC 7009). */
  revoke?(api: ProviderApi): Promise<void>
}

/** Tokens that a provider gave. */
export interface ProviderTokens {
  accessToken: string
  refreshToken: string | null
  /** Epoch seconds; null when the provider does not say. */
  expiresAt: number | null
}

/** Somebody whom a provider vouches for: checked, and in our terms. */
export interface Identity {
  provider: Provider
  accountId: string
  email: string | null
  /** The provider says so, and is trusted to. */
  emailVerified: boolean
  profile: Readonly<Record<string, unknown>>
  tokens: ProviderTokens
}

/** A linked account without the provider's tokens. */
export type OauthAccount = LinkedAccount

/**
 * Makes custom fields of a new user from the provider's answer. Flags, address and id in what it gives do not count.
 */
export type MapProfile = (
  profile: Identity['profile'],
  identity: Identity
) => MaybePromise<Readonly<Record<string, unknown>> | null | undefined>

/** The options of the rules about accounts, checked. */
export interface AccountSettings {
  /** An account whose proven address is that of a verified user is linked to that user. */
  readonly associateByEmail: boolean
  /** With `associateByEmail`: a user who never proved the address loses password, sessions and accounts to who did. */
  readonly reclaimUnverified: boolean
  /** Logins need a verified e-mail. */
  readonly requireVerification?: boolean
  /** A new user with a proven address counts as verified. */
  readonly isVerifiedByDefault: boolean
  readonly mapProfile: MapProfile | null
  /**
   * Secrets that providers' tokens are encrypted with: the first encrypts, all decrypt. Without any, tokens are not
   * stored, or are with `tokenStorage: 'plain'` as they are.
   */
  readonly encryptionKeys: readonly string[]
}

/** The rules about accounts: no HTTP. */
export interface OauthAccounts {
  /** The user of an identity: known, linked or new (contract 3.3 with security section 15). */
  resolve(identity: Identity, context: CallContext): Promise<UserRow>
  /** Undoes a refused first login: removes the user that `resolve` returned, if `resolve` stored it. */
  withdraw(row: UserRow, context: CallContext): Promise<void>
  /**
   * Adds an account to a user; of a row only as long as no session of it ended. Throws
   * `FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED` when another user has the account, `FST_USERS_UNAUTHENTICATED`.
   */
  link(user: UserId | UserRow, identity: Identity, context: CallContext): Promise<User>
  list(userId: UserId): Promise<OauthAccount[]>
  /**
   * Takes an account from a user, and ends the grant at the provider where its tokens are stored; of a row only as long
   * as no
   * session of it ended. Throws `FST_USERS_OAUTH_LAST_LOGIN_METHOD`, `FST_USERS_OAUTH_ACCOUNT_NOT_FOUND`,
   * `FST_USERS_UNAUTHENTICATED`.
   */
  unlink(user: UserId | UserRow, accountId: OauthAccount['id'], context: CallContext): Promise<void>
  /** The provider's tokens of an account, refreshed when they have ended; null where none are stored. */
  tokens(userId: UserId, provider: string): Promise<ProviderTokens | null>
}

/** What the rules ask of a provider. */
export interface ProviderClient {
  readonly provider: Provider
  refresh(refreshToken: string): Promise<ProviderTokens>
  revoke(tokens: ProviderTokens): Promise<void>
}
