import { defineProvider } from './define-provider.js'
import { fetchObject, profileOf } from './profiles.js'

/** Reddit. It never sends an e-mail, so logins and links fail with `FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL`. */
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
  trustEmail: false, // Reddit sends no e-mail
  async profile (api, { clientId }) {
    // stored accounts use the name as their id; Reddit never changes or reuses names
    const user = await fetchObject(api, 'https://oauth.reddit.com/api/v1/me', {
      headers: { 'user-agent': `web:${clientId}:v1 (fastify-users)` }
    })
    return profileOf(user['name'], null, false, user)
  }
})
