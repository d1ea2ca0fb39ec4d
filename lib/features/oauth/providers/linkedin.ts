import { defineProvider } from './define-provider.js'
import { claimsProfile, fetchObject } from './profiles.js'

/**
 * LinkedIn, by its userinfo endpoint: the scopes and addresses before it are retired. `sub` is the member's id for the
 * application, the same that `/v2/me` gave. Its id_token brings no nonce back: the login does not rest on it.
 */
export const linkedin = defineProvider({
  name: 'linkedin',
  title: 'LinkedIn',
  scopes: ['openid', 'profile', 'email'],
  server: {
    issuer: 'https://www.linkedin.com/oauth',
    authorization_endpoint: 'https://www.linkedin.com/oauth/v2/authorization',
    token_endpoint: 'https://www.linkedin.com/oauth/v2/accessToken'
  },
  pkce: false, // clients with a secret are refused as `invalid_client` when a code_verifier comes
  trustEmail: true, // a primary address is confirmed by mail
  profile: async (api) => claimsProfile(await fetchObject(api, 'https://api.linkedin.com/v2/userinfo'))
})
