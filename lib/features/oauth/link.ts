import type { CallContext } from '../../contracts/users-api.js'
import type { User, UserId, UserRow } from '../../contracts/user.js'
import {
  FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED,
  FST_USERS_OAUTH_ACCOUNT_NOT_FOUND,
  FST_USERS_OAUTH_LAST_LOGIN_METHOD,
  FST_USERS_UNAUTHENTICATED
} from '../../errors.js'
import { toAccount, type AccountRow } from './account-model.js'
import type { Identity, OauthAccount } from './contracts.js'
import { checkIdentity } from './identity.js'
import { contextOf, type AccountRules } from './resolve.js'

/**
 * Adds an account to a user; one that is the user's already has its tokens renewed. Fires `onAfterUpdate`, then
 * `onAfterLink` for a new one.
 */
export async function linkAccount (
  rules: AccountRules,
  given: UserId | UserRow,
  identity: Identity,
  call: CallContext
): Promise<User> {
  const { host } = rules
  checkIdentity(identity)
  const row = typeof given === 'object' ? given : await userRow(rules, given)
  const added = (await renewOwn(rules, row, identity)) ? null : await add(rules, row, identity)
  const user = host.rows.toUser(row)
  await host.fire('onAfterUpdate', { user, changes: {} }, contextOf(call))
  if (added !== null) await host.fire('onAfterLink', { user, account: toAccount(added) }, contextOf(call))
  return user
}

/** The accounts of a user, oldest id first. */
export async function listAccounts ({ accounts }: AccountRules, userId: UserId): Promise<OauthAccount[]> {
  return (await accounts.ofUser(userId)).map(toAccount)
}

/**
 * Takes an account from a user, unless nothing else is left to log in with. The others are counted when it is gone, and
 * it
 * comes back when there are none: of two parallel calls for the last two both are refused.
 */
export async function unlinkAccount (
  rules: AccountRules,
  given: UserId | UserRow,
  accountId: OauthAccount['id'],
  call: CallContext
): Promise<AccountRow> {
  const { host, accounts } = rules
  const row = typeof given === 'object' ? given : await userRow(rules, given)
  const userId = row.id as UserId
  const account = await accounts.get(accountId)
  if (account === null || !isOf(account, userId)) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
  const needed = !host.hasPassword(row)
  if (needed && (await accounts.ofUser(userId)).length < 2) throw FST_USERS_OAUTH_LAST_LOGIN_METHOD()
  if (!isSameState(await userRow(rules, userId), row)) throw FST_USERS_UNAUTHENTICATED()
  if ((await accounts.remove(account)) === 0) throw FST_USERS_OAUTH_ACCOUNT_NOT_FOUND()
  if (needed && (await accounts.ofUser(userId)).length === 0) {
    await accounts.restore(account)
    throw FST_USERS_OAUTH_LAST_LOGIN_METHOD()
  }
  await host.fire('onAfterUnlink', { user: host.rows.toUser(row), account: toAccount(account) }, contextOf(call))
  return account
}

/** True when the account is this user's, and renewed. Another user's is refused; one whose user is gone is removed. */
async function renewOwn ({ host, accounts }: AccountRules, { id }: UserRow, identity: Identity): Promise<boolean> {
  const account = await accounts.find(identity)
  if (account === null) return false
  if (isOf(account, id as UserId)) return await accounts.renew(account, identity)
  if ((await host.rows.getRow(account.user_id as UserId)) !== null) throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
  await accounts.remove(account)
  return false
}

/**
 * The new account; null when a parallel call of the same user added it. A user whose sessions ended meanwhile adds
 * nothing.
 */
async function add (rules: AccountRules, row: UserRow, identity: Identity): Promise<AccountRow | null> {
  const { host, accounts } = rules
  const added = await accounts.add(row.id, identity)
  if (added === null) {
    if (await renewOwn(rules, row, identity)) return null
    throw FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED()
  }
  const now = await host.rows.getRow(row.id as UserId)
  if (now !== null && isSameState(now, row)) return added
  await accounts.remove(added)
  if (now !== null) await host.revokeSessions(now) // it may have logged in meanwhile
  throw FST_USERS_UNAUTHENTICATED()
}

async function userRow ({ host }: AccountRules, id: UserId): Promise<UserRow> {
  const row = await host.rows.getRow(id)
  if (row === null) throw FST_USERS_UNAUTHENTICATED()
  return row
}

/**
 * Checks that nothing ended the sessions of a user between two reads. Without a column for stamps, a proved e-mail
 * shows too.
 */
function isSameState (now: UserRow, before: UserRow): boolean {
  const keys = ['session_stamp', 'hashed_password', 'email', 'is_verified', 'is_active'] as const
  return keys.every((key) => now[key] === before[key])
}

function isOf (account: AccountRow, userId: UserId): boolean {
  return String(account.user_id) === String(userId)
}
