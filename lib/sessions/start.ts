import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_LOGIN_PENDING } from '../errors.js'
import { endSession } from './end.js'
import { login } from './login.js'
import { endPresentedSessions } from './presented.js'
import type { SessionRules } from './session-rules.js'

/** The request that logs a user in, its reply, and the method of the login. Default: `password`. */
export interface StartContext {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly method?: string
}

/**
 * Creates a session for a user and revokes the sessions whose cookies the request presents. Throws the errors of
 * `login`, and `FST_USERS_LOGIN_PENDING` if the login needs another step.
 */
export async function startSession (
  rules: SessionRules,
  backend: Backend,
  row: UserRow,
  context: StartContext
): Promise<IssuedToken> {
  const { issued, pending } = await login(rules, row, { ...context, backend: backend.name })
  if (pending !== undefined) throw FST_USERS_LOGIN_PENDING([], { detail: { code: pending.code, ...pending.body } })
  try {
    await endPresentedSessions(rules, backend, context.request)
  } catch (error) {
    await endSession(rules, backend, rules.rows.toUser(row), issued) // the client never receives this token
    throw error
  }
  return issued
}
