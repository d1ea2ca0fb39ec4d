import * as oidc from 'openid-client'
import type { Provider } from '../contracts.js'
import { providerIssuerOf } from '../issuers.js'
import type { SafeFetch } from './safe-fetch.js'

/** Returns the configuration of `openid-client` for a provider, with known endpoints or the discovery document. */
export async function configure (provider: Provider, fetch: SafeFetch, insecure: boolean): Promise<oidc.Configuration> {
  const { server, clientId } = provider
  // id_token signatures are always checked; http is restricted by `fetch`
  const extensions = [oidc.enableNonRepudiationChecks, ...(insecure ? [oidc.allowInsecureRequests] : [])]
  const providerFetch = normalizeTokenResponses(fetch, provider)
  if ('discover' in server) {
    return oidc.discovery(new URL(providerIssuerOf(provider)), clientId, {}, clientAuthOf(provider), {
      [oidc.customFetch]: providerFetch,
      execute: extensions
    })
  }
  const configuration = new oidc.Configuration({ ...server }, clientId, {}, clientAuthOf(provider))
  configuration[oidc.customFetch] = providerFetch
  for (const extend of extensions) extend(configuration)
  return configuration
}

/** Returns the client authentication (RFC 6749, section 2.3.1). The secret is read for each call. */
function clientAuthOf ({ clientSecret, clientAuthentication }: Provider): oidc.ClientAuth {
  if (clientSecret === null || clientAuthentication === 'none') return oidc.None()
  const method = clientAuthentication === 'client_secret_basic' ? oidc.ClientSecretBasic : oidc.ClientSecretPost
  const authenticate = async (...[server, client, body, headers]: Parameters<oidc.ClientAuth>): Promise<void> => {
    method(await clientSecret())(server, client, body, headers)
  }
  return authenticate // the library awaits the promise
}

/**
 * Returns a `fetch` that adds a missing `token_type` and removes null values from token responses, which some providers
 * send and the library would refuse (RFC 6749, section 5.1). It also removes an unrequested id_token of a provider
 * without keys, because it cannot be validated.
 */
function normalizeTokenResponses (fetch: SafeFetch, { idToken, server }: Provider): oidc.CustomFetch {
  const dropped = !idToken && !('discover' in server) && server.jwks_uri === undefined ? 'id_token' : null
  return async (url, options) => {
    const response = await fetch(url, options)
    if (options.method !== 'POST' || !response.ok) return response
    const body: unknown = await response
      .clone()
      .json()
      .catch(() => null)
    if (typeof body !== 'object' || body === null || !('access_token' in body)) return response
    const kept = Object.entries(body).filter(([name, value]) => value !== null && name !== dropped)
    return Response.json({ token_type: 'bearer', ...Object.fromEntries(kept) }, { status: response.status })
  }
}
