import * as oidc from 'openid-client'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../../feature/index.js'
import type { Identity, Provider, ProviderClient, ProviderTokens } from '../contracts.js'
import { configure } from './configuration.js'
import { toIdentity } from './identity.js'
import { createProviderApi } from './provider-api.js'
import { toProviderError } from './provider-errors.js'
import { checkProviderUrl, createSafeFetch, type SafeFetch, type SafeFetchOptions } from './safe-fetch.js'

/** Parameters of an authorization request. */
export interface AuthorizationRequest {
  redirectUri: string
  state: string
  scopes: readonly string[]
  /** S256 of the PKCE verifier (RFC 7636, section 4.2); null without PKCE. */
  challenge: string | null
  nonce: string | null
}

/** Parameters of an authorization response, and the values of the transaction to check it with. */
export interface AuthorizationResponse {
  redirectUri: string
  code: string
  /** Issuer (RFC 9207). */
  iss: string | undefined
  verifier: string | null
  nonce: string | null
}

/**
 * The client of one provider, as the flow and the rules use it. Methods throw `FST_USERS_OAUTH_PROVIDER_FAILED` and
 * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
 */
export interface EngineClient extends ProviderClient {
  authorizationUrl(request: AuthorizationRequest): Promise<string>
  /** Exchanges the code, validates the id_token and reads the profile. */
  identify(response: AuthorizationResponse): Promise<Identity>
}

interface EngineOptions extends SafeFetchOptions {
  clock: Clock
  log: FastifyBaseLogger
}

interface ClientParts {
  provider: Provider
  fetch: SafeFetch
  clock: Clock
}

/** Creates the client of one provider. Discovery runs at the first use, and again after a failure. */
export function createClient (provider: Provider, { clock, log, ...limits }: EngineOptions): EngineClient {
  const parts: ClientParts = { provider, fetch: createSafeFetch(limits), clock }
  const { insecureOrigins } = limits
  let configuration: Promise<oidc.Configuration> | null = null

  function configured (): Promise<oidc.Configuration> {
    configuration ??= configure(provider, parts.fetch, insecureOrigins.size > 0).catch((error: unknown) => {
      configuration = null
      throw error
    })
    return configuration
  }

  /** Runs a call. Every error is converted and its reason is logged. */
  async function attempt<T> (work: (configuration: oidc.Configuration) => Promise<T>): Promise<T> {
    try {
      return await work(await configured())
    } catch (thrown) {
      const error = toProviderError(thrown)
      log.warn(
        { provider: provider.name, code: error.code, reason: error.cause },
        'fastify-users: a call to a provider failed'
      )
      throw error
    }
  }

  return {
    provider,
    authorizationUrl: (request) =>
      attempt(async (config) => {
        const url = oidc.buildAuthorizationUrl(config, parametersOf(provider, request))
        return checkProviderUrl(url.href, insecureOrigins).href
      }),
    identify: (response) => attempt((config) => fetchIdentity(parts, config, response)),
    refresh: (refreshToken) => attempt((config) => requestNewTokens(parts, config, refreshToken)),
    revoke: (tokens) => attempt((config) => revoke(parts, config, tokens))
  }
}

async function fetchIdentity (
  { provider, fetch, clock }: ClientParts,
  config: oidc.Configuration,
  { redirectUri, code, iss, verifier, nonce }: AuthorizationResponse
): Promise<Identity> {
  const responseUrl = new URL(redirectUri)
  responseUrl.search = new URLSearchParams({ code, ...(iss === undefined ? {} : { iss }) }).toString()
  const tokens = await oidc.authorizationCodeGrant(config, responseUrl, {
    idTokenExpected: provider.idToken,
    ...(verifier === null ? {} : { pkceCodeVerifier: verifier }),
    ...(nonce === null ? {} : { expectedNonce: nonce })
  })
  const api = createProviderApi(config, fetch, tokens.access_token, tokens.claims() ?? null)
  return toIdentity(provider, await provider.profile(api), toTokens(tokens, clock))
}

async function requestNewTokens (
  { clock }: ClientParts,
  config: oidc.Configuration,
  refreshToken: string
): Promise<ProviderTokens> {
  const tokens = toTokens(await oidc.refreshTokenGrant(config, refreshToken), clock)
  return { ...tokens, refreshToken: tokens.refreshToken ?? refreshToken }
}

async function revoke (
  { provider, fetch }: ClientParts,
  config: oidc.Configuration,
  tokens: ProviderTokens
): Promise<void> {
  const api = createProviderApi(config, fetch, tokens.accessToken, null)
  if (provider.revoke !== undefined) return provider.revoke(api)
  if (config.serverMetadata().revocation_endpoint !== undefined) {
    await oidc.tokenRevocation(config, tokens.refreshToken ?? tokens.accessToken)
  }
}

/**
 * Returns the parameters in the order of FastAPI Users. A provider's additional parameters come last and cannot replace
 * those of the flow.
 */
function parametersOf (
  { clientId, authorizationParameters = {}, responseMode }: Provider,
  { redirectUri, state, scopes, challenge, nonce }: AuthorizationRequest
): URLSearchParams {
  const ofFlow = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    ...(challenge === null ? {} : { code_challenge: challenge, code_challenge_method: 'S256' }),
    ...(nonce === null ? {} : { nonce }),
    ...(responseMode === undefined ? {} : { response_mode: responseMode })
  }
  return new URLSearchParams({ ...ofFlow, ...authorizationParameters, ...ofFlow })
}

function toTokens (response: oidc.TokenEndpointResponse, clock: Clock): ProviderTokens {
  return {
    accessToken: response.access_token,
    refreshToken: response.refresh_token ?? null,
    expiresAt: expiryOf(response, clock)
  }
}

/** Returns the time of expiry in seconds since 1970. Some providers send `expires_at`, most send `expires_in`. */
function expiryOf ({ expires_at: at, expires_in: seconds }: oidc.TokenEndpointResponse, clock: Clock): number | null {
  if (typeof at === 'number' && Number.isSafeInteger(at)) return at
  return seconds === undefined ? null : Math.floor(clock() / 1000 + seconds)
}
