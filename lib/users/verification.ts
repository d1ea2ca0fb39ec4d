import type { EventContext } from '../contracts/events.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_VERIFY_USER_ALREADY_VERIFIED, FST_USERS_VERIFY_USER_BAD_TOKEN, isUsersError } from '../errors.js'
import { fingerprint, generateStamp, isSameSecret, type Claims } from '../tokens/index.js'
import { foldEmail } from './email.js'
import { reportExisting } from './registration.js'
import { contextOf, type Rules } from './rules.js'
import { destroyStored } from './sessions.js'

/** Finds the user now. Makes the token and calls the listeners after the reply has been sent. */
export async function requestVerify (rules: Rules, email: string, call: CallContext): Promise<void> {
  const row = await rules.rows.getByEmail(email)
  if (row === null || !row.is_active || row.is_verified) return
  announce(rules, row, { email: row.email }, row.email, contextOf(call))
}

/**
 * Sends the proof of a new e-mail to it; the account keeps the old one until then. With `revealExistingAccounts: false` the
 * owner of a taken e-mail is told instead.
 */
export function requestEmailChange (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  if (rules.settings.revealExistingAccounts) {
    announceChange(rules, row, newEmail, context)
    return
  }
  rules.background.run(async () => {
    if (!await reportExisting(rules, newEmail, 'email-change', context)) announceChange(rules, row, newEmail, context)
  }, context.reply)
}

function announceChange (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  announce(rules, row, { email: row.email, new_email: newEmail, fgpt: changeFingerprint(rules, row, rules.fingerprintKeys[0]) }, newEmail, context)
}

/** Marks the token's user as verified, once. */
export async function verify (rules: Rules, token: string, call: CallContext): Promise<User> {
  const claims = rules.tokens.verify.read(token)
  const row = claims === null ? null : await rowOf(rules, claims)
  if (claims === null || row === null) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  const verified = claims.new_email === undefined ? await markVerified(rules, row) : await changeEmail(rules, row, claims)
  await rules.hooks.run('onAfterVerify', { user: verified }, contextOf(call))
  return verified
}

function announce ({ tokens, hooks, rows, background }: Rules, row: UserRow, claims: Record<string, string>, email: string, context: EventContext): void {
  background.run(async () => {
    const token = tokens.verify.sign({ sub: String(row.id), ...claims })
    await hooks.run('onAfterRequestVerify', { user: rows.toUser(row), token, email }, context)
  }, context.reply)
}

/** The row of the token's id, as long as the address is still its. */
async function rowOf ({ rows }: Rules, { sub, email }: Claims): Promise<UserRow | null> {
  const id = rows.parseId(sub)
  const row = id === null ? null : await rows.getRow(id)
  return row !== null && typeof email === 'string' && foldEmail(row.email) === foldEmail(email) ? row : null
}

async function markVerified ({ rows }: Rules, row: UserRow): Promise<User> {
  if (row.is_verified) throw FST_USERS_VERIFY_USER_ALREADY_VERIFIED()
  if (await rows.update({ id: row.id, email: row.email, is_verified: false }, { is_verified: true }) === 1) return rows.toUser({ ...row, is_verified: true })
  const now = await rows.getRow(row.id as UserId)
  throw now?.is_verified === true ? FST_USERS_VERIFY_USER_ALREADY_VERIFIED() : FST_USERS_VERIFY_USER_BAD_TOKEN()
}

/** The new address takes effect, and all sessions end. Works once: the fingerprint holds the old address and stamp. */
async function changeEmail (rules: Rules, row: UserRow, { new_email: email, fgpt }: Claims): Promise<User> {
  if (typeof email !== 'string' || !row.is_active || !rules.fingerprintKeys.some((key) => isSameSecret(String(fgpt), changeFingerprint(rules, row, key)))) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  const { id, email: old, hashed_password: hash, session_stamp: stamp } = row
  const unchanged = { id, email: old, hashed_password: hash, is_active: true, ...(stamp === undefined ? {} : { session_stamp: stamp }) }
  const changes = { email, is_verified: true, session_stamp: generateStamp() }
  const done = await rules.rows.update(unchanged, changes).catch((error: unknown) => {
    if (isUsersError(error) && error.fields !== undefined) return 0     // taken meanwhile
    throw error
  })
  if (done !== 1) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  await destroyStored(rules, row)
  return rules.rows.toUser({ ...row, email, is_verified: true })
}

function changeFingerprint ({ rows }: Rules, row: UserRow, key: string): string {
  return fingerprint(key, 'email-change', row.hashed_password, row.email, rows.stampOf(row))
}
