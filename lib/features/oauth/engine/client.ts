import * as oidc from 'openid-client'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../../contracts/settings.js'
import type { Identity, Provider, ProviderApi, ProviderClient, ProviderTokens } from '../contracts.js'
import { configure } from './configuration.js'
import { toIdentity } from './identity.js'
import { createProviderApi } from './provider-api.js'
import { toProviderError } from './provider-errors.js'
import { checkAddress, createSafeFetch, type SafeFetchOptions } from './safe-fetch.js'

/** What a browser takes to the provider. */
export interface AuthorizationRequest {
  redirectUri: string
  state: string
  scopes: readonly string[]
  /** S256 of the PKCE verifier (RFC 7636, section 4.2); null without PKCE. */
  challenge: string | null
  nonce: string | null
}

/** What the browser brought back, and what it must fit. */
export interface AuthorizationAnswer {
  redirectUri: string
  code: string
  /** RFC 9207. */
  iss: string | undefined
  verifier: string | null
  nonce: string | null
}

/**
 * One provider, as the flow and the rules use it. Throws `FST_USERS_OAUTH_PROVIDER_FAILED`,
 * `FST_USERS_OAUTH_PROVIDER_UNAVAILABLE`.
 */
export interface EngineClient extends ProviderClient {
  authorizationUrl(request: AuthorizationRequest): Promise<string>
  /** Exchanges the code, checks all that the provider signs and says, and asks who it is. */
  identify(answer: AuthorizationAnswer): Promise<Identity>
}

interface EngineOptions extends SafeFetchOptions {
  clock: Clock
  log: FastifyBaseLogger
}

/** The client of one provider. Discovery happens at the first use, and again after a failure. */
export function createClient (provider: Provider, { clock, log, ...bounds }: EngineOptions): EngineClient {
  const fetch = createSafeFetch(bounds)
  let configuration: Promise<oidc.Configuration> | null = null

  function configured (): Promise<oidc.Configuration> {
    configuration ??= configure(provider, fetch, bounds.insecureOrigins.size > 0).catch((error: unknown) => {
      configuration = null
      throw error
    })
    return configuration
  }

  /** Every fault becomes an error of ours; its reason goes to the log. */
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

  const tokensOf = (answer: oidc.TokenEndpointResponse): ProviderTokens => ({
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token ?? null,
    expiresAt: expiryOf(answer, clock)
  })

  return {
    provider,

    authorizationUrl: (request) =>
      attempt(async (config) => {
        const url = oidc.buildAuthorizationUrl(config, parametersOf(provider, request))
        return checkAddress(url.href, bounds.insecureOrigins).href
      }),

    identify: ({ redirectUri, code, iss, verifier, nonce }) =>
      attempt(async (config) => {
        const answer = new URL(redirectUri)
        answer.search = new URLSearchParams({ code, ...(iss === undefined ? {} : { iss }) }).toString()
        const tokens = await oidc.authorizationCodeGrant(config, answer, {
          idTokenExpected: provider.idToken,
          ...(verifier === null ? {} : { pkceCodeVerifier: verifier }),
          ...(nonce === null ? {} : { expectedNonce: nonce })
        })
        const api = createProviderApi(config, fetch, tokens.access_token, tokens.claims() ?? null)
        return toIdentity(provider, await provider.profile(api), tokensOf(tokens))
      }),

    refresh: (refreshToken) =>
      attempt(async (config) => {
        const tokens = tokensOf(await oidc.refreshTokenGrant(config, refreshToken))
        return { ...tokens, refreshToken: tokens.refreshToken ?? refreshToken }
      }),

    revoke: (tokens) =>
      attempt(async (config) => {
        const api: ProviderApi = createProviderApi(config, fetch, tokens.accessToken, null)
        if (provider.revoke !== undefined) return provider.revoke(api)
        if (config.serverMetadata().revocation_endpoint !== undefined) {
          await oidc.tokenRevocation(config, tokens.refreshToken ?? tokens.accessToken)
        }
      })
  }
}

/** In the contract's order, then ours. A provider's own parameters come last and replace none. */
function parametersOf (
  { clientId, authorizationParameters = {}, responseMode }: Provider,
  { redirectUri, state, scopes, challenge, nonce }: AuthorizationRequest
): URLSearchParams {
  const ours = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    ...(challenge === null ? {} : { code_challenge: challenge, code_challenge_method: 'S256' }),
    ...(nonce === null ? {} : { nonce }),
    ...(responseMode === undefined ? {} : { response_mode: responseMode })
  }
  return new URLSearchParams({ ...ours, ...authorizationParameters, ...ours })
}

/** Epoch seconds; some providers say when, most in how many seconds. */
function expiryOf ({ expires_at: at, expires_in: within }: oidc.TokenEndpointResponse, clock: Clock): number | null {
  if (typeof at === 'number' && Number.isSafeInteger(at)) return at
  return within === undefined ? null : Math.floor(clock() / 1000 + within)
}
