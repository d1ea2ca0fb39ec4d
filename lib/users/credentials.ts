import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD, isUsersError } from '../errors.js'
import { preparePassword } from '../passwords/index.js'
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

/** Throws `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD` if the given password is not the user's current one. */
export async function checkCurrentPassword ({ settings }: Rules, row: UserRow, given = ''): Promise<void> {
  const current = preparePassword(given, { normalize: settings.wire.normalizePasswords })
  const { ok } =
    current === null ? { ok: false } : await settings.passwords.verifyAndUpdate(current, row.hashed_password)
  if (!ok) throw FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD()
}

/** Checks a password with the password policy. If the policy refuses it, throws `toError(reason)`. */
export async function applyPolicy (
  { settings }: Rules,
  password: string,
  user: User | { email: string },
  toError: (reason: unknown) => Error
): Promise<void> {
  let reason
  try {
    reason = await settings.validatePassword(password, user)
  } catch (error) {
    if (isUsersError(error) && error.code === 'FST_USERS_INVALID_PASSWORD') {
      throw toError((error.detail as { reason: unknown }).reason)
    }
    throw error
  }
  if (typeof reason === 'string') throw toError(reason)
}

/**
 * Returns the row with this e-mail, with `right: true` if the password matches; null for an unknown e-mail. Unknown
 * e-mails take the same time. After a correct password, an outdated hash is replaced with a compare-and-set write; if
 * another process changed the hash first, the row is read again.
 */
export async function checkCredentials (
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
  return upgraded === null ? await checkCredentials(rules, { username, password }) : { row: upgraded, right: true }
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
