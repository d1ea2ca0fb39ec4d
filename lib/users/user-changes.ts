import type { FastifyRequest } from 'fastify'
import type { Changes, Where } from '../contracts/database-adapter.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { Writer } from '../contracts/users-api.js'
import {
  FST_USERS_FORBIDDEN,
  FST_USERS_NOT_FOUND,
  FST_USERS_UNAUTHENTICATED,
  FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS,
  isUsersError
} from '../errors.js'
import { contextOf, deleteStoredTokens, readActingUser, rowOfStamp } from '../sessions/index.js'
import { generateStamp } from '../tokens/index.js'
import { isSameEmail } from './email.js'
import { proofOf, removeLateAccounts } from './email-proof.js'
import { removeUnproved } from './login-methods.js'
import type { Rules } from './rules.js'
import { demoteUnlessLast, isDemotion } from './superusers.js'

/** The author of a change to a user. */
export interface Author {
  readonly by: Writer
  /** True if users change their own account, also if a superuser does so by id. */
  readonly isOwn: boolean
  /** The request whose session makes the change; null for code. */
  readonly session: FastifyRequest | null
}

const WRITE_ATTEMPTS = 3

/** Returns the author of a call that changes a user. */
export function authorOf ({ id }: UserRow, by: Writer, request: FastifyRequest | null): Author {
  const acting = by === 'code' ? null : (request?.authentication ?? null)
  const isOwn = by === 'self' || (acting !== null && String(acting.user.id) === String(id))
  return { by, isOwn, session: acting === null ? null : request }
}

/** Returns the row as stored now, with the hash and stamp that this call wrote. A renewed session is bound to it. */
export async function writeChanges (rules: Rules, row: UserRow, changes: Changes, author: Author): Promise<UserRow> {
  const ends = endsSessions(row, changes)
  const stamp = generateStamp()
  const all = { ...changes, ...(ends ? { session_stamp: stamp } : {}) }
  const isProved = verifies(row, changes)
  const proved = { ...row, ...changes } as UserRow // these are fields of the user model
  const proof = proofOf(row, changes)
  const context = contextOf(author.session === null ? {} : { request: author.session })
  if (isProved) await removeUnproved(rules, proved, proof, context)
  const acting = isDemotion(row, changes)
    ? await demoteUnlessLast(
      rules,
      row,
      () => writeFor(rules, row, all, author),
      () => rules.rows.update({ id: row.id }, valuesBefore(row, all))
    )
    : await writeFor(rules, row, all, author)
  const written = { ...proved, session_stamp: ends ? stamp : (acting.session_stamp ?? null) }
  const { session_stamp: current } = isProved ? await removeLateAccounts(rules, written, proof, context) : written
  if (ends) await deleteStoredTokens(rules, row)
  const now = await rules.rows.getRow(row.id as UserId)
  if (now === null) throw missingUserError(author)
  const hash = typeof changes.hashed_password === 'string' ? { hashed_password: changes.hashed_password } : {}
  return { ...now, ...hash, ...(now.session_stamp === undefined ? {} : { session_stamp: current ?? null }) }
}

/** Returns true for changes that end all sessions: a new password or e-mail, a deactivation, a verification. */
export function endsSessions (row: UserRow, changes: Changes): boolean {
  const { hashed_password: hash, is_active: isActive, email } = changes
  const changesEmail = typeof email === 'string' && !isSameEmail(email, row.email)
  return hash !== undefined || isActive === false || changesEmail || verifies(row, changes)
}

/** Returns true if a superuser or code marks the e-mail, as it is after this change, as verified. */
function verifies (row: UserRow, { is_verified: isVerified, email }: Changes): boolean {
  return isVerified === true && (!row.is_verified || (typeof email === 'string' && !isSameEmail(email, row.email)))
}

/**
 * Writes the changes of a session or of code. A session that has ended changes nothing: its security stamp is a
 * condition of the write, and a session that can end without a new stamp is read again right before. Returns the row
 * before the change.
 */
async function writeFor (rules: Rules, row: UserRow, all: Changes, author: Author): Promise<UserRow> {
  if (author.isOwn && author.session !== null) return await writeOwn(rules, all, author.by, author.session)
  await checkAuthor(rules, author)
  // the known e-mail becomes verified, so it must not change meanwhile
  const knownEmail = verifies(row, all) && all.email === undefined ? { email: row.email } : {}
  const where = author.isOwn ? sameSessions(row) : { id: row.id, ...knownEmail }
  if (Object.keys(all).length > 0 && (await updateRow(rules, where, all)) !== 1) throw missingUserError(author)
  return row
}

/**
 * The row may have changed since it was read, for example by the upgrade of its hash. Then the session is read again.
 */
async function writeOwn (rules: Rules, all: Changes, by: Writer, request: FastifyRequest): Promise<UserRow> {
  const rights = by === 'superuser' ? { is_active: true, is_superuser: true } : { is_active: true }
  const isEmpty = Object.keys(all).length === 0 // without a write, nothing checks the stamp
  let known = isEmpty ? null : rowOfStamp(rules, request)
  for (let left = WRITE_ATTEMPTS; left > 0; left--) {
    const acting = known ?? (await readActingUser(rules, request))
    known = null
    checkRights(acting, by)
    if (isEmpty || (await updateRow(rules, { ...sameSessions(acting), ...rights }, all)) === 1) {
      return acting
    }
  }
  throw FST_USERS_UNAUTHENTICATED()
}

/** Throws if the session that makes the change has ended, or its user may no longer make the change. */
export async function checkAuthor (rules: Rules, { by, session }: Author): Promise<void> {
  if (session !== null) checkRights(await readActingUser(rules, session), by)
}

function checkRights (acting: UserRow, by: Writer): void {
  if (!acting.is_active) throw FST_USERS_UNAUTHENTICATED()
  if (by === 'superuser' && !acting.is_superuser) throw FST_USERS_FORBIDDEN()
}

function missingUserError ({ by }: Author): Error {
  return by === 'self' ? FST_USERS_UNAUTHENTICATED() : FST_USERS_NOT_FOUND()
}

/** Returns the condition that finds the row only if its sessions have not been revoked. */
function sameSessions ({ id, session_stamp: stamp, hashed_password: hash }: UserRow): Where {
  return stamp === undefined ? { id, hashed_password: hash } : { id, session_stamp: stamp }
}

/** Returns the values that a row had before these changes. */
function valuesBefore (row: UserRow, changes: Changes): Changes {
  const source = row as unknown as Changes // the cast allows access by field name
  return Object.fromEntries(
    Object.keys(changes)
      .filter((key) => source[key] !== undefined)
      .map((key) => [key, source[key] as Changes[string]])
  )
}

/** Updates rows. If parallel changes set the same e-mail, the unique index refuses all but one. */
async function updateRow ({ rows }: Rules, where: Where, changes: Changes): Promise<number> {
  try {
    return await rows.update(where, changes)
  } catch (error) {
    if (isUsersError(error) && error.fields?.includes('email') === true) {
      throw FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS()
    }
    throw error
  }
}
