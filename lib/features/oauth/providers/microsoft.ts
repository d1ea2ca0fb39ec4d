import { defineProvider, type ProviderOptions } from './define-provider.js'
import { matches, optional } from './option-checks.js'
import { fetchObject, profileOf } from './profiles.js'

/** Options of `microsoft`. */
export interface MicrosoftOptions extends ProviderOptions {
  /** Whose accounts: `common`, `organizations`, `consumers`, or the id or domain of one tenant (`common`). */
  tenant?: string
}

/** Microsoft accounts, by Microsoft Graph. The address is the user principal name, which a tenant's administrator writes. */
export const microsoft = defineProvider<MicrosoftOptions>({
  name: 'microsoft',
  title: 'Microsoft',
  scopes: ['User.Read'],
  server: ({ tenant = 'common' }) => ({
    issuer: `https://login.microsoftonline.com/${tenant}/v2.0`,
    authorization_endpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/authorize`,
    token_endpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`
  }),
  options: { tenant: optional(matches(/^[A-Za-z0-9][A-Za-z0-9.-]*$/, 'must be common, organizations, consumers, or the id or domain of a tenant')) },
  responseMode: 'query',
  trustEmail: false,     // any tenant may give its users any name and address
  async profile (api) {
    const user = await fetchObject(api, 'https://graph.microsoft.com/v1.0/me')
    return profileOf(user['id'], user['userPrincipalName'], false, user)
  }
})
