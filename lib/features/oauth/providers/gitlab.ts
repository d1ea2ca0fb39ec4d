import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { optional, webUrl } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `gitlab`. */
export interface GitlabOptions extends PublicClientOptions {
  /** URL of a self-managed instance. Default: `https://gitlab.com`. */
  issuer?: string
}

/** GitLab, with OpenID Connect. */
export const gitlab = defineProvider<GitlabOptions>({
  name: 'gitlab',
  title: 'GitLab',
  scopes: ['openid', 'email'],
  server: ({ issuer = 'https://gitlab.com' }) => ({ discover: issuer }),
  clientSecret: 'optional',
  clientAuthentication: 'client_secret_basic',
  options: { issuer: optional(webUrl) },
  idToken: true,
  trustEmail: true, // `email_verified` is true after the user followed a link that GitLab sent to the e-mail
  profile: openidProfile
})
