import type { EventContext, LoginFailure } from '../contracts/events.js'
import type { UserRow } from '../contracts/user.js'
import type { SessionRules } from './session-rules.js'

/** Fires `onLoginFailed`. */
export async function reportLoginFailure (
  { hooks, rows }: SessionRules,
  reason: LoginFailure,
  username: string,
  row: UserRow | null,
  backend: string | null,
  context: EventContext
): Promise<void> {
  await hooks.run('onLoginFailed', { username, user: row && rows.toUser(row), backend, reason }, context)
}
