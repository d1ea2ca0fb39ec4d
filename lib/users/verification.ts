import type { EventContext } from '../contracts/events.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_VERIFY_USER_ALREADY_VERIFIED, FST_USERS_VERIFY_USER_BAD_TOKEN } from '../errors.js'
import type { Claims } from '../tokens/index.js'
import { isSameEmail } from './email.js'
import { hasFingerprint, recordProof, stateFingerprint, type MailedPurpose } from './email-proof.js'
import { reportExisting } from './registration.js'
import { contextOf, type Rules } from './rules.js'

/** Finds the user now. Makes the token and calls the listeners after the reply has been sent. */
export async function requestVerify (rules: Rules, email: string, call: CallContext): Promise<void> {
  const row = await rules.rows.getByEmail(email)
  if (row === null || !row.is_active || row.is_verified) return
  sendVerifyToken(rules, row, 'verify', {}, row.email, contextOf(call))
}

/**
 * Sends the proof of a new e-mail to it; the account keeps the old one until then. With `revealExistingAccounts: false`
 * the
 * owner of a taken e-mail is told instead.
 */
export function requestEmailChange (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  if (rules.settings.revealExistingAccounts) {
    sendEmailChangeToken(rules, row, newEmail, context)
    return
  }
  rules.background.run(async () => {
    if (!(await reportExisting(rules, newEmail, 'email-change', context))) sendEmailChangeToken(rules, row, newEmail, context)
  }, context.reply)
}

function sendEmailChangeToken (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  sendVerifyToken(rules, row, 'email-change', { new_email: newEmail }, newEmail, context)
}

/**
 * Marks the e-mail of the token as verified, once; with a token for a new e-mail, that one takes effect. All sessions
 * end,
 * except a cookie session of the same user on the request, which is renewed in the reply.
 */
export async function verify (rules: Rules, token: string, call: CallContext): Promise<User> {
  const claims = rules.tokens.verify.read(token)
  const row = claims === null ? null : await rowOf(rules, claims)
  if (claims === null || row === null || !row.is_active) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  const { new_email: email } = claims
  if (email === undefined && row.is_verified) throw FST_USERS_VERIFY_USER_ALREADY_VERIFIED()
  if (!isBound(rules, row, claims)) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  const changes = typeof email === 'string' ? { email } : {}
  const verified = await recordProof(rules, row, { changes }, contextOf(call))
  if (verified === null) throw await verifyError(rules, row, email === undefined)
  return rules.rows.toUser(verified)
}

function sendVerifyToken (
  rules: Rules,
  row: UserRow,
  purpose: MailedPurpose,
  claims: Record<string, string>,
  email: string,
  context: EventContext
): void {
  const { tokens, hooks, rows, background } = rules
  background.run(async () => {
    const fgpt = stateFingerprint(rules, row, purpose)
    const token = tokens.verify.sign({ sub: String(row.id), email: row.email, ...claims, fgpt })
    await hooks.run('onAfterRequestVerify', { user: rows.toUser(row), token, email }, context)
  }, context.reply)
}

/** The row of the token's id, as long as the address is still its. */
async function rowOf ({ rows }: Rules, { sub, email }: Claims): Promise<UserRow | null> {
  const id = rows.parseId(sub)
  const row = id === null ? null : await rows.getRow(id)
  return row !== null && typeof email === 'string' && isSameEmail(row.email, email) ? row : null
}

/**
 * Checks that the user is as the token was made for. Where tokens of FastAPI Users are accepted (`requireStamp:
 * false`),
 * one without a fingerprint is bound to the e-mail alone, as its maker binds it, until it expires.
 */
function isBound (rules: Rules, row: UserRow, { new_email: newEmail, fgpt }: Claims): boolean {
  if (newEmail === undefined && fgpt === undefined) return !rules.settings.requireStamp
  if (newEmail !== undefined && typeof newEmail !== 'string') return false
  return hasFingerprint(rules, row, newEmail === undefined ? 'verify' : 'email-change', String(fgpt))
}

/** Returns the error for a token whose user changed while it was used: a parallel use may have been first. */
async function verifyError ({ rows }: Rules, row: UserRow, sameEmail: boolean): Promise<Error> {
  const now = await rows.getRow(row.id as UserId)
  const isDone = sameEmail && now?.is_verified === true && isSameEmail(now.email, row.email)
  return isDone ? FST_USERS_VERIFY_USER_ALREADY_VERIFIED() : FST_USERS_VERIFY_USER_BAD_TOKEN()
}
