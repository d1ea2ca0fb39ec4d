import { explainEmail } from '../../../users/index.js'
import { defineProvider, type ProviderOptions } from './define-provider.js'
import { matches, optional } from './option-checks.js'
import { fetchObject, profileOf } from './profiles.js'

/** Options of `microsoft`. */
export interface MicrosoftOptions extends ProviderOptions {
  /** Whose accounts: `common`, `organizations`, `consumers`, or the id or domain of one tenant (`common`). */
  tenant?: string
}

/** Comes after the e-mail of a guest, with `_` in the place of `@`, in the guest's user principal name. */
const GUEST = /#EXT#@/i
/** Comes before the e-mail in the user principal name of a personal account that another tenant knows. */
const PERSONAL = /^live\.com#/i

/** Microsoft accounts, by Microsoft Graph. */
export const microsoft = defineProvider<MicrosoftOptions>({
  name: 'microsoft',
  title: 'Microsoft',
  scopes: ['User.Read'],
  server: ({ tenant = 'common' }) => ({
    issuer: `https://login.microsoftonline.com/${tenant}/v2.0`,
    authorization_endpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/authorize`,
    token_endpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`
  }),
  options: {
    tenant: optional(
      matches(
        /^[A-Za-z0-9][A-Za-z0-9.-]*$/,
        'must be common, organizations, consumers, or the id or domain of a tenant'
      )
    )
  },
  responseMode: 'query',
  trustEmail: false, // any tenant may give its users any name and e-mail
  async profile (api) {
    const user = await fetchObject(api, 'https://graph.microsoft.com/v1.0/me')
    return profileOf(user['id'], emailOf(user['userPrincipalName'], user['mail']), false, user)
  }
})

/**
 * Returns the user principal name when mail can be sent to it, otherwise the e-mail of the mailbox, otherwise the
 * e-mail
 * that the name of a guest or of a personal account is made of. The name comes first because stored accounts have it.
 * Where none is deliverable, an e-mail of a private network is left: the users plugin decides about it.
 */
function emailOf (name: unknown, mail: unknown): string | null {
  const texts = [name, mail].filter((text) => typeof text === 'string').filter((text) => text !== '')
  const candidates = [...texts, ...texts.map(originOf)].filter((email) => !email.includes('#'))
  return candidates.find(isDeliverable) ?? candidates[0] ?? null
}

/** Returns the e-mail that the user principal name of a guest or of a personal account is made of. */
function originOf (name: string): string {
  const [email = '', ...tenant] = name.replace(PERSONAL, '').split(GUEST)
  const at = email.lastIndexOf('_')
  return tenant.length === 0 || at === -1 ? email : `${email.slice(0, at)}@${email.slice(at + 1)}`
}

/** False for a domain that receives no mail, such as `.local`. */
function isDeliverable (email: string): boolean {
  return explainEmail(email, { allowIntranetEmails: false }) === null
}
