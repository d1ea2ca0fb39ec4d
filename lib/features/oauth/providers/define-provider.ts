import type { MaybePromise } from '../../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import { refuseUnknown } from '../../../validation/options.js'
import type { Provider, ProviderApi, ProviderProfile } from '../contracts.js'
import { absent, address, flag, isObject, matches, optional, text, type OptionCheck } from './option-checks.js'

/** Options of every provider. Unknown ones are refused. */
export interface PublicClientOptions {
  clientId: string
  /** Left out for a public client, where the provider has such. */
  clientSecret?: string
  /** Stored with each account and part of the paths (the provider's name). Accounts of another name are not found. */
  name?: string
  /**
   * Former issuers of the accounts that are stored under this name (none). Name one only if it gave every person the
   * same
   * subject: the same server under another URL.
   */
  formerIssuers?: readonly string[]
  /** For a login button. */
  title?: string
  /** Asked for instead of the provider's own choice. */
  scopes?: readonly string[]
  /** Whether the provider's word on an e-mail address counts. */
  trustEmail?: boolean
  /** False for a provider that refuses PKCE. */
  pkce?: false
  /** Further parameters of the authorization request, such as `{ prompt: 'consent' }`. */
  authorizationParameters?: Readonly<Record<string, string>>
}

/** Options of a provider whose clients have a secret. */
export interface ProviderOptions extends PublicClientOptions {
  clientSecret: string
}

/** What a provider is, before it has a client's options. */
export interface ProviderSpec<O extends PublicClientOptions = ProviderOptions> extends Pick<
  Provider,
  'name' | 'title' | 'scopes' | 'trustEmail' | 'responseMode' | 'pkce'
> {
  server: Provider['server'] | ((options: O) => Provider['server'])
  /** (`client_secret_post`) */
  clientAuthentication?: Provider['clientAuthentication'] | ((options: O) => Provider['clientAuthentication'])
  /**
   * `optional`: clients may be public; a function makes a secret for each exchange, and there is no option
   * `clientSecret`.
   */
  clientSecret?: 'optional' | ((options: O) => () => MaybePromise<string>)
  /** Whether the token answer must hold an id_token (false). */
  idToken?: boolean
  authorizationParameters?: Provider['authorizationParameters'] | ((options: O) => Provider['authorizationParameters'])
  /** One check per option of this provider's own: it gives the reason of a refusal, or null. */
  options?: Readonly<Record<string, OptionCheck>>
  profile(api: ProviderApi, options: O): Promise<ProviderProfile>
  revoke?(api: ProviderApi, options: O): Promise<void>
}

/**
 * Parameters that are the flow's alone (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core 1.0, section 3.1.2.1).
 */
const RESERVED = new Set([
  'response_type',
  'response_mode',
  'client_id',
  'client_secret',
  'redirect_uri',
  'state',
  'scope',
  'nonce',
  'code_challenge',
  'code_challenge_method',
  'request',
  'request_uri'
])

const COMMON: Readonly<Record<string, OptionCheck>> = {
  clientId: text,
  clientSecret: text,
  name: optional(
    matches(
      /^[a-z0-9][a-z0-9_-]{0,99}$/,
      'must be a lower-case letter or a digit, then up to 99 lower-case letters, digits, - or _'
    )
  ),
  formerIssuers: optional((value) =>
    Array.isArray(value) && value.every((issuer) => address(issuer) === null)
      ? null
      : 'must be a list of issuers, such as https://old.example.com'
  ),
  title: optional(text),
  scopes: optional((value) =>
    Array.isArray(value) &&
    value.every((scope) => typeof scope === 'string' && /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(scope))
      ? null
      : 'must be a list of scopes, each without blanks'
  ),
  trustEmail: optional(flag),
  pkce: optional((value) => (value === false ? null : 'must be false, or left out')),
  authorizationParameters: optional(checkParameters)
}

/**
 * Makes the function that makes a provider from a client's options: how every provider of the package is made, and how
 * to add one. That function throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function defineProvider<O extends PublicClientOptions = ProviderOptions> (
  spec: ProviderSpec<O>
): (options: O) => Provider {
  return (options) => {
    checkOptions(spec, options)
    const {
      clientId,
      clientSecret,
      name = spec.name,
      title = spec.title,
      scopes = spec.scopes,
      trustEmail = spec.trustEmail,
      pkce = spec.pkce,
      formerIssuers
    } = options
    const revoke = spec.revoke
    return {
      kind: 'provider',
      name,
      title,
      clientId,
      clientSecret:
        typeof spec.clientSecret === 'function'
          ? spec.clientSecret(options)
          : clientSecret === undefined
            ? null
            : () => clientSecret,
      clientAuthentication:
        spec.clientSecret === 'optional' && clientSecret === undefined
          ? 'none'
          : (given(spec.clientAuthentication, options) ?? 'client_secret_post'),
      scopes: [...scopes],
      server: given(spec.server, options),
      ...(formerIssuers === undefined ? {} : { formerIssuers: [...formerIssuers] }),
      idToken: spec.idToken ?? false,
      authorizationParameters: { ...given(spec.authorizationParameters, options), ...options.authorizationParameters },
      ...(spec.responseMode === undefined ? {} : { responseMode: spec.responseMode }),
      ...(pkce === undefined ? {} : { pkce }),
      trustEmail,
      profile: (api) => spec.profile(api, options),
      ...(revoke === undefined ? {} : { revoke: (api: ProviderApi) => revoke(api, options) })
    }
  }
}

function given<O, T> (value: T | ((options: O) => T), options: O): T {
  return typeof value === 'function' ? (value as (options: O) => T)(options) : value // no T is a function
}

function checkOptions<O extends PublicClientOptions> (spec: ProviderSpec<O>, options: O): void {
  const { clientSecret } = spec
  const secret = typeof clientSecret === 'function' ? absent : clientSecret === 'optional' ? optional(text) : text
  const checks: Record<string, OptionCheck> = { ...COMMON, clientSecret: secret, ...spec.options }
  refuseUnknown(
    `${spec.name}.`,
    options,
    Object.keys(checks).filter((key) => checks[key] !== absent)
  )
  const values = new Map<string, unknown>(Object.entries(options))
  for (const [key, check] of Object.entries(checks)) {
    const reason = check(values.get(key))
    if (reason !== null) throw FST_USERS_INVALID_OPTION([`${spec.name}.${key}`, reason])
  }
  if (spec.scopes.includes('openid') && options.scopes?.includes('openid') === false) {
    throw FST_USERS_INVALID_OPTION([
      `${spec.name}.scopes`,
      'must include openid: without it there is no proof of who logs in'
    ])
  }
}

function checkParameters (value: unknown): string | null {
  if (!isObject(value) || !Object.values(value).every((parameter) => typeof parameter === 'string')) {
    return 'must be an object of text'
  }
  const reserved = Object.keys(value).find((key) => RESERVED.has(key))
  return reserved === undefined ? null : `may not set ${reserved}: it is the flow's own`
}
