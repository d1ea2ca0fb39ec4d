import { defineProvider } from './define-provider.js'
import { claimsProfile, fetchObject } from './profiles.js'

/**
 * LinkedIn, with its userinfo endpoint, because the older scopes and endpoints are retired. `sub` equals the id that
 * `/v2/me` returned for the application. The id_token is not used, because it does not contain the nonce.
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
  pkce: false, // LinkedIn replies `invalid_client` if a client with a secret sends a code_verifier
  trustEmail: true, // the user must confirm the primary e-mail by a mail
  profile: async (api) => claimsProfile(await fetchObject(api, 'https://api.linkedin.com/v2/userinfo'))
})
