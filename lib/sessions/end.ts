import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_SESSIONS_NOT_REVOCABLE, FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { reportEnded } from './observers.js'
import { endBrowserLogins, endPendingLogins } from './pending-login.js'
import { backendNamed, currentRow, sessionOfToken, type SessionRules } from './session-rules.js'

/** Revokes the session of a token if the strategy supports it, and reports its end to the observers. */
export async function endSession (
  rules: SessionRules,
  { strategy }: Backend,
  user: User,
  { token, session = sessionOfToken(token) }: Pick<IssuedToken, 'token' | 'session'>
): Promise<void> {
  await strategy.destroyToken?.(token, user)
  await reportEnded(rules, user, { id: session.id })
}

/** Revokes the session that authenticated the request, and the pending logins of its browser. */
export async function logout (rules: SessionRules, request: FastifyRequest, reply: FastifyReply | null): Promise<void> {
  const { authentication } = request
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { user, token, session, backend: name } = authentication
  const backend = backendNamed(rules, name)
  await backend.strategy.destroyToken?.(token, user)
  await endBrowserLogins(rules, { backend, context: { request, reply } })
  request.authentication = null
  request.user = null
  await reportEnded(rules, user, { id: session.id })
  await rules.hooks.run('onAfterLogout', { user, backend: name, session }, { request, reply })
}

/** Revokes all sessions of the user: sets a new security stamp and deletes stored tokens. */
export async function endSessions (rules: SessionRules, user: User | UserId): Promise<void> {
  const row = await currentRow(rules, user)
  await revokeSessions(rules, row)
  if (row.session_stamp !== undefined) return
  const left = [...rules.backends.values()].filter(({ strategy }) => strategy.destroyAllTokens === undefined)
  if (left.length > 0) throw FST_USERS_SESSIONS_NOT_REVOCABLE([left.map(({ name }) => name).join(', ')])
}

/** Revokes the sessions of a user where the table and the strategies support it. Returns the row with the new stamp. */
export async function revokeSessions (
  rules: SessionRules,
  row: UserRow,
  stamp = generateStamp()
): Promise<UserRow> {
  if (row.session_stamp !== undefined) await rules.rows.update({ id: row.id }, { session_stamp: stamp })
  await deleteStoredTokens(rules, row)
  return row.session_stamp === undefined ? row : { ...row, session_stamp: stamp }
}

/**
 * Does what `revokeSessions` does, unless a parallel change has set another stamp since the row was read: then returns
 * null and changes nothing.
 */
export async function revokeUnlessRevoked (
  rules: SessionRules,
  row: UserRow,
  stamp = generateStamp()
): Promise<UserRow | null> {
  const { id, session_stamp: known } = row
  if (known === undefined) return await revokeSessions(rules, row)
  if ((await rules.rows.update({ id, session_stamp: known }, { session_stamp: stamp })) !== 1) return null
  await deleteStoredTokens(rules, row)
  return { ...row, session_stamp: stamp }
}

/**
 * Deletes the user's stored tokens of every backend and the pending logins, and reports the end of all sessions to the
 * observers. If the table has a stamp, a new one has revoked the sessions already.
 */
export async function deleteStoredTokens (rules: SessionRules, row: UserRow): Promise<void> {
  const user = rules.rows.toUser(row)
  for (const { strategy } of rules.backends.values()) await strategy.destroyAllTokens?.(user)
  await endPendingLogins(rules, row)
  await rules.trustedDevices?.end(row)
  await reportEnded(rules, user, 'all')
}
