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
 * A new session for the sender of a request, in place of the one that it came with. Throws what `login` throws,
 * `FST_USERS_LOGIN_PENDING`.
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
    await endPresented(backend, context.request)
  } catch (error) {
    await backend.strategy.destroyToken?.(issued.token, row) // a token that nobody gets must not live
    throw error
  }
  return issued
}

/**
 * Ends the sessions of the cookies that a browser presents, each as a session of its own user, except one that has
 * ended.
 */
export async function endPresented (
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
