import type { EventContext, LoginFailure } from '../contracts/events.js'
import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD, isUsersError } from '../errors.js'
import { preparePassword } from '../passwords/index.js'
import type { Rules } from './rules.js'
import { invalidUser } from './validation.js'

/** A password as it is hashed. Throws `FST_USERS_INVALID_USER` for text that cannot be one. */
export function readPassword ({ settings }: Rules, password: string): string {
  const prepared = preparePassword(password, { normalize: settings.normalizePasswords })
  if (prepared === null) {
    throw invalidUser([
      { path: '/password', keyword: 'format', message: 'must be well-formed Unicode of at most 1024 bytes' }
    ])
  }
  return prepared
}

/** Asks a user for the password that it has. Throws `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD`. */
export async function checkCurrentPassword ({ settings }: Rules, row: UserRow, given = ''): Promise<void> {
  const current = preparePassword(given, { normalize: settings.normalizePasswords })
  const { ok } =
    current === null ? { ok: false } : await settings.passwords.verifyAndUpdate(current, row.hashed_password)
  if (!ok) throw FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD()
}

/** Asks the password policy; a refusal becomes the error that `toError` makes of its reason. */
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
 * Returns the row with this e-mail, and whether the password is its own; null for an unknown e-mail. Known and unknown
 * e-mails cost the same work. The right password replaces a weaker hash by compare-and-set, and the loser of a race
 * reads again.
 */
export async function checkCredentials (
  rules: Rules,
  { username, password }: { username: string; password: string }
): Promise<{ row: UserRow; right: boolean } | null> {
  const {
    rows,
    settings: { passwords, normalizePasswords }
  } = rules
  const prepared = preparePassword(password, { normalize: normalizePasswords })
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

/** Tells listeners of a failed login. */
export async function reportFailure (
  { hooks, rows }: Rules,
  reason: LoginFailure,
  username: string,
  row: UserRow | null,
  backend: string | null,
  context: EventContext
): Promise<void> {
  await hooks.run('onLoginFailed', { username, user: row && rows.toUser(row), backend, reason }, context)
}

/**
 * The row with its new hash, or null when somebody else changed the hash meanwhile. The stamp stays what it was: an
 * upgrade ends no session. A failing write does not fail the login.
 */
async function upgradeHash ({ rows, background }: Rules, row: UserRow, newHash: string): Promise<UserRow | null> {
  const stamp = row.session_stamp === null ? { session_stamp: rows.stampOf(row) } : {}
  const changes = { hashed_password: newHash, ...stamp }
  try {
    return (await rows.update({ id: row.id, hashed_password: row.hashed_password }, changes)) === 1
      ? { ...row, ...changes }
      : null
  } catch (error) {
    background.run(() => Promise.reject(error)) // logged; the old hash stays good
    return row
  }
}
