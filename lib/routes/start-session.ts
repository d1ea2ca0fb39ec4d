import type { FastifyReply, FastifyRequest } from 'fastify'
import { presentedTokens } from '../authentication/index.js'
import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UserRow } from '../contracts/user.js'
import type { UsersApi } from '../contracts/users-api.js'
import { FST_USERS_LOGIN_PENDING } from '../errors.js'
import { kHost } from '../symbols.js'
import { isSameSecret } from '../tokens/index.js'

/**
 * Creates a session for a user and revokes the sessions whose cookies the request presents. Throws the errors of
 * `login`, and `FST_USERS_LOGIN_PENDING` if the login needs another step.
 */
export async function startSession (
  users: Pick<UsersApi, 'login'>,
  backend: Backend,
  row: UserRow,
  context: { request: FastifyRequest; reply: FastifyReply; method?: string }
): Promise<IssuedToken> {
  const { issued, pending } = await users.login(row, { ...context, backend: backend.name })
  if (pending !== undefined) throw FST_USERS_LOGIN_PENDING([], { detail: { code: pending.code, ...pending.body } })
  try {
    await endPresentedSessions(backend, context.request)
  } catch (error) {
    await backend.strategy.destroyToken?.(issued.token, row) // the client never receives this token
    throw error
  }
  return issued
}

/**
 * Revokes the sessions of all cookies that a browser presents to a backend. They may belong to different users. Skips
 * the session of the token `ended`, which is revoked already.
 */
export async function endPresentedSessions (
  { transport, strategy }: Backend,
  request: FastifyRequest,
  ended?: string
): Promise<void> {
  if (!transport.ambient || strategy.destroyToken === undefined) return
  const users = request.server[kHost].rows
  for (const token of presentedTokens(transport, request)) {
    if (ended !== undefined && isSameSecret(token, ended)) continue
    const subject = await strategy.readToken(token, { request, users })
    if (subject !== null) await strategy.destroyToken(token, users.toUser(subject.row))
  }
}
