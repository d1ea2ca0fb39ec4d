import { defineProvider, type ProviderOptions } from './define-provider.js'
import { flag, optional } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `franceconnect`. */
export interface FranceconnectOptions extends ProviderOptions {
  /** Uses FranceConnect's test environment, with fictitious users. Default: false. */
  integration?: boolean
}

/** FranceConnect, version 2. A user's `sub` for an application is the same as in version 1, which is closed. */
export const franceconnect = defineProvider<FranceconnectOptions>({
  name: 'franceconnect',
  title: 'FranceConnect',
  scopes: ['openid', 'email'],
  server: ({ integration = false }) => ({
    discover: integration
      ? 'https://fcp-low.sbx.dev-franceconnect.fr/api/v2'
      : 'https://oidc.franceconnect.gouv.fr/api/v2'
  }),
  options: { integration: optional(flag) },
  authorizationParameters: { acr_values: 'eidas1' },
  idToken: true,
  trustEmail: false, // FranceConnect verifies the identity, but the user enters the e-mail
  profile: openidProfile
})
