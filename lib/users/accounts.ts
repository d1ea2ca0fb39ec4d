import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Changes, Where } from '../contracts/database-adapter.js'
import type { User, UserChanges, UserId, UserRow } from '../contracts/user.js'
import type { CallContext, WriteContext, Writer } from '../contracts/users-api.js'
import {
  FST_USERS_NOT_FOUND, FST_USERS_UNAUTHENTICATED, FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS,
  FST_USERS_UPDATE_USER_INVALID_PASSWORD, isUsersError
} from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { applyPolicy, checkCurrentPassword, readPassword } from './credentials.js'
import { isSameEmail, parseEmail } from './email.js'
import { writableFields, writableFlags } from './fields.js'
import { contextOf, currentRow, removeAttached, type Rules } from './rules.js'
import { actingRow, destroyStored, renewSession } from './sessions.js'
import { requestEmailChange } from './verification.js'

const MASK = '**********'

/** Changes a user and fires `onAfterUpdate`. All checks come before the single write. */
export async function updateUser (rules: Rules, user: User | UserId, given: UserChanges, call: WriteContext): Promise<User> {
  rules.check(given)
  return rules.rows.toUser(await changeRow(rules, await currentRow(rules, user), given, call))
}

/**
 * Changes the user that the request comes from. A changed password ends its session with the others; where the transport
 * can, the reply carries a new one. Throws `FST_USERS_UNAUTHENTICATED` when the session ended meanwhile.
 */
export async function updateOwnUser (rules: Rules, given: UserChanges, request: FastifyRequest, reply: FastifyReply): Promise<User> {
  rules.check(given)
  const changesPassword = typeof given.password === 'string'
  const row = await actingRow(rules, request, changesPassword)
  const updated = await changeRow(rules, row, given, { request, reply, by: 'self' })
  if (changesPassword) await renewSession(rules, updated, request, reply)
  return rules.rows.toUser(updated)
}

async function changeRow (rules: Rules, row: UserRow, given: UserChanges, { by = 'code', ...call }: WriteContext): Promise<UserRow> {
  const { rows, hooks, settings } = rules
  const context = contextOf(call)
  const confirms = by === 'self' && settings.sensitiveChanges === 'confirm'
  if (confirms && isSensitive(row, given)) await checkCurrentPassword(rules, row, given.current_password)

  const password = typeof given.password === 'string' ? await readNewPassword(rules, row, given.password) : null
  const email = given.email === undefined ? null : parseEmail(given.email)
  const moves = email !== null && !isSameEmail(email, row.email)
  const proves = moves && by === 'self' && (settings.sensitiveChanges === 'confirm' || !settings.revealExistingAccounts)     // then a taken e-mail comes to light at the proof alone
  if (moves && !proves && await rows.getByEmail(email) !== null) throw FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS()
  const told = maskedChanges(rules, given, by)
  await hooks.run('onBeforeUpdate', { user: rows.toUser(row), changes: told }, context)

  const changes = {
    ...(email === null || email === row.email || proves ? {} : { email, ...(moves ? { is_verified: false } : {}) }),     // another spelling stays verified
    ...writableFlags(given, by),
    ...writableFields(settings.schemas.fields, given, by, false) as Changes,     // checked against the fields' schemas
    ...(password === null ? {} : { hashed_password: await settings.passwords.hash(password) })
  }
  const updated = await write(rules, row, changes, by)
  if (proves) requestEmailChange(rules, updated, email, context)
  await hooks.run('onAfterUpdate', { user: rows.toUser(updated), changes: told }, context)
  return updated
}

/** Removes a user, its sessions and what features keep of it first. */
export async function deleteUser (rules: Rules, user: User | UserId, call: CallContext): Promise<void> {
  const row = await currentRow(rules, user)
  const context = contextOf(call)
  const gone = rules.rows.toUser(row)
  await rules.hooks.run('onBeforeDelete', { user: gone }, context)
  await destroyStored(rules, row)
  await removeAttached(rules, row)
  if (await rules.rows.remove(row.id as UserId) !== 1) throw FST_USERS_NOT_FOUND()
  await rules.hooks.run('onAfterDelete', { user: gone }, context)
}

/** The row as it is stored now, with the hash and stamp that this call wrote: what a renewed session is bound to. */
async function write (rules: Rules, row: UserRow, changes: Changes, by: Writer): Promise<UserRow> {
  const endsSessions = changes.hashed_password !== undefined || changes.is_active === false     // whatever the row said when it was read
  const stamp = generateStamp()
  const all = { ...changes, ...(endsSessions ? { session_stamp: stamp } : {}) }
  const takesOver = changes.hashed_password !== undefined || changes.email !== undefined     // a new address can have the password reset
  const where = by === 'self' && takesOver ? sameSessions(row) : { id: row.id }
  const gone = by === 'self' ? FST_USERS_UNAUTHENTICATED : FST_USERS_NOT_FOUND
  if (Object.keys(all).length > 0 && await updateRow(rules, where, all) !== 1) throw gone()
  if (endsSessions) await destroyStored(rules, row)
  const now = await rules.rows.getRow(row.id as UserId)
  if (now === null) throw gone()
  const hash = typeof changes.hashed_password === 'string' ? { hashed_password: changes.hashed_password } : {}
  return { ...now, ...hash, ...(endsSessions && now.session_stamp !== undefined ? { session_stamp: stamp } : {}) }
}

/** The row as long as nobody ended its sessions: a user whose sessions are over sets no password and no address any more. */
function sameSessions ({ id, session_stamp: stamp, hashed_password: hash }: UserRow): Where {
  return stamp === undefined ? { id, hashed_password: hash } : { id, session_stamp: stamp }
}

/** The unique index has the last word between parallel changes. */
async function updateRow ({ rows }: Rules, where: Where, changes: Changes): Promise<number> {
  try {
    return await rows.update(where, changes)
  } catch (error) {
    if (isUsersError(error) && error.fields?.includes('email') === true) throw FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS()
    throw error
  }
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
    ...(given.email === undefined ? {} : { email: parseEmail(given.email) as string }),     // the check accepted it
    ...writableFlags(given, by),
    ...writableFields(settings.schemas.fields, given, by, false)
  }
}
