import type { FastifyReply, FastifyRequest } from 'fastify'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_SESSIONS_NOT_REVOCABLE, FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { generateStamp } from '../tokens/index.js'
import { backendNamed, currentRow, type SessionRules } from './session-rules.js'

/** Revokes the session that authenticated the request. */
export async function logout (rules: SessionRules, request: FastifyRequest, reply: FastifyReply | null): Promise<void> {
  const { authentication } = request
  if (authentication === null) throw FST_USERS_UNAUTHENTICATED()
  const { user, token, backend } = authentication
  await backendNamed(rules, backend).strategy.destroyToken?.(token, user)
  request.authentication = null
  request.user = null
  await rules.hooks.run('onAfterLogout', { user, backend }, { request, reply })
}

/** Revokes all sessions of the user: sets a new security stamp and deletes stored tokens. */
export async function endSessions (rules: SessionRules, user: User | UserId): Promise<void> {
  const row = await currentRow(rules, user)
  await revokeSessions(rules, row)
  if (row.session_stamp !== undefined) return
  const left = [...rules.backends.values()].filter(({ strategy }) => strategy.destroyAllTokens === undefined)
  if (left.length > 0) throw FST_USERS_SESSIONS_NOT_REVOCABLE([left.map(({ name }) => name).join(', ')])
}

/**
 * Revokes the sessions of a user as far as the table and the strategies support it. Returns the row with the new stamp.
 */
export async function revokeSessions (rules: SessionRules, row: UserRow): Promise<UserRow> {
  const stamp = generateStamp()
  if (row.session_stamp !== undefined) await rules.rows.update({ id: row.id }, { session_stamp: stamp })
  await deleteStoredTokens(rules, row)
  return row.session_stamp === undefined ? row : { ...row, session_stamp: stamp }
}

/** Deletes the user's stored tokens of every backend. Where the table has a stamp, they are revoked already. */
export async function deleteStoredTokens ({ backends, rows }: SessionRules, row: UserRow): Promise<void> {
  const user = rows.toUser(row)
  for (const { strategy } of backends.values()) await strategy.destroyAllTokens?.(user)
}
