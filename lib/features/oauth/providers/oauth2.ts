import type { ProviderApi, ProviderProfile } from '../contracts.js'
import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { callable, oneOf, optional, webUrl } from './option-checks.js'

/** Options of `oauth2`. */
export interface Oauth2Options extends PublicClientOptions {
  /** URL of the authorization endpoint. */
  authorizationEndpoint: string
  /** URL of the token endpoint. */
  tokenEndpoint: string
  /** URL of the revocation endpoint. Default: tokens are not revoked. */
  revocationEndpoint?: string
  /** Value of `iss` in the provider's callback (RFC 9207). Default: the origin of the authorization endpoint. */
  issuer?: string
  /** Client authentication at the token endpoint. Default: `client_secret_post`. */
  clientAuthentication?: 'client_secret_post' | 'client_secret_basic'
  /** Returns the user's profile, with requests that use the access token. */
  profile(api: ProviderApi): Promise<ProviderProfile>
}

/** Any OAuth 2 provider, configured by its endpoints. */
export const oauth2 = defineProvider<Oauth2Options>({
  name: 'oauth2',
  title: 'OAuth 2',
  scopes: [],
  server: ({
    authorizationEndpoint,
    tokenEndpoint,
    revocationEndpoint,
    issuer = new URL(authorizationEndpoint).origin
  }) => ({
    issuer,
    authorization_endpoint: authorizationEndpoint,
    token_endpoint: tokenEndpoint,
    ...(revocationEndpoint === undefined ? {} : { revocation_endpoint: revocationEndpoint })
  }),
  clientSecret: 'optional',
  clientAuthentication: ({ clientAuthentication = 'client_secret_post' }) => clientAuthentication,
  options: {
    authorizationEndpoint: webUrl,
    tokenEndpoint: webUrl,
    revocationEndpoint: optional(webUrl),
    issuer: optional(webUrl),
    clientAuthentication: optional(oneOf('client_secret_post', 'client_secret_basic')),
    profile: callable
  },
  trustEmail: false, // only the application knows whether its provider verifies e-mails
  profile: (api, options) => options.profile(api)
})
