import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { LoginAnswer } from '../contracts/login-step.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { LoginPending, LoginResult } from '../contracts/users-api.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_LOGIN_PENDING } from '../errors.js'
import { endSession } from './end.js'
import { login } from './login.js'
import { endPresentedSessions } from './presented.js'
import { resumeLogin } from './resume-login.js'
import type { SessionRules } from './session-rules.js'

/**
 * The request that logs a user in, its reply, the method of the login (default: `password`), and whether the user asked
 * for a longer session.
 */
export interface StartContext {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly method?: string
  readonly rememberMe?: boolean
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
  return await acceptLogin(rules, backend, context, await login(rules, row, { ...context, backend: backend.name }))
}

/** Continues a pending login like `resumeLogin`, and revokes the sessions whose cookies the request presents. */
export async function resumeSession (
  rules: SessionRules,
  backend: Backend,
  answer: LoginAnswer,
  context: StartContext
): Promise<IssuedToken> {
  const result = await resumeLogin(rules, answer, { ...context, backend: backend.name })
  return await acceptLogin(rules, backend, context, result)
}

/**
 * Returns the token of a login after revoking the sessions whose cookies the request presents. Throws
 * `FST_USERS_LOGIN_PENDING` if the login needs another step.
 */
export async function acceptLogin (
  rules: SessionRules,
  backend: Backend,
  { request }: Pick<StartContext, 'request'>,
  result: LoginResult
): Promise<IssuedToken> {
  const { issued, user } = finishedLogin(result)
  try {
    await endPresentedSessions(rules, backend, request)
  } catch (error) {
    await endSession(rules, backend, user, issued) // the client never receives this token
    throw error
  }
  return issued
}

/** Returns the token and the user of a login. Throws `FST_USERS_LOGIN_PENDING` if it needs another step. */
export function finishedLogin (result: LoginResult): Exclude<LoginResult, { pending: LoginPending }> {
  const { pending } = result
  if (pending === undefined) return result
  const { code, body, ticket, steps } = pending
  throw FST_USERS_LOGIN_PENDING([], { detail: ticket === undefined ? { code, ...body } : { code, ticket, steps } })
}
