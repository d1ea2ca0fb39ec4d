import { defineProvider, type ProviderOptions } from './define-provider.js'
import { matches } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `okta`. */
export interface OktaOptions extends ProviderOptions {
  /** The organisation's host, such as `example.okta.com`. */
  domain: string
}

/** Okta, by an organisation's own authorization server. */
export const okta = defineProvider<OktaOptions>({
  name: 'okta',
  title: 'Okta',
  scopes: ['openid', 'email'],
  server: ({ domain }) => ({ discover: `https://${domain}` }),
  clientAuthentication: 'client_secret_basic',
  options: { domain: matches(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'must be a host in lower case, such as example.okta.com') },
  idToken: true,
  trustEmail: true, // the organisation that the application chose keeps the directory
  profile: openidProfile
})
