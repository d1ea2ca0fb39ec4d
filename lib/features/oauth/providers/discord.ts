import { defineProvider } from './define-provider.js'
import { fetchObject, profileOf } from './profiles.js'

/** Discord. The profile contains the e-mail only if it is verified. */
export const discord = defineProvider({
  name: 'discord',
  title: 'Discord',
  scopes: ['identify', 'email'],
  server: {
    issuer: 'https://discord.com',
    authorization_endpoint: 'https://discord.com/api/oauth2/authorize',
    token_endpoint: 'https://discord.com/api/oauth2/token',
    revocation_endpoint: 'https://discord.com/api/oauth2/token/revoke'
  },
  clientAuthentication: 'client_secret_basic',
  trustEmail: true, // `verified` is true after the user followed a link that Discord sent to the e-mail
  async profile (api) {
    const user = await fetchObject(api, 'https://discord.com/api/users/@me')
    return profileOf(user['id'], user['verified'] === true ? user['email'] : null, user['verified'], user)
  }
})
