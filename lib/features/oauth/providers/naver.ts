import { defineProvider } from './define-provider.js'
import { fetchObject, memberOf, profileOf } from './profiles.js'

const TOKEN = 'https://nid.naver.com/oauth2.0/token'

/** Naver. The requested data depends on the settings of the application at Naver, not on scopes. */
export const naver = defineProvider({
  name: 'naver',
  title: 'Naver',
  scopes: [],
  server: {
    issuer: 'https://nid.naver.com',
    authorization_endpoint: 'https://nid.naver.com/oauth2.0/authorize',
    token_endpoint: TOKEN
  },
  trustEmail: false, // users can enter any contact e-mail, and no flag reports whether it is verified
  async profile (api) {
    const reply = await fetchObject(api, 'https://openapi.naver.com/v1/nid/me', { method: 'POST' })
    const user = memberOf(reply, 'response')
    return profileOf(user['id'], user['email'], false, user)
  },
  async revoke (api, { clientId, clientSecret }) {
    const body = new URLSearchParams({
      grant_type: 'delete',
      client_id: clientId,
      client_secret: clientSecret,
      access_token: api.accessToken,
      service_provider: 'NAVER'
    })
    await api.fetchJson(TOKEN, { method: 'POST', body })
  }
})
