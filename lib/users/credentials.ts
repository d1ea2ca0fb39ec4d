import type { Attempt } from '../contracts/attempts.js'
import type { EventContext } from '../contracts/events.js'
import type { PasswordReason } from '../contracts/password-policy.js'
import type { User, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import {
  FST_USERS_INVALID_OPTION,
  FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD,
  hasErrorCode,
  type UsersError
} from '../errors.js'
import { preparePassword } from '../passwords/index.js'
import { contextOf } from '../sessions/index.js'
import type { Rules } from './rules.js'
import { invalidUser } from './validation.js'

/** Returns the password in the form that is hashed. Throws `FST_USERS_INVALID_USER` for text that is not allowed. */
export function readPassword ({ settings }: Rules, password: string): string {
  const prepared = preparePassword(password, { normalize: settings.wire.normalizePasswords })
  if (prepared === null) {
    throw invalidUser([
      { path: '/password', keyword: 'format', message: 'must be well-formed Unicode of at most 1024 bytes' }
    ])
  }
  return prepared
}

/**
 * Throws `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD` if the given password is not the user's current one. A missing
 * password is not counted.
 */
export async function checkCurrentPassword (
  rules: Rules,
  row: UserRow,
  given: string | undefined,
  context: EventContext
): Promise<void> {
  if (given === undefined) throw FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD()
  await checkPassword(rules, row, given, context, FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD)
}

/** Throws `refusal()` if the given password is not the user's current one. Wrong ones are counted. */
export async function checkPassword (
  { settings, attempts }: Rules,
  row: UserRow,
  given: string,
  context: EventContext,
  refusal: () => Error
): Promise<void> {
  const attempt = await attempts.begin('currentPassword', { email: row.email, context })
  const isRight = await whileUnchecked(attempt, async () => {
    const current = preparePassword(given, { normalize: settings.wire.normalizePasswords })
    return current !== null && (await settings.passwords.verifyAndUpdate(current, row.hashed_password)).ok
  })
  if (isRight) return attempt.succeeded()
  await attempt.failed(row)
  throw refusal()
}

/**
 * Checks the credentials of a login like `findByCredentials`. An attempt for an inactive user, or for an unverified one
 * with `revealExistingAccounts: false`, counts as failed although the password is right: otherwise the counters would
 * reveal that it is.
 */
export async function attemptLogin (
  rules: Rules,
  credentials: { username: string; password: string },
  backend: string | null,
  context: EventContext
): Promise<{ row: UserRow; right: boolean } | null> {
  const attempt = await rules.attempts.begin('login', { email: credentials.username, backend, context })
  const checked = await whileUnchecked(attempt, () => findByCredentials(rules, credentials))
  const row = checked?.row ?? null
  const isUsable = row !== null && row.is_active && (row.is_verified || rules.settings.revealExistingAccounts)
  if (checked?.right === true && isUsable) attempt.succeeded()
  else await attempt.failed(row)
  return checked
}

/** Runs a check. If it throws, for example because the store failed, the account does not count the attempt. */
async function whileUnchecked<T> (attempt: Attempt, check: () => Promise<T>): Promise<T> {
  try {
    return await check()
  } catch (error) {
    attempt.undo()
    throw error
  }
}

/** Checks a password with the password policy. If the policy refuses it, throws `toError` with all reasons. */
export async function applyPolicy (
  { settings, log }: Rules,
  password: string,
  user: User | { email: string },
  toError: (reason: unknown, reasons?: readonly PasswordReason[]) => Error,
  call: CallContext
): Promise<void> {
  let verdict
  try {
    verdict = await settings.validatePassword(password, user, { log: contextOf(call).request?.log ?? log })
  } catch (error) {
    if (!hasErrorCode(error, 'FST_USERS_INVALID_PASSWORD')) throw error
    throw toError(((error as UsersError).detail as { reason: unknown }).reason) // its factory adds the reason
  }
  if (typeof verdict === 'string') throw toError(verdict)
  if (typeof verdict !== 'object' || verdict === null) return
  const reasons = Array.isArray(verdict) ? (verdict as readonly PasswordReason[]) : [verdict as PasswordReason]
  if (!reasons.every(isReason)) {
    throw FST_USERS_INVALID_OPTION(['validatePassword', 'must return texts or reasons: { code, message }'])
  }
  if (reasons.length > 0) throw toError(reasons.map(({ message }) => message).join(' '), reasons)
}

function isReason ({ code, message }: PasswordReason): boolean {
  return typeof code === 'string' && typeof message === 'string'
}

/**
 * Returns the row with this e-mail, with `right: true` if the password matches; null for an unknown e-mail. Unknown
 * e-mails take the same time. After a correct password, an outdated hash is replaced with a compare-and-set write; if
 * another process changed the hash first, the row is read again.
 */
export async function findByCredentials (
  rules: Rules,
  { username, password }: { username: string; password: string }
): Promise<{ row: UserRow; right: boolean } | null> {
  const {
    rows,
    settings: { passwords, wire }
  } = rules
  const prepared = preparePassword(password, { normalize: wire.normalizePasswords })
  if (prepared === null) return null
  const row = await rows.getByEmail(username)
  if (row === null) {
    await (passwords.verifyUnknown?.(prepared) ?? passwords.hash(prepared))
    return null
  }
  const { ok, newHash } = await passwords.verifyAndUpdate(prepared, row.hashed_password)
  if (!ok || newHash === null) return { row, right: ok }
  const upgraded = await upgradeHash(rules, row, newHash)
  return upgraded === null ? await findByCredentials(rules, { username, password }) : { row: upgraded, right: true }
}

/**
 * Returns the row with its new hash, or null if another process changed the hash meanwhile. The security stamp is kept,
 * so that no session ends. If the write fails, the login succeeds with the old hash.
 */
async function upgradeHash ({ rows, background }: Rules, row: UserRow, newHash: string): Promise<UserRow | null> {
  const stamp = row.session_stamp === null ? { session_stamp: rows.stampOf(row) } : {}
  const changes = { hashed_password: newHash, ...stamp }
  try {
    return (await rows.update({ id: row.id, hashed_password: row.hashed_password }, changes)) === 1
      ? { ...row, ...changes }
      : null
  } catch (error) {
    background.run(() => Promise.reject(error)) // only logged
    return row
  }
}
