import type { User } from '../../feature/index.js'

/** A provider account that is linked to a user, without the provider's tokens. */
export interface LinkedAccount {
  id: string | number
  oauth_name: string
  account_id: string
  account_email: string
}

declare module '../../contracts/events.js' {
  interface UsersEvents {
    /** After a provider account is linked to an existing user, not for the account with which a user registers. */
    onAfterLink: { user: User; account: LinkedAccount }
    onAfterUnlink: { user: User; account: LinkedAccount }
  }
}

/** Names of the events of the feature. */
export const oauthEvents = ['onAfterLink', 'onAfterUnlink'] as const
