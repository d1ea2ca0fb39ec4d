import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import type { SessionRules } from './session-rules.js'

/**
 * Creates a token with the security stamp of this row. Throws `notFound()` if the user was deleted meanwhile.
 */
export async function issueToken (
  { rows }: SessionRules,
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

/** Sends a new cookie in place of one whose session has just ended. A token in a header cannot be replaced this way. */
export async function renewSession (
  rules: SessionRules,
  row: UserRow,
  backend: Backend,
  { request, reply }: EventContext
): Promise<void> {
  if (backend.transport.renew === undefined || reply === null) return
  backend.transport.renew(reply, await issueToken(rules, backend, row, request, FST_USERS_UNAUTHENTICATED))
}
