import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CallContext,
  contextOf,
  type FeatureKit,
  FST_USERS_LOGIN_USER_NOT_VERIFIED,
  FST_USERS_STORE_UNAVAILABLE,
  hasErrorCode,
  parseEmail,
  parseNewEmail,
  type UserId,
  type UserRow
} from '../../feature/index.js'
import {
  FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL,
  FST_USERS_OAUTH_PROFILE_INCOMPLETE,
  FST_USERS_OAUTH_USER_ALREADY_EXISTS
} from './errors.js'
import { toAccount, type AccountRow } from './account-model.js'
import type { AccountRows } from './account-rows.js'
import type { AccountSettings, Identity } from './contracts.js'
import { fireAccountEvents } from './events.js'
import { checkIdentity, isProven } from './identity.js'

export interface AccountRules {
  readonly kit: FeatureKit
  readonly settings: AccountSettings
  readonly accounts: AccountRows
  /** Users that a first login has created. They are deleted if that login is refused. */
  readonly created: WeakSet<UserRow>
}

const ATTEMPTS = 20
const PAUSE_MS = 20

/**
 * Returns the user of an identity: the user of its account; otherwise, if linking by e-mail is enabled and both sides
 * verified the e-mail, the user with that e-mail; otherwise a new one. Starts again if a parallel request changed
 * something.
 */
export async function resolveUser (rules: AccountRules, identity: Identity, call: CallContext): Promise<UserRow> {
  const email = checkIdentity(identity)
  for (let left = ATTEMPTS; left > 0; left--) {
    const row = await resolveOnce(rules, identity, email, call, left === 1)
    if (row !== null) return row
    await sleep(PAUSE_MS * Math.random())
  }
  throw FST_USERS_STORE_UNAVAILABLE([], { headers: { 'retry-after': '1' } })
}

/** Returns null if something changed in the meantime. */
async function resolveOnce (
  rules: AccountRules,
  identity: Identity,
  givenEmail: string,
  call: CallContext,
  isLast: boolean
): Promise<UserRow | null> {
  const {
    kit: { rows, settings },
    accounts
  } = rules
  const account = await accounts.find(identity)
  if (account !== null) return await renewLinkedAccount(rules, account, identity)
  const email = parseEmail(givenEmail)
  if (email === null) throw FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL()
  const existing = await rows.getByEmail(email)
  if (!settings.revealExistingAccounts && !isProven(identity)) throw refuseUnproven(rules, existing, call)
  if (existing === null) return await registerIdentity(rules, identity, email, call)
  if (!isLast && (await isBeingCreated(rules, existing, identity))) return null
  return await linkByEmail(rules, existing, identity, call)
}

/**
 * Returns the error for an e-mail that the provider does not vouch for. It is the same for new and existing e-mails, so
 * it does not reveal users. Nothing is stored. For an existing user, `onRegisterExisting` fires after the reply.
 */
function refuseUnproven ({ kit }: AccountRules, existing: UserRow | null, call: CallContext): Error {
  const context = contextOf(call)
  if (existing !== null) {
    const payload = { user: kit.rows.toUser(existing), attempt: 'provider-login' } as const
    kit.background(async () => {
      if (!(await kit.attempts.allowMail({ purpose: 'notice', email: existing.email }))) return
      await kit.fire('onRegisterExisting', payload, context)
    }, context.reply)
  }
  return FST_USERS_LOGIN_USER_NOT_VERIFIED()
}

/**
 * Returns the user of a known account, whose tokens and e-mail are updated. Deletes an account whose user no longer
 * exists.
 */
async function renewLinkedAccount (
  { kit: { rows }, accounts }: AccountRules,
  account: AccountRow,
  identity: Identity
): Promise<UserRow | null> {
  const row = await rows.getRow(account.user_id as UserId)
  if (row === null) {
    await accounts.remove(account)
    return null
  }
  return (await accounts.renew(account, identity)) ? row : null
}

