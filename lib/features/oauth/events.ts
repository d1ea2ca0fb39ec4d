import { contextOf, type CallContext, type FeatureKit, type User, type UserRow } from '../../feature/index.js'

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
export const oauthEvents = ['onAfterLink', 'onAfterUnlink', 'onLoginMethodAdded', 'onLoginMethodRemoved'] as const

/** Fires the events of an account that a user linked or unlinked. */
export async function fireAccountEvents (
  kit: Pick<FeatureKit, 'fire' | 'rows'>,
  change: 'linked' | 'unlinked',
  row: UserRow,
  account: LinkedAccount,
  call: CallContext
): Promise<void> {
  const [first, second] = change === 'linked'
    ? (['onAfterLink', 'onLoginMethodAdded'] as const)
    : (['onAfterUnlink', 'onLoginMethodRemoved'] as const)
  const user = kit.rows.toUser(row)
  await kit.fire(first, { user, account }, contextOf(call))
  await kit.fire(second, { user, kind: 'provider', method: account.oauth_name }, contextOf(call))
}
