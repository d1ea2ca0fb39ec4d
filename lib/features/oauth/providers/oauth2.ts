import type { ProviderApi, ProviderProfile } from '../contracts.js'
import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { address, callable, oneOf, optional } from './option-checks.js'

/** Options of `oauth2`. */
export interface Oauth2Options extends PublicClientOptions {
  authorizationEndpoint: string
  tokenEndpoint: string
  revocationEndpoint?: string
  /** What the provider sends as `iss`, if it does (the authorization endpoint's origin). */
  issuer?: string
  /** (`client_secret_post`) */
  clientAuthentication?: 'client_secret_post' | 'client_secret_basic'
  /** Who somebody is, by calls with the access token. */
  profile(api: ProviderApi): Promise<ProviderProfile>
}

/** Any OAuth 2 provider by its endpoints. */
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
    authorizationEndpoint: address,
    tokenEndpoint: address,
    revocationEndpoint: optional(address),
    issuer: optional(address),
    clientAuthentication: optional(oneOf('client_secret_post', 'client_secret_basic')),
    profile: callable
  },
  trustEmail: false, // only the application knows how its provider proves addresses
  profile: (api, options) => options.profile(api)
})
