import { checkKnownKeys, FST_USERS_INVALID_OPTION, isObject, type MaybePromise } from '../../../feature/index.js'
import type { Provider, ProviderApi, ProviderProfile } from '../contracts.js'
import { flag, optional, text, textMatching, unsupported, webUrl, type OptionCheck } from './option-checks.js'

/** Options of every provider. Unknown options are refused. */
export interface PublicClientOptions {
  /** Client id of the application at the provider. */
  clientId: string
  /** Client secret. Optional for a public client, if the provider supports public clients. */
  clientSecret?: string
  /**
   * Name of the provider, stored with each account and used in route paths. Accounts that are stored under another name
   * are not found. Default: the name of the provider function, in lower case.
   */
  name?: string
  /**
   * Former issuers of the accounts that are stored under this name. Only list an issuer that used the same subject for
   * every user, such as the same server under another URL. Default: none.
   */
  formerIssuers?: readonly string[]
  /** Text for a login button. Default: the provider's own name. */
  title?: string
  /** Requested scopes. They replace the provider's default scopes. */
  scopes?: readonly string[]
  /** Accepts the provider's report that an e-mail is verified. The default depends on the provider. */
  trustEmail?: boolean
  /** Set to false for a provider that refuses PKCE. Default: PKCE is used, except by `linkedin`. */
  pkce?: false
  /** Additional parameters of the authorization request, such as `{ prompt: 'consent' }`. Default: none. */
  authorizationParameters?: Readonly<Record<string, string>>
}

/** Options of a provider that requires a client secret. */
export interface ProviderOptions extends PublicClientOptions {
  clientSecret: string
}

/** The definition of a provider, without the options of a client. */
export interface ProviderSpec<O extends PublicClientOptions = ProviderOptions> extends Pick<
  Provider,
  'name' | 'title' | 'scopes' | 'trustEmail' | 'responseMode' | 'pkce'
> {
  server: Provider['server'] | ((options: O) => Provider['server'])
  /** Client authentication at the token endpoint. Default: `client_secret_post`. */
  clientAuthentication?: Provider['clientAuthentication'] | ((options: O) => Provider['clientAuthentication'])
  /**
   * `optional` accepts public clients. A function creates a secret for each token request; then there is no option
   * `clientSecret`. Default: the option is required.
   */
  clientSecret?: 'optional' | ((options: O) => () => MaybePromise<string>)
  /** Requires an id_token in the token response. Default: false. */
  idToken?: boolean
  /** Additional parameters of the authorization request. Default: none. */
  authorizationParameters?: Provider['authorizationParameters'] | ((options: O) => Provider['authorizationParameters'])
  /** One check for each option that only this provider has. */
  options?: Readonly<Record<string, OptionCheck>>
  /** Returns the user's profile, with requests that use the access token. */
  profile(api: ProviderApi, options: O): Promise<ProviderProfile>
  /** Revokes the access of the application at the provider. */
  revoke?(api: ProviderApi, options: O): Promise<void>
}

/**
 * Parameters that only the plugin may set (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core 1.0, section
 * 3.1.2.1).
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
    textMatching(
      /^[a-z0-9][a-z0-9_-]{0,99}$/,
      'must start with a lower-case letter or a digit, followed by up to 99 lower-case letters, digits, - or _'
    )
  ),
  formerIssuers: optional((value) =>
    Array.isArray(value) && value.every((issuer) => webUrl(issuer) === null)
      ? null
      : 'must be an array of issuers, such as https://old.example.com'
  ),
  title: optional(text),
  scopes: optional((value) =>
    Array.isArray(value) &&
    value.every((scope) => typeof scope === 'string' && /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(scope))
      ? null
      : 'must be an array of scopes without spaces'
  ),
  trustEmail: optional(flag),
  pkce: optional((value) => (value === false ? null : 'must be false or undefined')),
  authorizationParameters: optional(checkParameters)
}

/**
 * Creates a provider function, such as `github`, from a definition. Use it to add a provider. The provider function
 * takes the options of a client and throws `FST_USERS_INVALID_OPTION` or `FST_USERS_UNKNOWN_OPTION`.
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
          : (resolveOption(spec.clientAuthentication, options) ?? 'client_secret_post'),
      scopes: [...scopes],
      server: resolveOption(spec.server, options),
      ...(formerIssuers === undefined ? {} : { formerIssuers: [...formerIssuers] }),
      idToken: spec.idToken ?? false,
      authorizationParameters: {
        ...resolveOption(spec.authorizationParameters, options),
        ...options.authorizationParameters
      },
      ...(spec.responseMode === undefined ? {} : { responseMode: spec.responseMode }),
      ...(pkce === undefined ? {} : { pkce }),
      trustEmail,
      profile: (api) => spec.profile(api, options),
      ...(revoke === undefined ? {} : { revoke: (api: ProviderApi) => revoke(api, options) })
    }
  }
}

function resolveOption<O, T> (value: T | ((options: O) => T), options: O): T {
  // T is never a function type
  return typeof value === 'function' ? (value as (options: O) => T)(options) : value
}

function checkOptions<O extends PublicClientOptions> (spec: ProviderSpec<O>, options: O): void {
  const { clientSecret } = spec
  const secret = typeof clientSecret === 'function' ? unsupported : clientSecret === 'optional' ? optional(text) : text
  const checks: Record<string, OptionCheck> = { ...COMMON, clientSecret: secret, ...spec.options }
  checkKnownKeys(
    `${spec.name}.`,
    options,
    Object.keys(checks).filter((key) => checks[key] !== unsupported)
  )
  const values = new Map<string, unknown>(Object.entries(options))
  for (const [key, check] of Object.entries(checks)) {
    const reason = check(values.get(key))
    if (reason !== null) throw FST_USERS_INVALID_OPTION([`${spec.name}.${key}`, reason])
  }
  if (spec.scopes.includes('openid') && options.scopes?.includes('openid') === false) {
    throw FST_USERS_INVALID_OPTION([
      `${spec.name}.scopes`,
      'must include openid: without it the provider sends no id_token'
    ])
  }
}

function checkParameters (value: unknown): string | null {
  if (!isObject(value) || !Object.values(value).every((parameter) => typeof parameter === 'string')) {
    return 'must be an object whose values are strings'
  }
  const reserved = Object.keys(value).find((key) => RESERVED.has(key))
  return reserved === undefined ? null : `must not contain ${reserved}: the plugin sets it`
}
