import type { Changes, Where } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { MailboxProof } from '../contracts/login-methods.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_VERIFY_USER_BAD_TOKEN, isUsersError } from '../errors.js'
import { createUnusableHash } from '../passwords/index.js'
import {
  contextOf,
  currentRow,
  deleteStoredTokens,
  renewSession,
  revokeSessions,
  sessionsOfCookies
} from '../sessions/index.js'
import { fingerprint, generateStamp, isSameSecret } from '../tokens/index.js'
import { isSameEmail } from './email.js'
import { removeUnproved } from './login-methods.js'
import type { Rules } from './rules.js'

/** Options of `recordProof`. */
export interface EmailProof {
  /** Further values for the same write, such as the new e-mail or a new password hash. */
  readonly changes?: Changes
  /** Renews the cookie session of the same user on the request. Default: true. */
  readonly renews?: boolean
  /** Second factors that were added at this time or later are deleted. Default: see {@link proofOf}. */
  readonly untrustedSince?: Date
}

/** The time before all rows. */
const ALWAYS = new Date(0)

/**
 * Describes the proof of a mailbox. The first one that replaces the password hands the account over, because another
 * person may have registered it: no second factor of that person stays. A verified user keeps the factors.
 */
export function proofOf (row: UserRow, changes: Changes): MailboxProof {
  const replacesPassword = changes.hashed_password !== undefined
  const handsOver = !row.is_verified && changes.is_verified !== false && replacesPassword
  return { wasVerified: row.is_verified, replacesPassword, untrustedSince: handsOver ? ALWAYS : null }
}

/**
 * Marks the e-mail of a user as verified, after its owner proved the mailbox. All verifications by a user use it.
 *
 * Another person may have registered the user before. So, in this order: provider accounts that did not prove the
 * e-mail are deleted; one compare-and-set write sets `is_verified` and a new security stamp, which revokes all sessions
 * and all mailed tokens; provider accounts that were linked in between are deleted; the cookie session on the request
 * is renewed. A first proof that replaces the password also deletes all second factors, and the tokens with which a
 * former owner of the account could undo a change of the e-mail. If a step before the write fails, nothing is verified,
 * and the proof can be used again.
 *
 * Fires `onAfterVerify` if the e-mail was not verified before. Returns null and writes nothing if the row has changed.
 */
export async function recordProof (
  rules: Rules,
  row: UserRow,
  { changes = {}, renews = true, untrustedSince }: EmailProof,
  context: EventContext
): Promise<UserRow | null> {
  const { rows, hooks } = rules
  const isNew = !row.is_verified || changes.email !== undefined
  // fields of the user model
  const proved = { ...row, is_verified: true, ...changes, session_stamp: generateStamp() } as UserRow
  const acting = renews ? await sessionsOfCookies(rules, row, context.request) : []
  const known = proofOf(row, changes)
  const proof = untrustedSince === undefined ? known : { ...known, untrustedSince }
  // before and after the write: an earlier request of the former owner may still be running
  const endUndo = async (): Promise<void> => {
    if (proof.untrustedSince === ALWAYS) await rules.undoTokens?.deleteOf({ userId: row.id as UserId })
  }
  await endUndo()
  if (isNew) await removeUnproved(rules, proved, proof, context)
  const written = { is_verified: true, ...changes, session_stamp: proved.session_stamp as string }
  if ((await updateUnlessTaken(rules, unchangedRow(row), written)) !== 1) return null
  if (row.session_stamp === undefined) delete proved.session_stamp // the table has no such column
  await endUndo()
  const settled = isNew ? await removeLateAccounts(rules, proved, proof, context) : proved
  await deleteStoredTokens(rules, settled)
  for (const presented of acting) await renewSession(rules, settled, presented, context)
  if (isNew && settled.is_verified) await hooks.run('onAfterVerify', { user: rows.toUser(settled) }, context)
  return settled
}

/**
 * Marks the e-mail as verified after a login method of the application proved the mailbox `user.email`. The password of
 * an unverified user is deleted too, because another person may have registered the e-mail. A verified user is returned
 * unchanged. Throws `FST_USERS_NOT_FOUND`, and `FST_USERS_VERIFY_USER_BAD_TOKEN` if the user is inactive or
 * has another e-mail now.
 */
export async function confirmEmail (rules: Rules, user: User, call: CallContext): Promise<User> {
  const row = await currentRow(rules, user)
  if (!row.is_active || !isSameEmail(row.email, user.email)) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  if (row.is_verified) return rules.rows.toUser(row)
  const changes = { hashed_password: await createUnusableHash(rules.settings.passwords) }
  const proved = await recordProof(rules, row, { changes }, contextOf(call))
  // the row changed: read it again
  return proved === null ? await confirmEmail(rules, user, call) : rules.rows.toUser(proved)
}

/** Deletes what was added while a proof was recorded, such as provider accounts, and revokes the sessions. */
export async function removeLateAccounts (
  rules: Rules,
  row: UserRow,
  proof: MailboxProof,
  context: EventContext
): Promise<UserRow> {
  let current = row
  while ((await removeUnproved(rules, current, proof, context)) > 0) current = await revokeSessions(rules, current)
  return current
}

/** Returns the condition that a row is active, and that its e-mail, hash, flag and security stamp are unchanged. */
function unchangedRow ({
  id,
  email,
  hashed_password: hash,
  is_verified: isVerified,
  session_stamp: stamp
}: UserRow): Where {
  const state = { id, email, hashed_password: hash, is_verified: isVerified, is_active: true }
  return stamp === undefined ? state : { ...state, session_stamp: stamp }
}

/** Returns the number of changed rows; 0 if another user has the new e-mail. */
async function updateUnlessTaken ({ rows }: Rules, where: Where, changes: Changes): Promise<number> {
  try {
    return await rows.update(where, changes)
  } catch (error) {
    if (isUsersError(error) && error.fields !== undefined) return 0
    throw error
  }
}

/** The purpose of a mailed token. */
export type MailedPurpose = 'reset' | 'verify' | 'email-change'

/**
 * Returns the fingerprint that a mailed token contains. The token is refused after a change of the e-mail, the password
 * or the security stamp. Its use changes the stamp, so that it works once.
 */
export function stateFingerprint ({ rows, fingerprintKeys }: Rules, row: UserRow, purpose: MailedPurpose): string {
  return fingerprint(fingerprintKeys[0], purpose, row.hashed_password, row.email, rows.stampOf(row))
}

/** Returns true if the fingerprint of a mailed token matches the user's current state, with any of the keys. */
export function hasFingerprint (
  { rows, fingerprintKeys }: Rules,
  row: UserRow,
  purpose: MailedPurpose,
  given: string
): boolean {
  const stamps = rows.stampsOf(row)
  return fingerprintKeys.some((key) =>
    stamps.some((stamp) => isSameSecret(given, fingerprint(key, purpose, row.hashed_password, row.email, stamp)))
  )
}
