import { defineProvider, type ProviderOptions } from './define-provider.js'
import { flag, optional } from './option-checks.js'
import { openidProfile } from './profiles.js'

/** Options of `franceconnect`. */
export interface FranceconnectOptions extends ProviderOptions {
  /** FranceConnect's environment for trials, with people who do not exist (false). */
  integration?: boolean
}

/** FranceConnect, version 2: the first is closed. The `sub` of a person for an application stayed the same. */
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
  trustEmail: false, // it vouches for the person; the address is what the person told
  profile: openidProfile
})
