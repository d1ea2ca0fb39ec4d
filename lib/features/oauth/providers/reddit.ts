import { defineProvider } from './define-provider.js'
import { fetchObject, profileOf } from './profiles.js'

/** Reddit, which never tells an e-mail address: without one nobody logs in, and no account is linked. */
export const reddit = defineProvider({
  name: 'reddit',
  title: 'Reddit',
  scopes: ['identity'],
  server: {
    issuer: 'https://www.reddit.com',
    authorization_endpoint: 'https://www.reddit.com/api/v1/authorize',
    token_endpoint: 'https://www.reddit.com/api/v1/access_token',
    revocation_endpoint: 'https://www.reddit.com/api/v1/revoke_token'
  },
  clientAuthentication: 'client_secret_basic',
  trustEmail: false, // there is none
  async profile (api, { clientId }) {
    // the name is what stored accounts have as their id; Reddit neither changes names nor gives them again
    const user = await fetchObject(api, 'https://oauth.reddit.com/api/v1/me', {
      headers: { 'user-agent': `web:${clientId}:v1 (fastify-users)` }
    })
    return profileOf(user['name'], null, false, user)
  }
})
