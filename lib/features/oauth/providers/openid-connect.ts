import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { address, oneOf, optional } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `openidConnect`. */
export interface OpenidConnectOptions extends PublicClientOptions {
  /** The issuer, exactly as its discovery document and its tokens name it. */
  issuer: string
  /** (`client_secret_basic`) */
  clientAuthentication?: 'client_secret_post' | 'client_secret_basic'
}

/** Any OpenID provider by its issuer's discovery document: Keycloak, Auth0 and the like. */
export const openidConnect = defineProvider<OpenidConnectOptions>({
  name: 'openid',
  title: 'OpenID Connect',
  scopes: ['openid', 'email'],
  server: ({ issuer }) => ({ discover: issuer }),
  clientSecret: 'optional',
  clientAuthentication: ({ clientAuthentication = 'client_secret_basic' }) => clientAuthentication,
  options: { issuer: address, clientAuthentication: optional(oneOf('client_secret_post', 'client_secret_basic')) },
  idToken: true,
  trustEmail: false, // an unknown issuer may say what it likes: set `trustEmail` for one that proves addresses
  profile: openidProfile
})
