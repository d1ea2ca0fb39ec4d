import type { Backend } from '../contracts/backend.js'
import type { EventContext } from '../contracts/events.js'
import type { Session, SessionValues } from '../contracts/session.js'
import type { IssuedSession } from '../contracts/session-service.js'
import type { WriteTokenContext } from '../contracts/strategy.js'
import type { UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { generateSessionId } from '../tokens/index.js'
import { endSession } from './end.js'
import { reportIssued } from './observers.js'
import { isRemembered } from './remembered.js'
import { sessionOfToken, type SessionRules } from './session-rules.js'

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
  /** Id of a session that continues with a new token. Default: a new id. */
  readonly id?: string
}

/**
 * Creates a session with the security stamp of this row, and its token, and reports it to the observers. All sessions
 * are created here. Throws `notFound()` if the user was deleted meanwhile. If an observer throws, the session is
 * revoked.
 */
export async function createSession (
  rules: SessionRules,
  { row, backend, context, id: continued, ...values }: NewSession,
  notFound: () => Error
): Promise<IssuedSession> {
  const { rows, settings } = rules
  const session = { id: continued ?? generateSessionId(), createdAt: new Date(settings.clock()), ...values }
  const written = { request: context.request, stamp: rows.stampOf(row), session }
  const issued = await writeToken(rules, row, backend, written, notFound)
  const user = rows.toUser(row)
  try {
    const { stamp } = written
    const origin = { continues: continued !== undefined, isRemembered: isRemembered(values) }
    await reportIssued(rules, { user, backend: backend.name, issued, stamp, context, ...origin })
  } catch (error) {
    await endSession(rules, backend, user, issued) // the client never receives the token
    throw error
  }
  return issued
}

async function writeToken (
  { rows }: SessionRules,
  row: UserRow,
  { strategy }: Backend,
  context: WriteTokenContext,
  notFound: () => Error
): Promise<IssuedSession> {
  try {
    const issued = await strategy.writeToken(row, context)
    return { ...issued, session: issued.session ?? sessionOfToken(issued.token) }
  } catch (error) {
    throw (await rows.getRow(row.id as UserId)) === null ? notFound() : error
  }
}

/**
 * Sends a new cookie in place of one whose session has just ended. The new session has the values of the old one, but
 * another id. A token in a header cannot be replaced this way. An inactive user gets no session: it would be valid as
 * soon as the user is active again.
 */
export async function renewSession (
  rules: SessionRules,
  row: UserRow,
  presented: PresentedSession,
  context: EventContext
): Promise<void> {
  const send = await prepareRenewal(rules, row, presented, context)
  send()
}

/** Creates the session of `renewSession`. Returns a function that sends its cookie. */
export async function prepareRenewal (
  rules: SessionRules,
  row: UserRow,
  { backend, session: { authenticatedAt, methods, details } }: PresentedSession,
  context: EventContext
): Promise<() => void> {
  const { reply } = context
  const { transport } = backend
  if (transport.renew === undefined || reply === null || !row.is_active) return () => {}
  const renewed = { row, backend, context, authenticatedAt, methods, details }
  const issued = await createSession(rules, renewed, FST_USERS_UNAUTHENTICATED)
  return () => transport.renew?.(reply, issued)
}
