import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { LoginContext, LoginResult } from '../contracts/users-api.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import {
  FST_USERS_LOGIN_BAD_CREDENTIALS,
  FST_USERS_LOGIN_USER_NOT_VERIFIED,
  FST_USERS_SESSIONS_NOT_REVOCABLE,
  FST_USERS_UNAUTHENTICATED,
  FST_USERS_UNKNOWN_BACKEND
} from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { reportFailure } from './credentials.js'
import { contextOf, currentRow, type Rules } from './rules.js'

/** Logs a user in. Order: check of the flags, `onBeforeLogin`, token, `onIssueToken`, `onAfterLogin`. */
export async function login (
  rules: Rules,
  given: User | UserRow,
  { backend: name, method = 'password', ...call }: LoginContext
): Promise<LoginResult> {
  const { rows, hooks } = rules
  const row = 'hashed_password' in given ? given : await currentRow(rules, given)
  const backend = backendNamed(rules, name)
  const context = contextOf(call)
  await checkState(rules, row, { backend, method }, context)

  const user = rows.toUser(row)
  const pending = await hooks
    .run('onBeforeLogin', { user, backend: name, method }, context)
    .catch(async (error: unknown) => {
      await reportFailure(rules, 'REFUSED', row.email, row, name, context)
      throw error
    })
  if (pending !== null) return { pending }

  const issued = await issueToken(rules, backend, row, context.request, FST_USERS_LOGIN_BAD_CREDENTIALS)
  try {
    await checkUnchanged(rules, row)
    await hooks.run('onIssueToken', { user, backend: name, issued }, context)
    await hooks.run('onAfterLogin', { user, backend: name, method }, context)
  } catch (error) {
    await backend.strategy.destroyToken?.(issued.token, user) // the client never receives it
    throw error
  }
  return { issued }
}

/**
 * Creates a token with the security stamp of this row. Throws `notFound()` if the user was deleted meanwhile.
 */
async function issueToken (
  { rows }: Rules,
  { strategy }: Backend,
  row: UserRow,
  request: FastifyRequest | null,
  notFound: () => Error
): Promise<IssuedToken> {
  try {
    return await strategy.writeToken(row, { request, stamp: rows.stampOf(row) })
  } catch (error) {
    throw (await rows.getRow(row.id as UserId)) === null ? notFound() : error
  }
}

/**
 * Reads the session of the request again and returns its user. Every write on behalf of a session calls it immediately
 * before, because the session may have ended since the guard checked it. Throws
 * `FST_USERS_UNAUTHENTICATED` if it has.
 */
export async function readActingUser (rules: Rules, request: FastifyRequest): Promise<UserRow> {
  const { authentication } = request
  const backend = rules.backends.get(authentication?.backend ?? '')
  const row =
    authentication === null || backend === undefined
      ? null
      : await rowOfToken(rules, backend, authentication.token, request)
  if (row === null) throw FST_USERS_UNAUTHENTICATED()
  return row
}

/** Returns the user's row for a valid token; otherwise null. */
async function rowOfToken (
  { rows }: Rules,
  { strategy }: Backend,
  token: string,
  request: FastifyRequest
): Promise<UserRow | null> {
  const subject = await strategy.readToken(token, { request, users: rows })
  return subject == null || (subject.stamp != null && !rows.hasStamp(subject.row, subject.stamp)) ? null : subject.row
}

/** Returns the backends of which the request has a cookie with a valid session of this user. */
export async function backendsOfCookies (
  rules: Rules,
  { id }: UserRow,
  request: FastifyRequest | null
): Promise<Backend[]> {
  const presented: Backend[] = []
  for (const backend of request === null ? [] : rules.backends.values()) {
    const token =
      // the loop above ran at least once
      backend.transport.renew === undefined ? null : backend.transport.extractToken(request as FastifyRequest)
    const row = token === null ? null : await rowOfToken(rules, backend, token, request as FastifyRequest)
    if (row !== null && String(row.id) === String(id)) presented.push(backend)
  }
  return presented
}

