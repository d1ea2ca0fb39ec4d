import type { EventContext } from '../contracts/events.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import {
  FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN,
  FST_USERS_UNDO_EMAIL_CHANGE_EMAIL_TAKEN,
  storeUnavailable
} from '../errors.js'
import { createUnusableHash } from '../passwords/index.js'
import { contextOf } from '../sessions/index.js'
import { generateStamp } from '../tokens/index.js'
import { recordProof } from './email-proof.js'
import { sendResetToken } from './password-reset.js'
import type { Rules } from './rules.js'

const WRITE_ATTEMPTS = 5
/**
 * Milliseconds before a change of the e-mail in which an attacker may have added second factors. The user got a mail
 * about each, and had this time to react.
 */
const SUSPICIOUS_MS = 7 * 86_400_000
/** Number of tokens of one user. A change beyond it has no token. */
const MAX_OPEN_TOKENS = 100

/** The stored value of a token that undoes an e-mail change. */
export interface EmailChangeUndo {
  readonly id: string
  /** Id of the user as text. */
  readonly user: string
  readonly previousEmail: string
  readonly newEmail: string
  /** The time in milliseconds at which the token expires. */
  readonly until: number
  /** The time in milliseconds of the change. Tokens of earlier versions have none. */
  readonly createdAt?: number
  /** The tokens of earlier changes that could be used when the token was created. */
  readonly earlier: readonly { readonly id: string; readonly until: number }[]
}

/**
 * Creates the token that undoes an e-mail change. Returns null if the undo is off, and if the previous e-mail is not
 * verified: its mailbox may belong to another person, for example after a typing error.
 *
 * Call it before the change is written. An undo deletes the tokens of later changes; a token that is stored after the
 * write could escape it.
 */
export async function createUndoToken (
  { undoTokens, settings: { tokens, clock } }: Rules,
  { id, email, is_verified: isVerified }: UserRow,
  newEmail: string
): Promise<string | null> {
  if (undoTokens === null || tokens.undo === null || !isVerified) return null
  const open = await undoTokens.valuesOf(id as UserId)
  if (open.length >= MAX_OPEN_TOKENS) return null
  const undo: EmailChangeUndo = {
    id: generateStamp(),
    user: String(id),
    previousEmail: email,
    newEmail,
    createdAt: clock(),
    until: clock() + tokens.undo.lifetimeSeconds * 1000,
    earlier: open.map(({ id, until }) => ({ id, until }))
  }
  return await undoTokens.create(undo, { userId: id as UserId })
}

/** Fires `onAfterEmailChange` after the reply has been sent. */
export function reportEmailChange (
  { rows, hooks, background }: Rules,
  row: UserRow,
  { previousEmail, token }: { previousEmail: string; token: string | null },
  context: EventContext
): void {
  const user = rows.toUser(row)
  background.run(() => hooks.run('onAfterEmailChange', { user, previousEmail, token }, context), context.reply)
}

/**
 * Restores the previous e-mail of a user, also after further changes. The token was mailed to it, so the e-mail is
 * verified. The password becomes unusable, all sessions end, and login methods that did not prove the e-mail are
 * deleted: an attacker may have set them. Passkeys, second factors and recovery codes are deleted if they were added in
 * the seven days before the change or later; older ones stay, so that the old mailbox alone opens no account. After the
 * reply, a reset token is sent to the e-mail. Throws `FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN`, and
 * `FST_USERS_UNDO_EMAIL_CHANGE_EMAIL_TAKEN` if another user has the e-mail, which does not use the token up.
 */
export async function undoEmailChange (rules: Rules, token: string, call: CallContext): Promise<User> {
  const { rows, hooks, background, undoTokens, attempts } = rules
  const context = contextOf(call)
  await attempts.begin('undoEmailChange', { context })
  const undo = await undoTokens?.peek(token)
  if (undo == null) throw FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN()
  // A refusal must not take the token: it would be stored again, and would escape an undo that runs at the same time.
  await activateUser(rules, await findRestorable(rules, undo), context)
  const hash = await createUnusableHash(rules.settings.passwords)
  const row = await undoTokens?.use(token, () => restoreEmail(rules, undo, hash, context))
  if (row == null) throw FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN()
  const user = rows.toUser(row)
  // without a budget for mails: the user has no password now
  background.run(() => sendResetToken(rules, row, context), context.reply)
  background.run(() => hooks.run('onAfterUndoEmailChange', { user, undoneEmail: undo.newEmail }, context), context.reply)
  return user
}

/**
 * Writes the previous e-mail. Another change at the same time makes it read the user again. Returns null if an earlier
 * change was undone in the meantime, which the token must not reverse.
 */
async function restoreEmail (
  rules: Rules,
  undo: EmailChangeUndo,
  hash: string,
  context: EventContext
): Promise<UserRow | null> {
  const { undoTokens, devices } = rules
  for (let left = WRITE_ATTEMPTS; left > 0; left--) {
    const row = await findRestorable(rules, undo)
    if (!row.is_active) {
      await activateUser(rules, row, context) // an attacker has deactivated the user again
      continue
    }
    if (await isOvertaken(rules, row, undo)) return null
    // an attacker may have changed the e-mail several times, and has the tokens of the later changes
    await undoTokens?.deleteOf({ userId: row.id as UserId }, ({ earlier }) => earlier.some(({ id }) => id === undo.id))
    await devices?.forget(row)
    const changes = { email: undo.previousEmail, hashed_password: hash }
    const untrustedSince = new Date(Math.max(0, (undo.createdAt ?? 0) - SUSPICIOUS_MS))
    const restored = await recordProof(rules, row, { changes, renews: false, untrustedSince }, context)
    if (restored !== null) return restored
  }
  throw storeUnavailable('the user changed during each attempt to undo an e-mail change')
}

/**
 * Activates a user who is inactive because a feature deactivated the user: an attacker may have asked for it, for
 * example by a deletion that takes place later. Throws for a user who is inactive for another reason.
 */
async function activateUser ({ rows, reactivations }: Rules, row: UserRow, context: EventContext): Promise<void> {
  if (row.is_active) return
  for (const reactivate of reactivations) if ((await reactivate(rows.toUser(row), context)) === true) return
  throw FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN()
}

/** Returns the user of an undo. Throws if there is none, and if another user has the e-mail. */
async function findRestorable ({ rows }: Rules, { user, previousEmail }: EmailChangeUndo): Promise<UserRow> {
  const id = rows.parseId(user)
  const row = id === null ? null : await rows.getRow(id)
  if (row === null) throw FST_USERS_UNDO_EMAIL_CHANGE_BAD_TOKEN()
  const owner = await rows.getByEmail(previousEmail)
  if (owner !== null && String(owner.id) !== user) throw FST_USERS_UNDO_EMAIL_CHANGE_EMAIL_TAKEN()
  return row
}

/**
 * Returns true if the token of an earlier change was used. The row must be read before: a use that is not finished then
 * makes the write of this one fail.
 */
async function isOvertaken (
  { undoTokens, settings }: Rules,
  row: UserRow,
  { earlier }: EmailChangeUndo
): Promise<boolean> {
  if (undoTokens === null || earlier.length === 0) return false
  const open = new Set((await undoTokens.valuesOf(row.id as UserId)).map(({ id }) => id))
  return earlier.some(({ id, until }) => until > settings.clock() && !open.has(id))
}
