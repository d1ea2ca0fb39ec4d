import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { oneOf, optional, webUrl } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `openidConnect`. */
export interface OpenidConnectOptions extends PublicClientOptions {
  /** Issuer URL, exactly as in the discovery document and in the tokens. */
  issuer: string
  /** Client authentication at the token endpoint. Default: `client_secret_basic`. */
  clientAuthentication?: 'client_secret_post' | 'client_secret_basic'
}

/** Any OpenID provider, configured by its discovery document: Keycloak, Auth0 and others. */
export const openidConnect = defineProvider<OpenidConnectOptions>({
  name: 'openid',
  title: 'OpenID Connect',
  scopes: ['openid', 'email'],
  server: ({ issuer }) => ({ discover: issuer }),
  clientSecret: 'optional',
  clientAuthentication: ({ clientAuthentication = 'client_secret_basic' }) => clientAuthentication,
  options: { issuer: webUrl, clientAuthentication: optional(oneOf('client_secret_post', 'client_secret_basic')) },
  idToken: true,
  trustEmail: false, // an unknown issuer may not verify e-mails; set `trustEmail` for an issuer that does
  profile: openidProfile
})
