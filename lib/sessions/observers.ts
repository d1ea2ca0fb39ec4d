import type { AuditEntry } from '../contracts/audit.js'
import type { EventContext } from '../contracts/events.js'
import type { CreatedSession, SessionSelection } from '../contracts/session-service.js'
import type { User } from '../contracts/user.js'
import type { SessionRules } from './session-rules.js'

/** Reports a new session to all observers. */
export async function reportIssued ({ observers }: SessionRules, created: CreatedSession): Promise<void> {
  for (const { issued } of observers) await issued?.(created.issued.session, created)
}

const NO_REQUEST: EventContext = { request: null, reply: null }

/**
 * Ends the connections of ended sessions, and reports the sessions to all observers, also if one of them throws. Throws
 * the first error afterwards.
 */
export async function reportEnded (
  { observers, audit, watchers }: SessionRules,
  user: User,
  which: SessionSelection
): Promise<void> {
  watchers.end(user, which)
  if (audit.isActive()) audit.emit(endedEntry(user, which), NO_REQUEST)
  const errors: unknown[] = []
  for (const { ended } of observers) {
    try {
      await ended?.(user, which)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

/** The end of a session is the consequence of another event, such as a logout or a new password. */
function endedEntry (user: User, which: SessionSelection): AuditEntry {
  const entry: AuditEntry = { event: 'session.end', user, isConsequence: true }
  if (which === 'all') return { ...entry, details: { sessions: 'all' } }
  return 'id' in which
    ? { ...entry, session: which, details: { sessions: 'one' } }
    : { ...entry, details: { sessions: 'others', kept: which.except } }
}
