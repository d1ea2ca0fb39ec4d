import * as oidc from 'openid-client'
import type { Provider } from '../contracts.js'
import { issuerOf } from '../issuers.js'
import type { SafeFetch } from './safe-fetch.js'

/** What the library needs to reach one provider: known endpoints, or those of the discovery document. */
export async function configure (provider: Provider, fetch: SafeFetch, insecure: boolean): Promise<oidc.Configuration> {
  const { server, clientId } = provider
  // signatures of id_tokens are checked; `fetch` decides about http
  const extensions = [oidc.enableNonRepudiationChecks, ...(insecure ? [oidc.allowInsecureRequests] : [])]
  const clean = tidyTokenAnswers(fetch, provider)
  if ('discover' in server) {
    return oidc.discovery(new URL(issuerOf(provider)), clientId, {}, clientAuthOf(provider), {
      [oidc.customFetch]: clean,
      execute: extensions
    })
  }
  const configuration = new oidc.Configuration({ ...server }, clientId, {}, clientAuthOf(provider))
  configuration[oidc.customFetch] = clean
  for (const extend of extensions) extend(configuration)
  return configuration
}

/** The client proves itself (RFC 6749, section 2.3.1); the secret is asked for with each call. */
function clientAuthOf ({ clientSecret, clientAuthentication }: Provider): oidc.ClientAuth {
  if (clientSecret === null || clientAuthentication === 'none') return oidc.None()
  const method = clientAuthentication === 'client_secret_basic' ? oidc.ClientSecretBasic : oidc.ClientSecretPost
  const prove = async (...[server, client, body, headers]: Parameters<oidc.ClientAuth>): Promise<void> => {
    method(await clientSecret())(server, client, body, headers)
  }
  return prove // the library awaits it
}

/**
 * Some providers leave `token_type` out, or write null for what they do not give; else the library would refuse their
 * tokens (RFC 6749, section 5.1). An id_token that nobody asked for, of a provider without keys, is not looked at.
 */
function tidyTokenAnswers (fetch: SafeFetch, { idToken, server }: Provider): oidc.CustomFetch {
  const dropped = !idToken && !('discover' in server) && server.jwks_uri === undefined ? 'id_token' : null
  return async (url, options) => {
    const response = await fetch(url, options)
    if (options.method !== 'POST' || !response.ok) return response
    const answer: unknown = await response
      .clone()
      .json()
      .catch(() => null)
    if (typeof answer !== 'object' || answer === null || !('access_token' in answer)) return response
    const given = Object.entries(answer).filter(([name, value]) => value !== null && name !== dropped)
    return Response.json({ token_type: 'bearer', ...Object.fromEntries(given) }, { status: response.status })
  }
}
