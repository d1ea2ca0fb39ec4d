import { defineProvider, type ProviderOptions } from './define-provider.js'
import { textMatching } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `okta`. */
export interface OktaOptions extends ProviderOptions {
  /** Host of the organization, such as `example.okta.com`. */
  domain: string
}

/** Okta, with the authorization server of an organization. */
export const okta = defineProvider<OktaOptions>({
  name: 'okta',
  title: 'Okta',
  scopes: ['openid', 'email'],
  server: ({ domain }) => ({ discover: `https://${domain}` }),
  clientAuthentication: 'client_secret_basic',
  options: {
    domain: textMatching(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'must be a host in lower case, such as example.okta.com')
  },
  idToken: true,
  trustEmail: true, // the organization that the application has chosen maintains the directory
  profile: openidProfile
})
