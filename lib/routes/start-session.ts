import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { User, UserRow } from '../contracts/user.js'
import type { UsersApi } from '../contracts/users-api.js'
import { FST_USERS_LOGIN_PENDING } from '../errors.js'

/** A new session for the sender of a request, in place of the one that it came with. Throws what `login` throws, `FST_USERS_LOGIN_PENDING`. */
export async function startSession (users: Pick<UsersApi, 'login'>, backend: Backend, row: UserRow, context: { request: FastifyRequest, reply: FastifyReply, method?: string }): Promise<IssuedToken> {
  const { issued, pending } = await users.login(row, { ...context, backend: backend.name })
  if (pending !== undefined) throw FST_USERS_LOGIN_PENDING([], { detail: { code: pending.code, ...pending.body } })
  try {
    await endPresented(backend, context.request, row)
  } catch (error) {
    await backend.strategy.destroyToken?.(issued.token, row)     // a token that nobody gets must not live
    throw error
  }
  return issued
}

/** A browser's old session ends with the cookie that is replaced or cleared. */
export async function endPresented ({ transport, strategy }: Backend, request: FastifyRequest, user: User): Promise<void> {
  const presented = transport.ambient ? transport.extractToken(request) : null
  if (presented !== null) await strategy.destroyToken?.(presented, user)
}
