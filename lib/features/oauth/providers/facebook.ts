import { defineProvider } from './define-provider.js'
import { fetchObject, profileOf } from './profiles.js'

const GRAPH = 'https://graph.facebook.com/v23.0'

/** Facebook. User ids are specific to the application and the same in every version of the Graph API. */
export const facebook = defineProvider({
  name: 'facebook',
  title: 'Facebook',
  scopes: ['email', 'public_profile'],
  server: {
    issuer: 'https://www.facebook.com',
    authorization_endpoint: 'https://www.facebook.com/v23.0/dialog/oauth',
    token_endpoint: `${GRAPH}/oauth/access_token`
  },
  trustEmail: false, // the Graph API does not report whether an e-mail is verified
  async profile (api) {
    const user = await fetchObject(api, `${GRAPH}/me?fields=id,email`)
    return profileOf(user['id'], user['email'], false, user)
  }
})
