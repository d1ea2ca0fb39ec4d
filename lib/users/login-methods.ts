import type { EventContext } from '../contracts/events.js'
import type { LoginMethodRemoval, LoginMethodsService, MailboxProof } from '../contracts/login-methods.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { isUnusableHash } from '../passwords/index.js'
import type { Rules } from './rules.js'

/** Creates the functions about login methods that features use. */
export function createLoginMethods (rules: Rules): LoginMethodsService {
  return {
    hasPassword,
    count: (row) => countLoginMethods(rules, row, Infinity),
    removeOne: (row, removal) => removeLoginMethod(rules, row, removal)
  }
}

/**
 * Deletes login methods that features store for a user: all of them or, after a proof of the mailbox, only those whose
 * use does not prove that the user owns `user.email`. Returns the number of deleted ones.
 */
export async function removeLoginMethods (
  { loginMethods }: Rules,
  user: User,
  which: 'all' | MailboxProof
): Promise<number> {
  let removed = 0
  for (const methods of loginMethods) {
    removed += readCount(await (which === 'all' ? methods.removeAll?.(user) : methods.removeUnproved?.(user, which)))
  }
  return removed
}

/**
 * Deletes what an earlier owner of the account may have left, after a proof of the mailbox `row.email`: login methods
 * that did not prove it, and second factors that the proof does not trust. Returns the number of deleted ones.
 */
export async function removeUnproved (
  rules: Rules,
  row: UserRow,
  proof: MailboxProof,
  context: EventContext
): Promise<number> {
  const { secondFactors, audit, rows } = rules
  const { untrustedSince: since } = proof
  const user = rows.toUser(row)
  let removed = 0
  for (const { name: method, removeAll } of secondFactors) {
    const factors = since === null ? 0 : readCount(await removeAll(user, since))
    if (factors > 0) audit.emit({ event: 'factor.remove', user, method, details: { factors } }, context)
    removed += factors
  }
  // recovery codes come last, because they are deleted with the last factor
  return removed + (await removeLoginMethods(rules, row, proof))
}

/**
 * Returns true if the sessions of a user were not revoked between two reads. The other columns serve tables without a
 * column for the security stamp.
 */
export function isUnchanged (now: UserRow, before: UserRow): boolean {
  const keys = ['session_stamp', 'hashed_password', 'email', 'is_verified', 'is_active'] as const
  return keys.every((key) => now[key] === before[key])
}

/** Returns true if the user can log in with a password. */
export function hasPassword ({ hashed_password: hash }: UserRow): boolean {
  return !isUnusableHash(hash)
}

/** Returns the number of login methods of a user. Stops counting when `limit` is reached. */
async function countLoginMethods ({ rows, loginMethods }: Rules, row: UserRow, limit: number): Promise<number> {
  let count = hasPassword(row) ? 1 : 0
  const user = rows.toUser(row)
  for (const methods of loginMethods) {
    if (count >= limit) break
    count += readCount(await methods.count(user))
  }
  return count
}

async function removeLoginMethod (
  rules: Rules,
  row: UserRow,
  { remove, restore, refusal }: LoginMethodRemoval
): Promise<boolean> {
  const id = row.id as UserId
  if ((await countLoginMethods(rules, row, 2)) < 2) throw refusal()
  const now = await rules.rows.getRow(id)
  if (now === null || !isUnchanged(now, row)) throw FST_USERS_UNAUTHENTICATED()
  if (readCount(await remove()) === 0) return false
  if (await keepsLoginMethod(rules, id, restore)) return true
  await restore()
  // a user who was deleted in the meantime must not leave a login method behind
  if ((await rules.rows.getRow(id)) === null) await remove()
  throw refusal()
}

/** Returns true if a user has a login method left, or is deleted. Restores the removed one if the store fails. */
async function keepsLoginMethod (
  rules: Rules,
  id: UserId,
  restore: LoginMethodRemoval['restore']
): Promise<boolean> {
  try {
    const left = await rules.rows.getRow(id) // the password may have been removed meanwhile
    return left === null || (await countLoginMethods(rules, left, 1)) > 0
  } catch (error) {
    await restore()
    throw error
  }
}

/** Returns 0 for any result of a feature that is not a whole number, so that it cannot count as a login method. */
function readCount (value: unknown): number {
  return Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : 0
}
