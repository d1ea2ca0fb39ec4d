import { FST_USERS_OAUTH_REFUSED } from '../errors.js'
import { defineProvider, type ProviderOptions } from './define-provider.js'
import { optional, textMatching } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `google`. */
export interface GoogleOptions extends ProviderOptions {
  /** Accepts only accounts of this Google Workspace domain (claim `hd` of the id_token). Default: all accounts. */
  hostedDomain?: string
}

/** Google, with OpenID Connect. Account ids are `people/` and the subject, the format of the People API. */
export const google = defineProvider<GoogleOptions>({
  name: 'google',
  title: 'Google',
  scopes: [
    'openid',
    'https://www.googleapis.com/auth/userinfo.profile',
    'https://www.googleapis.com/auth/userinfo.email'
  ],
  server: {
    issuer: 'https://accounts.google.com',
    authorization_endpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
    token_endpoint: 'https://oauth2.googleapis.com/token',
    userinfo_endpoint: 'https://openidconnect.googleapis.com/v1/userinfo',
    revocation_endpoint: 'https://oauth2.googleapis.com/revoke',
    jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs'
  },
  options: {
    hostedDomain: optional(
      textMatching(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'must be a domain in lower case, such as example.com')
    )
  },
  authorizationParameters: ({ hostedDomain }) => (hostedDomain === undefined ? {} : { hd: hostedDomain }),
  idToken: true,
  trustEmail: true, // Google hosts the mailbox or has verified the e-mail if `email_verified` is true
  async profile (api, { hostedDomain }) {
    if (hostedDomain !== undefined && api.claims?.['hd'] !== hostedDomain) throw FST_USERS_OAUTH_REFUSED()
    const profile = await openidProfile(api)
    return { ...profile, id: typeof profile.id === 'string' && profile.id !== '' ? `people/${profile.id}` : null }
  }
})
