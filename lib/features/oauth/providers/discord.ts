import { defineProvider } from './define-provider.js'
import { fetchObject, profileOf } from './profiles.js'

/** Discord. An address counts only when it is `verified`; otherwise there is none. */
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
  trustEmail: true, // `verified` follows Discord's own mail to the address
  async profile (api) {
    const user = await fetchObject(api, 'https://discord.com/api/users/@me')
    return profileOf(user['id'], user['verified'] === true ? user['email'] : null, user['verified'], user)
  }
})
