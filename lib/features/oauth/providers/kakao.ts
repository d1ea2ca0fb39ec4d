import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { fetchObject, memberOf, profileOf } from './profiles.js'

/** Kakao. The client secret is optional: it depends on the settings of the application at Kakao. */
export const kakao = defineProvider<PublicClientOptions>({
  name: 'kakao',
  title: 'Kakao',
  scopes: ['profile_nickname', 'account_email'],
  server: {
    issuer: 'https://kauth.kakao.com',
    authorization_endpoint: 'https://kauth.kakao.com/oauth/authorize',
    token_endpoint: 'https://kauth.kakao.com/oauth/token'
  },
  clientSecret: 'optional',
  trustEmail: true, // Kakao verifies e-mails; `is_email_valid` is false if another account has taken the e-mail over
  async profile (api) {
    const user = await fetchObject(api, 'https://kapi.kakao.com/v2/user/me', { method: 'POST' })
    const account = memberOf(user, 'kakao_account')
    return profileOf(
      user['id'],
      account['email'],
      account['is_email_valid'] === true && account['is_email_verified'],
      user
    )
  },
  async revoke (api) {
    await api.fetchJson('https://kapi.kakao.com/v1/user/unlink', { method: 'POST' })
  }
})
