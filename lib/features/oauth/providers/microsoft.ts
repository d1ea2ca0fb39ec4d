import { explainEmail } from '../../../feature/index.js'
import { defineProvider, type ProviderOptions } from './define-provider.js'
import { optional, textMatching } from './option-checks.js'
import { fetchObject, profileOf } from './profiles.js'

/** Options of `microsoft`. */
export interface MicrosoftOptions extends ProviderOptions {
  /** Accepted accounts: `common`, `organizations`, `consumers`, or the id or domain of a tenant. Default: `common`. */
  tenant?: string
}

/** Suffix in the user principal name of a guest. It follows the guest's e-mail, in which `_` replaces `@`. */
const GUEST = /#EXT#@/i
/** Prefix in the user principal name of a personal account in another tenant. The e-mail follows. */
const PERSONAL = /^live\.com#/i

/** Microsoft accounts, with Microsoft Graph. */
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
      textMatching(
        /^[A-Za-z0-9][A-Za-z0-9.-]*$/,
        'must be common, organizations, consumers, or the id or domain of a tenant'
      )
    )
  },
  responseMode: 'query',
  trustEmail: false, // the administrator of a tenant can assign any name and e-mail to its users
  async profile (api) {
    const user = await fetchObject(api, 'https://graph.microsoft.com/v1.0/me')
    return profileOf(user['id'], chooseEmail(user['userPrincipalName'], user['mail']), false, user)
  }
})

/**
 * Returns the first of these that can receive mail: the user principal name, the e-mail of the mailbox, and the e-mail
 * in the name of a guest or a personal account. The name comes first because existing accounts are stored with it. If
 * none can receive mail, returns an e-mail of a private network, which the users plugin accepts or refuses.
 */
function chooseEmail (name: unknown, mail: unknown): string | null {
  const texts = [name, mail].filter((text) => typeof text === 'string').filter((text) => text !== '')
  const candidates = [...texts, ...texts.map(originalEmailOf)].filter((email) => !email.includes('#'))
  return candidates.find(isDeliverable) ?? candidates[0] ?? null
}

/** Returns the original e-mail in the user principal name of a guest or of a personal account. */
function originalEmailOf (name: string): string {
  const [email = '', ...tenant] = name.replace(PERSONAL, '').split(GUEST)
  const at = email.lastIndexOf('_')
  return tenant.length === 0 || at === -1 ? email : `${email.slice(0, at)}@${email.slice(at + 1)}`
}

/** Checks that the domain can receive mail; `.local`, for example, cannot. */
function isDeliverable (email: string): boolean {
  return explainEmail(email, { allowIntranetEmails: false }) === null
}
