import type { User, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_RESET_PASSWORD_BAD_TOKEN, FST_USERS_RESET_PASSWORD_INVALID_PASSWORD } from '../errors.js'
import { fingerprint, generateStamp, isSameSecret, type Claims } from '../tokens/index.js'
import { applyPolicy, readPassword } from './credentials.js'
import { contextOf, removeAttached, type Rules } from './rules.js'
import { cutSessions, destroyStored } from './sessions.js'

/** Finds the user now. Makes the token and calls the listeners after the reply has been sent. */
export async function forgotPassword (rules: Rules, email: string, call: CallContext): Promise<void> {
  const { rows, hooks, background, tokens } = rules
  const row = await rows.getByEmail(email)
  if (row === null || !row.is_active) return
  const context = contextOf(call)
  background.run(async () => {
    const token = tokens.reset.sign({ sub: String(row.id), ...await fingerprintsOf(rules, row) })
    await hooks.run('onAfterForgotPassword', { user: rows.toUser(row), token }, context)
  }, context.reply)
}

/**
 * Sets a new password and ends all sessions. The token dies with any change of password, address, state or sessions;
 * of parallel uses one wins, by compare-and-set on all that the fingerprint holds. Whoever had an address before it was
 * proved may be anybody: what they attached goes before the password is set, so that the token is good for another try
 * if that fails.
 */
export async function resetPassword (rules: Rules, token: string, given: string, call: CallContext): Promise<User> {
  const { rows, settings, hooks } = rules
  const claims = rules.tokens.reset.read(token)
  const row = claims === null ? null : await rowOf(rules, claims)
  if (row === null) throw FST_USERS_RESET_PASSWORD_BAD_TOKEN()
  const password = readPassword(rules, given)
  await applyPolicy(rules, password, rows.toUser(row), FST_USERS_RESET_PASSWORD_INVALID_PASSWORD)

  const { id, email, hashed_password: oldHash, session_stamp: oldStamp } = row
  const unchanged = { id, email, hashed_password: oldHash, is_active: true, ...(oldStamp === undefined ? {} : { session_stamp: oldStamp }) }
  const changes = { hashed_password: await settings.passwords.hash(password), session_stamp: generateStamp() }
  if (!row.is_verified) await removeAttached(rules, row)
  if (await rows.update(unchanged, changes) !== 1) throw FST_USERS_RESET_PASSWORD_BAD_TOKEN()
  if (!row.is_verified) await removeLate(rules, row)
  await destroyStored(rules, row)
  const user = rows.toUser(row)
  await hooks.run('onAfterResetPassword', { user }, contextOf(call))
  return user
}

/** What was attached while the password was being set goes too, with the sessions that it opened. */
async function removeLate (rules: Rules, row: UserRow): Promise<void> {
  while (await removeAttached(rules, row) > 0) await cutSessions(rules, row)
}

async function rowOf (rules: Rules, claims: Claims): Promise<UserRow | null> {
  const id = rules.rows.parseId(claims.sub)
  const row = id === null ? null : await rules.rows.getRow(id)
  return row !== null && row.is_active && await fits(rules, row, claims) ? row : null
}

/** The argon2 form, which FastAPI Users reads, knows the hash alone: `fgpt` beside it holds the rest of the user's state. */
async function fingerprintsOf (rules: Rules, row: UserRow): Promise<Record<string, string>> {
  const { fingerprint: form, passwords } = rules.settings
  const own = keyed(rules, row, rules.fingerprintKeys[0])
  return form === 'keyed' ? { password_fgpt: own } : { password_fgpt: await passwords.hash(row.hashed_password, { background: true }), fgpt: own }
}

/** The keyed form is always read, so that the setting can change while tokens are out. Tokens of a Python service have no `fgpt`. */
async function fits (rules: Rules, row: UserRow, { password_fgpt: claim, fgpt }: Claims): Promise<boolean> {
  const given = String(claim)     // the codec requires text
  if (!given.startsWith('$')) return isKeyed(rules, row, given)
  if (rules.settings.fingerprint === 'keyed' || (fgpt !== undefined && !isKeyed(rules, row, String(fgpt)))) return false
  return (await rules.settings.passwords.verifyAndUpdate(row.hashed_password, given)).ok
}

function isKeyed (rules: Rules, row: UserRow, given: string): boolean {
  return rules.fingerprintKeys.some((key) => isSameSecret(given, keyed(rules, row, key)))
}

function keyed ({ rows }: Rules, row: UserRow, key: string): string {
  return fingerprint(key, 'reset', row.hashed_password, row.email, rows.stampOf(row))
}
