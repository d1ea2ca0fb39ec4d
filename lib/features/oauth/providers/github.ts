import { FST_USERS_OAUTH_PROVIDER_FAILED } from '../errors.js'
import { defineProvider } from './define-provider.js'
import { isObject } from '../../../feature/index.js'
import { fetchObject, profileOf } from './profiles.js'

const HEADERS = { accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' }

/** GitHub. The e-mail is the primary one of the account, because the user can choose any e-mail for the profile. */
export const github = defineProvider({
  name: 'github',
  title: 'GitHub',
  scopes: ['user', 'user:email'],
  server: {
    issuer: 'https://github.com/login/oauth',
    authorization_endpoint: 'https://github.com/login/oauth/authorize',
    token_endpoint: 'https://github.com/login/oauth/access_token'
  },
  trustEmail: true, // `verified` is true after the user followed a link that GitHub sent to the e-mail
  async profile (api) {
    const user = await fetchObject(api, 'https://api.github.com/user', { headers: HEADERS })
    const emails = await api.fetchJson('https://api.github.com/user/emails', { headers: HEADERS })
    if (!Array.isArray(emails)) throw FST_USERS_OAUTH_PROVIDER_FAILED()
    const primary = emails.filter(isObject).find((entry) => entry['primary'] === true)
    return profileOf(user['id'], primary?.['email'], primary?.['verified'], user)
  }
})