/** Sends a new cookie in place of one whose session has just ended. A token in a header cannot be replaced this way. */
export async function renewSession (
  rules: Rules,
  row: UserRow,
  backend: Backend,
  { request, reply }: EventContext
): Promise<void> {
  if (backend.transport.renew === undefined || reply === null) return
  backend.transport.renew(reply, await issueToken(rules, backend, row, request, FST_USERS_UNAUTHENTICATED))
}

/** Revokes the session that authenticated the request. */
export async function logout (rules: Rules, request: FastifyRequest, reply: FastifyReply | null): Promise<void> {
  const { authentication } = request
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { user, token, backend } = authentication
  await backendNamed(rules, backend).strategy.destroyToken?.(token, user)
  request.authentication = null
  request.user = null
  await rules.hooks.run('onAfterLogout', { user, backend }, { request, reply })
}

/** Revokes all sessions of the user: sets a new security stamp and deletes stored tokens. */
export async function endSessions (rules: Rules, user: User | UserId): Promise<void> {
  const row = await currentRow(rules, user)
  await revokeSessions(rules, row)
  if (row.session_stamp !== undefined) return
  const left = [...rules.backends.values()].filter(({ strategy }) => strategy.destroyAllTokens === undefined)
  if (left.length > 0) throw FST_USERS_SESSIONS_NOT_REVOCABLE([left.map(({ name }) => name).join(', ')])
}

/**
 * Revokes the sessions of a user as far as the table and the strategies support it. Returns the row with the new stamp.
 */
export async function revokeSessions (rules: Rules, row: UserRow): Promise<UserRow> {
  const stamp = generateStamp()
  if (row.session_stamp !== undefined) await rules.rows.update({ id: row.id }, { session_stamp: stamp })
  await deleteStoredTokens(rules, row)
  return row.session_stamp === undefined ? row : { ...row, session_stamp: stamp }
}

/** Deletes the user's stored tokens of every backend. Where the table has a stamp, they are revoked already. */
export async function deleteStoredTokens ({ backends, rows }: Rules, row: UserRow): Promise<void> {
  const user = rows.toUser(row)
  for (const { strategy } of backends.values()) await strategy.destroyAllTokens?.(user)
}

function backendNamed ({ backends }: Rules, name: string): Backend {
  const backend = backends.get(name)
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([name, [...backends.keys()].join(', ')])
  return backend
}

/**
 * Throws `FST_USERS_LOGIN_BAD_CREDENTIALS` if the user changed during the login. A revocation in the meantime may have
 * deleted the stored tokens before the new one was there. In a table without stamps, only the flag shows that the
 * e-mail was verified in the meantime.
 */
async function checkUnchanged ({ rows }: Rules, row: UserRow): Promise<void> {
  const now = await rows.getRow(row.id as UserId)
  const isSame = now !== null && now.is_active && rows.stampOf(now) === rows.stampOf(row)
  if (!isSame || now.is_verified !== row.is_verified || now.email !== row.email) throw FST_USERS_LOGIN_BAD_CREDENTIALS()
}

/**
 * Throws unless the user may log in. With `revealExistingAccounts: false`, a user must be verified to log in with a
 * password, and the reply is the one for a wrong password. Otherwise a registration followed by a login would reveal
 * whether the e-mail was taken.
 */
async function checkState (
  rules: Rules,
  row: UserRow,
  { backend, method }: { backend: Backend; method: string },
  context: EventContext
): Promise<void> {
  const { revealExistingAccounts } = rules.settings
  const { name, requireVerification } = backend
  const isNeutral = !revealExistingAccounts && method === 'password'
  if (row.is_active && (row.is_verified || !(requireVerification || isNeutral))) return
  await reportFailure(rules, row.is_active ? 'NOT_VERIFIED' : 'INACTIVE', row.email, row, name, context)
  throw row.is_active && !isNeutral ? FST_USERS_LOGIN_USER_NOT_VERIFIED() : FST_USERS_LOGIN_BAD_CREDENTIALS()
}
