import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { address, optional } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `gitlab`. */
export interface GitlabOptions extends PublicClientOptions {
  /** An instance of one's own (`https://gitlab.com`). */
  issuer?: string
}

/** GitLab, by OpenID Connect. */
export const gitlab = defineProvider<GitlabOptions>({
  name: 'gitlab',
  title: 'GitLab',
  scopes: ['openid', 'email'],
  server: ({ issuer = 'https://gitlab.com' }) => ({ discover: issuer }),
  clientSecret: 'optional',
  clientAuthentication: 'client_secret_basic',
  options: { issuer: optional(address) },
  idToken: true,
  trustEmail: true, // `email_verified` follows GitLab's own mail to the address
  profile: openidProfile
})
