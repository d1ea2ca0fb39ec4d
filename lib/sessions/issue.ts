import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { Session, SessionValues } from '../contracts/session.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { deriveSessionId, generateSessionId } from '../tokens/index.js'
import type { SessionRules } from './session-rules.js'

/** A token that was created, with its session. */
export type IssuedSession = IssuedToken & { session: Session }

/** A session that a request presents, and its backend. */
export interface PresentedSession {
  readonly backend: Backend
  readonly session: Session
}

/** Argument of `createSession`. */
export interface NewSession extends SessionValues {
  readonly row: UserRow
  readonly backend: Backend
  readonly context: EventContext
}

/**
 * Creates a session with the security stamp of this row, and its token. Throws `notFound()` if the user was deleted
 * meanwhile.
 */
export async function createSession (
  { rows, settings }: SessionRules,
  { row, backend, context, ...values }: NewSession,
  notFound: () => Error
): Promise<IssuedSession> {
  const session = { id: generateSessionId(), createdAt: new Date(settings.clock()), ...values }
  try {
    const written = { request: context.request, stamp: rows.stampOf(row), session }
    const issued = await backend.strategy.writeToken(row, written)
    return { ...issued, session: issued.session ?? sessionOfToken(issued.token) }
  } catch (error) {
    throw (await rows.getRow(row.id as UserId)) === null ? notFound() : error
  }
}

/** Returns the session of a token whose strategy stores none: only its id is known. */
export function sessionOfToken (token: string): Session {
  return { id: deriveSessionId(token), createdAt: null, authenticatedAt: null, methods: [], details: {} }
}

/**
 * Sends a new cookie in place of one whose session has just ended. The new session has the values of the old one, but
 * another id. A token in a header cannot be replaced this way.
 */
export async function renewSession (
  rules: SessionRules,
  row: UserRow,
  { backend, session: { authenticatedAt, methods, details } }: PresentedSession,
  context: EventContext
): Promise<void> {
  const { reply } = context
  if (backend.transport.renew === undefined || reply === null) return
  const renewed = { row, backend, context, authenticatedAt, methods, details }
  backend.transport.renew(reply, await createSession(rules, renewed, FST_USERS_UNAUTHENTICATED))
}
