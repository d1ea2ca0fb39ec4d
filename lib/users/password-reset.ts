import type { EventContext } from '../contracts/events.js'
import type { User, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_RESET_PASSWORD_BAD_TOKEN, FST_USERS_RESET_PASSWORD_INVALID_PASSWORD } from '../errors.js'
import { contextOf } from '../sessions/index.js'
import type { Claims } from '../tokens/index.js'
import { applyPolicy, readPassword } from './credentials.js'
import { hasFingerprint, recordProof, stateFingerprint } from './email-proof.js'
import { reportIgnored, reportLimitedMail } from './ignored-requests.js'
import type { Rules } from './rules.js'

/** Finds the user. After the reply has been sent, creates the token and fires `onAfterForgotPassword`. */
export async function forgotPassword (rules: Rules, email: string, call: CallContext): Promise<void> {
  const { rows, background, attempts, settings } = rules
  const context = contextOf(call)
  await attempts.begin('forgotPassword', { email, context })
  const row = await rows.getByEmail(email)
  if (row === null || !row.is_active) {
    reportIgnored(rules, 'password.reset_request', email, row, context)
    return
  }
  const mail = { purpose: 'reset', email: row.email, alwaysAfterSeconds: settings.tokens.reset.lifetimeSeconds }
  background.run(async () => {
    if (await attempts.allowMail(mail)) await sendResetToken(rules, row, context)
    else reportLimitedMail(rules, 'password.reset_request', row, context)
  }, context.reply)
}

/** Creates a reset token and fires `onAfterForgotPassword`. */
export async function sendResetToken (rules: Rules, row: UserRow, context: EventContext): Promise<void> {
  const { rows, hooks, tokens } = rules
  const token = tokens.reset.sign({ sub: String(row.id), ...(await fingerprintsOf(rules, row)) })
  await hooks.run('onAfterForgotPassword', { user: rows.toUser(row), token }, context)
}

/**
 * Sets a new password and revokes all sessions. The token was mailed, so its use proves the mailbox, and the e-mail
 * becomes verified. Any change of the password, the e-mail, the flags or the security stamp invalidates the token. Of
 * parallel uses, one succeeds.
 */
export async function resetPassword (rules: Rules, token: string, given: string, call: CallContext): Promise<User> {
  const { rows, settings, hooks, attempts } = rules
  const context = contextOf(call)
  await attempts.begin('resetPassword', { context })
  const claims = rules.tokens.reset.read(token)
  const row = claims === null ? null : await resettableRowOf(rules, claims)
  if (claims === null || row === null) throw FST_USERS_RESET_PASSWORD_BAD_TOKEN()
  const password = readPassword(rules, given)
  await applyPolicy(rules, password, rows.toUser(row), FST_USERS_RESET_PASSWORD_INVALID_PASSWORD, call)

  const changes = {
    hashed_password: await settings.passwords.hash(password),
    is_verified: row.is_verified || namesMailbox(claims)
  }
  await attempts.unlock(row.email) // before the write: if it fails, the token can be used again
  const reset = await recordProof(rules, row, { changes, renews: false }, context)
  if (reset === null) throw FST_USERS_RESET_PASSWORD_BAD_TOKEN()
  const user = rows.toUser(reset)
  await hooks.run('onAfterResetPassword', { user }, context)
  return user
}

/**
 * Returns true if the token is bound to the e-mail. Tokens of FastAPI Users are not: such a token may have been mailed
 * to a former e-mail of the user.
 */
function namesMailbox ({ password_fgpt: print, fgpt }: Claims): boolean {
  return fgpt !== undefined || !String(print).startsWith('$')
}

async function resettableRowOf (rules: Rules, claims: Claims): Promise<UserRow | null> {
  const id = rules.rows.parseId(claims.sub)
  const row = id === null ? null : await rules.rows.getRow(id)
  return row !== null && row.is_active && (await matchesUser(rules, row, claims)) ? row : null
}

/**
 * Returns the fingerprint claims. FastAPI Users can read the argon2 form, which covers only the hash; the claim `fgpt`
 * covers the rest of the user's state.
 */
async function fingerprintsOf (rules: Rules, row: UserRow): Promise<Record<string, string>> {
  const { passwords, wire } = rules.settings
  const own = stateFingerprint(rules, row, 'reset')
  return wire.signedTokens.fingerprint === 'keyed'
    ? { password_fgpt: own }
    : { password_fgpt: await passwords.hash(row.hashed_password, { background: true }), fgpt: own }
}

/**
 * Returns true if the token matches the user's state. The keyed form is always accepted, so that the setting can be
 * changed while tokens are valid. Tokens of FastAPI Users have no `fgpt`.
 */
async function matchesUser (rules: Rules, row: UserRow, { password_fgpt: claim, fgpt }: Claims): Promise<boolean> {
  const given = String(claim) // the codec requires text
  if (!given.startsWith('$')) return hasFingerprint(rules, row, 'reset', given)
  if (
    rules.settings.wire.signedTokens.fingerprint === 'keyed' ||
    (fgpt !== undefined && !hasFingerprint(rules, row, 'reset', String(fgpt)))
  ) {
    return false
  }
  return (await rules.settings.passwords.verifyAndUpdate(row.hashed_password, given)).ok
}
