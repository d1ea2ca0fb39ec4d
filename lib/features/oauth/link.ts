import {
  contextOf,
  type CallContext,
  FST_USERS_UNAUTHENTICATED,
  isUnchanged,
  type User,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import {
  FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED,
  FST_USERS_OAUTH_ACCOUNT_NOT_FOUND,
  FST_USERS_OAUTH_LAST_LOGIN_METHOD
} from './errors.js'
import { toAccount, type AccountRow } from './account-model.js'
import type { Identity, OauthAccount } from './contracts.js'
import { fireAccountEvents } from './events.js'
import { checkIdentity } from './identity.js'
import type { AccountRules } from './resolve.js'

/**
 * Links an account to a user. If the user already has the account, its tokens are replaced. Fires `onAfterUpdate`, and
 * `onAfterLink` and `onLoginMethodAdded` for a new account.
 */
export async function linkAccount (
  rules: AccountRules,
  given: UserId | UserRow,
  identity: Identity,
  call: CallContext
): Promise<User> {
  const { kit } = rules
  checkIdentity(identity)
  const row = typeof given === 'object' ? given : await requireUserRow(rules, given)
  const added = (await renewOwn(rules, row, identity)) ? null : await addOwnAccount(rules, row, identity)
  const user = kit.rows.toUser(row)
  await kit.fire('onAfterUpdate', { user, changes: {} }, contextOf(call))
  if (added !== null) {
    const account = toAccount(added)
    await fireAccountEvents(kit, 'linked', row, account, call)
    kit.audit.emit({ event: 'provider.link', user, method: `oauth:${account.oauth_name}` }, contextOf(call))
  }
  return user
}

/** Returns the accounts of a user. */
export async function listAccounts ({ accounts }: AccountRules, userId: UserId): Promise<OauthAccount[]> {
  return (await accounts.ofUser(userId)).map(toAccount)
}

/**
 * Unlinks an account, unless it is the only login method.
 */
export async function unlinkAccount (
  rules: AccountRules,
  given: UserId | UserRow,
  accountId: OauthAccount['id'],
  call: CallContext
): Promise<AccountRow> {
  const { kit, accounts } = rules
  const row = typeof given === 'object' ? given : await requireUserRow(rules, given)
  const userId = row.id as UserId
  const account = await accounts.get(accountId)
  if (account === null || !isAccountOf(account, userId)) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
  const isRemoved = await kit.loginMethods.removeOne(row, {
    remove: () => accounts.remove(account),
    restore: () => accounts.restore(account),
    refusal: () => FST_USERS_OAUTH_LAST_LOGIN_METHOD()
  })
  if (!isRemoved) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
  const user = kit.rows.toUser(row)
  await fireAccountEvents(kit, 'unlinked', row, toAccount(account), call)
  kit.audit.emit({ event: 'provider.unlink', user, method: `oauth:${account.oauth_name}` }, contextOf(call))
  return account
}

/**
 * Updates the account and returns true if the user has it already; otherwise returns false. Throws
 * `FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED` if another user has it. Deletes an account whose user no longer exists.
 */
async function renewOwn ({ kit, accounts }: AccountRules, { id }: UserRow, identity: Identity): Promise<boolean> {
  const account = await accounts.find(identity)
  if (account === null) return false
  if (isAccountOf(account, id as UserId)) return await accounts.renew(account, identity)
  if ((await kit.rows.getRow(account.user_id as UserId)) !== null) throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
  await accounts.remove(account)
  return false
}

/**
 * Adds a new account. Returns null if a parallel call of the same user added it. Throws `FST_USERS_UNAUTHENTICATED` if
 * the user's sessions were revoked in the meantime.
 */
async function addOwnAccount (rules: AccountRules, row: UserRow, identity: Identity): Promise<AccountRow | null> {
  const { kit, accounts } = rules
  const added = await accounts.add(row.id, identity)
  if (added === null) {
    if (await renewOwn(rules, row, identity)) return null
    throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
  }
  const now = await kit.rows.getRow(row.id as UserId)
  if (now !== null && isUnchanged(now, row)) return added
  await accounts.remove(added)
  if (now !== null) await kit.revokeSessions(now) // the account may have been used to log in meanwhile
  throw FST_USERS_UNAUTHENTICATED()
}

async function requireUserRow ({ kit }: AccountRules, id: UserId): Promise<UserRow> {
  const row = await kit.rows.getRow(id)
  if (row === null) throw FST_USERS_UNAUTHENTICATED()
  return row
}

function isAccountOf (account: AccountRow, userId: UserId): boolean {
  return String(account.user_id) === String(userId)
}