/**
 * Checks whether a parallel first login has just created the user. Databases without transactions store the user before
 * its account.
 */
async function isBeingCreated (
  { kit, accounts }: AccountRules,
  row: UserRow,
  { provider: { name }, accountId }: Identity
): Promise<boolean> {
  if (kit.loginMethods.hasPassword(row)) return false
  const linked = await accounts.ofUser(row.id as UserId)
  return (
    linked.length === 0 || linked.some((account) => account.oauth_name === name && account.account_id === accountId)
  )
}

/**
 * Links the account to the user with the same e-mail. Both the provider and the user must have verified the e-mail:
 * otherwise an attacker could register someone else's e-mail on one side and take over the other side.
 */
async function linkByEmail (
  rules: AccountRules,
  row: UserRow,
  identity: Identity,
  call: CallContext
): Promise<UserRow | null> {
  const {
    kit,
    settings: { associateByEmail, reclaimUnverified },
    accounts
  } = rules
  if (!associateByEmail || !isProven(identity) || !(row.is_verified || reclaimUnverified)) {
    throw FST_USERS_OAUTH_USER_ALREADY_EXISTS()
  }
  // an inactive user must not be verified or reclaimed
  if (!row.is_verified && !row.is_active) throw FST_USERS_OAUTH_USER_ALREADY_EXISTS()
  if (!row.is_verified) return await reclaim(rules, row, identity, call)
  const added = await accounts.add(row.id, identity)
  if (added === null) return null
  await fireAccountEvents(kit, 'linked', row, toAccount(added), call)
  return row
}

/**
 * Hands an unverified user over to the person who proved the e-mail. The person who registered it may be an attacker,
 * so every credential of that person is removed.
 */
async function reclaim (
  rules: AccountRules,
  { id }: UserRow,
  identity: Identity,
  call: CallContext
): Promise<UserRow | null> {
  const { kit, accounts } = rules
  const row = await kit.externalUsers.reclaimUnverified(id as UserId, call)
  const added = row === null ? null : await accounts.add(id, identity)
  if (row === null || added === null) return null
  await fireAccountEvents(kit, 'linked', row, toAccount(added), call)
  return row
}

/**
 * Creates a user with the account of the identity. Returns null if a parallel login was first. Stores nothing if login
 * requires a verified e-mail and this one is not: the person who verified it later would get a user with this account.
 */
async function registerIdentity (
  rules: AccountRules,
  identity: Identity,
  email: string,
  call: CallContext
): Promise<UserRow | null> {
  const {
    kit,
    settings: { isVerifiedByDefault, requireVerification, mapProfile },
    accounts,
    created
  } = rules
  if (parseNewEmail(email, kit.settings) === null) throw FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL()
  const isVerified = isVerifiedByDefault && isProven(identity)
  if (!isVerified && requireVerification === true) throw FST_USERS_LOGIN_USER_NOT_VERIFIED()
  const fields = await mapProfile?.(identity.profile, identity)
  try {
    const values = { ...fields, email, is_verified: isVerified }
    const row = await accounts.createUser(values, identity, call)
    if (row !== null) created.add(row)
    return row
  } catch (error) {
    if (hasErrorCode(error, 'FST_USERS_REGISTER_USER_ALREADY_EXISTS')) return null
    throw hasErrorCode(error, 'FST_USERS_INVALID_USER') ? incompleteProfile(error) : error
  }
}

/** Returns the error that lists the missing and invalid fields of a profile. */
function incompleteProfile (error: unknown): Error {
  const problems = (error as { detail: { path: string; message: string }[] }).detail // the detail of INVALID_USER
  const text = problems.map(({ path, message }) => `${path} ${message}`).join('; ')
  return FST_USERS_OAUTH_PROFILE_INCOMPLETE([text], { detail: { code: 'OAUTH_PROFILE_INCOMPLETE', reason: problems } })
}
