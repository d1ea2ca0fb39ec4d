import type { EventContext } from '../contracts/events.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_VERIFY_USER_ALREADY_VERIFIED, FST_USERS_VERIFY_USER_BAD_TOKEN } from '../errors.js'
import { contextOf } from '../sessions/index.js'
import type { Claims } from '../tokens/index.js'
import { isSameEmail } from './email.js'
import { hasFingerprint, recordProof, stateFingerprint, type MailedPurpose } from './email-proof.js'
import { createUndoToken, reportEmailChange } from './email-change-undo.js'
import { reportIgnored, reportLimitedMail } from './ignored-requests.js'
import { reportExisting } from './registration.js'
import type { Rules } from './rules.js'

/** Finds the user. After the reply has been sent, it creates the token and calls the hooks. */
export async function requestVerify (rules: Rules, email: string, call: CallContext): Promise<void> {
  const context = contextOf(call)
  await rules.attempts.begin('requestVerify', { email, context })
  await offerVerification(rules, email, context)
}

/**
 * Does the same as `requestVerify`, but does not count as an attempt of a client: for example, it follows a
 * registration.
 */
export async function offerVerification (rules: Rules, email: string, context: EventContext): Promise<void> {
  const row = await rules.rows.getByEmail(email)
  if (row === null || !row.is_active || row.is_verified) {
    reportIgnored(rules, 'email.verify_request', email, row, context)
    return
  }
  sendVerifyToken(rules, row, 'verify', {}, row.email, context)
}

/**
 * Reports the request to the old e-mail, and sends a verify token to the new one. The account keeps the old e-mail
 * until the token is used. With `revealExistingAccounts: false`, the owner of a taken e-mail is notified instead.
 */
export function requestEmailChange (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  const { rows, hooks, background } = rules
  const user = rows.toUser(row)
  background.run(() => hooks.run('onAfterRequestEmailChange', { user, newEmail }, context), context.reply)
  if (rules.settings.revealExistingAccounts) {
    sendEmailChangeToken(rules, row, newEmail, context)
    return
  }
  background.run(async () => {
    if (!(await reportExisting(rules, newEmail, 'email-change', context))) sendEmailChangeToken(rules, row, newEmail, context)
  }, context.reply)
}

function sendEmailChangeToken (rules: Rules, row: UserRow, newEmail: string, context: EventContext): void {
  sendVerifyToken(rules, row, 'email-change', { new_email: newEmail }, newEmail, context)
}

/**
 * Marks the e-mail of the token as verified. A token for a new e-mail changes the e-mail. A token works once. All
 * sessions end, except a cookie session of the same user on the request, which is renewed in the reply.
 */
export async function verifyEmail (rules: Rules, token: string, call: CallContext): Promise<User> {
  const context = contextOf(call)
  await rules.attempts.begin('verify', { context })
  const claims = rules.tokens.verify.read(token)
  const row = claims === null ? null : await verifiableRowOf(rules, claims)
  if (claims === null || row === null || !row.is_active) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  const { new_email: email } = claims
  if (email === undefined && row.is_verified) throw FST_USERS_VERIFY_USER_ALREADY_VERIFIED()
  if (!isBound(rules, row, claims)) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  if (typeof email === 'string') return await changeEmail(rules, row, email, context)
  const verified = await recordProof(rules, row, {}, context)
  if (verified === null) throw await verifyError(rules, row)
  return rules.rows.toUser(verified)
}

/** Writes a new e-mail that its owner has proved. Returns the changed user. */
async function changeEmail (rules: Rules, row: UserRow, email: string, context: EventContext): Promise<User> {
  const token = await createUndoToken(rules, row, email)
  const changed = await recordProof(rules, row, { changes: { email } }, context)
  if (changed === null) throw FST_USERS_VERIFY_USER_BAD_TOKEN()
  reportEmailChange(rules, changed, { previousEmail: row.email, token }, context)
  const user = rules.rows.toUser(changed)
  rules.audit.emit({ event: 'email.change', user, actor: user }, context)
  return user
}

function sendVerifyToken (
  rules: Rules,
  row: UserRow,
  purpose: MailedPurpose,
  claims: Record<string, string>,
  email: string,
  context: EventContext
): void {
  const { tokens, hooks, rows, background, attempts, settings } = rules
  const mail = { purpose: 'verify', email, alwaysAfterSeconds: settings.tokens.verify.lifetimeSeconds }
  background.run(async () => {
    if (!(await attempts.allowMail(mail))) {
      reportLimitedMail(rules, purpose === 'verify' ? 'email.verify_request' : 'email.change_request', row, context)
      return
    }
    const fgpt = stateFingerprint(rules, row, purpose)
    const token = tokens.verify.sign({ sub: String(row.id), email: row.email, ...claims, fgpt })
    await hooks.run('onAfterRequestVerify', { user: rows.toUser(row), token, email }, context)
  }, context.reply)
}

/** Returns the user of the token if the user still has its e-mail. */
async function verifiableRowOf ({ rows }: Rules, { sub, email }: Claims): Promise<UserRow | null> {
  const id = rows.parseId(sub)
  const row = id === null ? null : await rows.getRow(id)
  return row !== null && typeof email === 'string' && isSameEmail(row.email, email) ? row : null
}

/**
 * Checks that the user has not changed since the token was created. If tokens of FastAPI Users are accepted
 * (`requireStamp: false`), a token without a fingerprint is bound to the e-mail only, until it expires.
 */
function isBound (rules: Rules, row: UserRow, { new_email: newEmail, fgpt }: Claims): boolean {
  if (newEmail === undefined && fgpt === undefined) return !rules.settings.wire.signedTokens.requireStamp
  if (newEmail !== undefined && typeof newEmail !== 'string') return false
  return hasFingerprint(rules, row, newEmail === undefined ? 'verify' : 'email-change', String(fgpt))
}

/** Returns the error for a token whose user changed while it was used, for example by a parallel use. */
async function verifyError ({ rows }: Rules, row: UserRow): Promise<Error> {
  const now = await rows.getRow(row.id as UserId)
  const isDone = now?.is_verified === true && isSameEmail(now.email, row.email)
  return isDone ? FST_USERS_VERIFY_USER_ALREADY_VERIFIED() : FST_USERS_VERIFY_USER_BAD_TOKEN()
}
