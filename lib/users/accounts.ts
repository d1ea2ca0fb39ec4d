import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Changes } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { User, UserChanges, UserId, UserRow } from '../contracts/user.js'
import type { CallContext, WriteContext, Writer } from '../contracts/users-api.js'
import { FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS, FST_USERS_UPDATE_USER_INVALID_PASSWORD } from '../errors.js'
import { actingUser, contextOf, countSecondFactors, currentRow, readActingUser, renewSession } from '../sessions/index.js'
import { applyPolicy, readPassword } from './credentials.js'
import { isSameEmail, parseEmail } from './email.js'
import { createUndoToken, reportEmailChange } from './email-change-undo.js'
import { writableFields, writableFlags } from './fields.js'
import type { Rules } from './rules.js'
import { checkStepUp } from './step-up.js'
import { isDemotion, requireOtherSuperuser } from './superusers.js'
import { authorOf, endsSessions, writeChanges, type Author } from './user-changes.js'
import { requestEmailChange } from './verification.js'

const MASK = '**********'

/**
 * Changes a user and fires `onAfterUpdate`. All checks run before the single write. A superuser who changes their own
 * user by its id is treated like any user on `/users/me`: the current password may be required, and a cookie session is
 * renewed.
 */
export async function updateUser (
  rules: Rules,
  user: User | UserId,
  given: UserChanges,
  call: WriteContext
): Promise<User> {
  rules.check(given)
  return rules.rows.toUser(await changeUserRow(rules, await currentRow(rules, user), given, call))
}

/** Changes the user who sent the request. Throws `FST_USERS_UNAUTHENTICATED` if the session ended meanwhile. */
export async function updateOwnUser (
  rules: Rules,
  given: UserChanges,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<User> {
  rules.check(given)
  const row = await actingUser(rules, request)
  return rules.rows.toUser(await changeUserRow(rules, row, given, { request, reply, by: 'self' }))
}

async function changeUserRow (
  rules: Rules,
  row: UserRow,
  given: UserChanges,
  { by = 'code', ...call }: WriteContext
): Promise<UserRow> {
  const { rows, hooks, settings } = rules
  const context = contextOf(call)
  const author = authorOf(row, by, context.request)
  const needsProofs = author.isOwn && settings.sensitiveChanges === 'confirm'
  await confirmChange(rules, row, given, author, context)

  const password = typeof given.password === 'string' ? await readNewPassword(rules, row, given.password, context) : null
  const email = given.email === undefined ? null : parseEmail(given.email)
  const changesMailbox = email !== null && !isSameEmail(email, row.email)
  // Otherwise an unverified e-mail could be a way around a second factor: its first reset removes the factors.
  // With a proof, only the owner of the new mailbox learns that the e-mail is taken.
  const needsProof = changesMailbox && author.isOwn &&
    (needsProofs || !settings.revealExistingAccounts || (await countSecondFactors(rules, rows.toUser(row))) > 0)
  if (changesMailbox && !needsProof && (await rows.getByEmail(email)) !== null) {
    throw FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS()
  }
  const flags = writableFlags(given, by)
  if (isDemotion(row, flags)) await requireOtherSuperuser(rules, row)
  const reported = maskedChanges(rules, given, by)
  await hooks.run('onBeforeUpdate', { user: rows.toUser(row), changes: reported }, context)

  const changes = {
    ...(email === null || needsProof ? {} : emailChanges(row, email)),
    ...flags,
    ...(writableFields(settings.schemas.fields, given, by, false) as Changes), // checked against the fields' schemas
    ...(password === null ? {} : { hashed_password: await settings.passwords.hash(password) })
  }
  const changesNow = changesMailbox && !needsProof
  const undoToken = changesNow && author.isOwn ? await createUndoToken(rules, row, email) : null
  const updated = await writeChanges(rules, row, changes, author)
  if (needsProof) requestEmailChange(rules, updated, email, context)
  else if (changesMailbox) reportEmailChange(rules, updated, { previousEmail: row.email, token: undoToken }, context)
  await hooks.run('onAfterUpdate', { user: rows.toUser(updated), changes: reported }, context)
  if (author.isOwn && endsSessions(row, changes)) await renewOwnSession(rules, updated, context)
  return updated
}

/**
 * Throws unless the session of the request may make the change. A superuser confirms the change of another user with
 * the own session or password: otherwise a stolen session of a superuser would be enough to take over every account.
 */
async function confirmChange (
  rules: Rules,
  row: UserRow,
  given: UserChanges,
  { by, isOwn, session }: Author,
  context: EventContext
): Promise<void> {
  if (rules.settings.sensitiveChanges !== 'confirm') return
  const { current_password: currentPassword } = given
  if (isOwn && isSensitive(row, given)) {
    const setsPassword = typeof given.password === 'string'
    await checkStepUp(rules, row, { currentPassword, setsPassword }, context)
  } else if (!isOwn && by === 'superuser' && session !== null && givesAccess(row, given)) {
    await checkStepUp(rules, await readActingUser(rules, session), { currentPassword }, context)
  }
}

/** Returns true if a change of another user lets a person into an account, or makes a superuser. */
function givesAccess (row: UserRow, given: UserChanges): boolean {
  return isSensitive(row, given) || (given.is_superuser === true && !row.is_superuser)
}

/** Returns the changes for a new e-mail. A new mailbox is unverified; a new spelling of the same one stays verified. */
function emailChanges (row: UserRow, email: string): Changes {
  if (email === row.email) return {}
  return isSameEmail(email, row.email) ? { email } : { email, is_verified: false }
}

/** Renews the cookie session that sent the change, in the same reply. A session with a token in a header ends. */
async function renewOwnSession (rules: Rules, row: UserRow, context: EventContext): Promise<void> {
  const authentication = context.request?.authentication
  const backend = rules.backends.get(authentication?.backend ?? '')
  if (authentication == null || backend === undefined) return
  await renewSession(rules, row, { backend, session: authentication.session }, context)
}

async function readNewPassword (rules: Rules, row: UserRow, given: string, call: CallContext): Promise<string> {
  const password = readPassword(rules, given)
  await applyPolicy(rules, password, rules.rows.toUser(row), FST_USERS_UPDATE_USER_INVALID_PASSWORD, call)
  return password
}

/** Returns true for a new password or e-mail: with either, an attacker can take the account over. */
function isSensitive (row: UserRow, { password, email }: UserChanges): boolean {
  return typeof password === 'string' || (email !== undefined && parseEmail(email) !== row.email)
}

/** Returns the changes for the hooks: only the fields that this writer may change, with the password masked. */
function maskedChanges ({ settings }: Rules, given: UserChanges, by: Writer): UserChanges {
  return {
    ...(typeof given.password === 'string' ? { password: MASK } : {}),
    ...(given.email === undefined ? {} : { email: parseEmail(given.email) as string }), // the check accepted it
    ...writableFlags(given, by),
    ...writableFields(settings.schemas.fields, given, by, false)
  }
}
