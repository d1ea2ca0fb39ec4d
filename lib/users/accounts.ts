import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Changes } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { User, UserChanges, UserId, UserRow } from '../contracts/user.js'
import type { WriteContext, Writer } from '../contracts/users-api.js'
import { FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS, FST_USERS_UPDATE_USER_INVALID_PASSWORD } from '../errors.js'
import { applyPolicy, checkCurrentPassword, readPassword } from './credentials.js'
import { isSameEmail, parseEmail } from './email.js'
import { writableFields, writableFlags } from './fields.js'
import { contextOf, currentRow, type Rules } from './rules.js'
import { actingRow, renewSession } from './sessions.js'
import { demotes, requireOtherSuperuser } from './superusers.js'
import { authorOf, endsSessions, writeChanges } from './user-changes.js'
import { requestEmailChange } from './verification.js'

const MASK = '**********'

/**
 * Changes a user and fires `onAfterUpdate`. All checks come before the single write. A superuser who changes the own
 * user
 * by its id proves the current password and keeps a cookie session like any user who changes itself.
 */
export async function updateUser (
  rules: Rules,
  user: User | UserId,
  given: UserChanges,
  call: WriteContext
): Promise<User> {
  rules.check(given)
  return rules.rows.toUser(await changeRow(rules, await currentRow(rules, user), given, call))
}

/** Changes the user that the request comes from. Throws `FST_USERS_UNAUTHENTICATED` if the session ended meanwhile. */
export async function updateOwnUser (
  rules: Rules,
  given: UserChanges,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<User> {
  rules.check(given)
  return rules.rows.toUser(
    await changeRow(rules, await actingRow(rules, request), given, { request, reply, by: 'self' })
  )
}

async function changeRow (
  rules: Rules,
  row: UserRow,
  given: UserChanges,
  { by = 'code', ...call }: WriteContext
): Promise<UserRow> {
  const { rows, hooks, settings } = rules
  const context = contextOf(call)
  const author = authorOf(row, by, context.request)
  const confirms = author.isOwn && settings.sensitiveChanges === 'confirm'
  if (confirms && isSensitive(row, given)) await checkCurrentPassword(rules, row, given.current_password)

  const password = typeof given.password === 'string' ? await readNewPassword(rules, row, given.password) : null
  const email = given.email === undefined ? null : parseEmail(given.email)
  const moves = email !== null && !isSameEmail(email, row.email)
  // then a taken e-mail comes to light at the proof alone
  const proves = moves && author.isOwn && (settings.sensitiveChanges === 'confirm' || !settings.revealExistingAccounts)
  if (moves && !proves && (await rows.getByEmail(email)) !== null) throw FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS()
  const flags = writableFlags(given, by)
  if (demotes(row, flags)) await requireOtherSuperuser(rules, row)
  const told = maskedChanges(rules, given, by)
  await hooks.run('onBeforeUpdate', { user: rows.toUser(row), changes: told }, context)

  const changes = {
    // another spelling stays verified
    ...(email === null || email === row.email || proves ? {} : { email, ...(moves ? { is_verified: false } : {}) }),
    ...flags,
    ...(writableFields(settings.schemas.fields, given, by, false) as Changes), // checked against the fields' schemas
    ...(password === null ? {} : { hashed_password: await settings.passwords.hash(password) })
  }
  const updated = await writeChanges(rules, row, changes, author)
  if (proves) requestEmailChange(rules, updated, email, context)
  await hooks.run('onAfterUpdate', { user: rows.toUser(updated), changes: told }, context)
  if (author.isOwn && endsSessions(row, changes)) await renewActing(rules, updated, context)
  return updated
}

/**
 * Gives the browser whose cookie session changed its own user a new one in the same reply. A token in a header ends.
 */
async function renewActing (rules: Rules, row: UserRow, context: EventContext): Promise<void> {
  const backend = rules.backends.get(context.request?.authentication?.backend ?? '')
  if (backend !== undefined) await renewSession(rules, row, backend, context)
}

async function readNewPassword (rules: Rules, row: UserRow, given: string): Promise<string> {
  const password = readPassword(rules, given)
  await applyPolicy(rules, password, rules.rows.toUser(row), FST_USERS_UPDATE_USER_INVALID_PASSWORD)
  return password
}

/** A new password or address: who has it can take the user over. */
function isSensitive (row: UserRow, { password, email }: UserChanges): boolean {
  return typeof password === 'string' || (email !== undefined && parseEmail(email) !== row.email)
}

/** What listeners hear: the fields that count for this writer, the password masked. */
function maskedChanges ({ settings }: Rules, given: UserChanges, by: Writer): UserChanges {
  return {
    ...(typeof given.password === 'string' ? { password: MASK } : {}),
    ...(given.email === undefined ? {} : { email: parseEmail(given.email) as string }), // the check accepted it
    ...writableFlags(given, by),
    ...writableFields(settings.schemas.fields, given, by, false)
  }
}
