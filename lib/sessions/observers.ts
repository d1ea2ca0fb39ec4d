import type { CreatedSession, SessionSelection } from '../contracts/session-service.js'
import type { User } from '../contracts/user.js'
import type { SessionRules } from './session-rules.js'

/** Reports a new session to all observers. */
export async function reportIssued ({ observers }: SessionRules, created: CreatedSession): Promise<void> {
  for (const { issued } of observers) await issued?.(created.issued.session, created)
}

/** Reports ended sessions to all observers, also if one of them throws. Throws the first error afterwards. */
export async function reportEnded ({ observers }: SessionRules, user: User, which: SessionSelection): Promise<void> {
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
