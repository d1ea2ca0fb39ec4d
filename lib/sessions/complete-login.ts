import type { LoginAttempt } from '../contracts/login-step.js'
import type { IssuedToken } from '../contracts/strategy.js'
import { endSession } from './end.js'
import { hasFirstFactor } from './factor-counts.js'
import { createSession } from './issue.js'
import { isUserUnchanged, type OngoingLogin } from './ongoing-login.js'
import { detailsOf } from './remembered.js'
import type { SessionRules } from './session-rules.js'

/** Creates the session of a login. If the user has changed meanwhile or a hook throws, the session is revoked again. */
export async function completeLogin (
  rules: SessionRules,
  login: OngoingLogin,
  attempt: LoginAttempt
): Promise<IssuedToken> {
  const { row, backend, method, methods, isRemembered, context, changed } = login
  const user = rules.rows.toUser(row)
  const session = { authenticatedAt: new Date(rules.settings.clock()), methods, details: detailsOf(isRemembered) }
  const issued = await createSession(rules, { ...session, row, backend, context }, changed)
  try {
    if (!(await isUserUnchanged(rules, row)) || (await hasFirstFactor(rules, attempt))) throw changed()
    if ((await rules.trustedDevices?.recordLogin(login, attempt, issued.session)) === false) throw changed()
    await rules.hooks.run('onIssueToken', { user, backend: backend.name, issued }, context)
    await rules.hooks.run('onAfterLogin', { user, backend: backend.name, method, session: issued.session }, context)
  } catch (error) {
    await rules.trustedDevices?.end(row, { session_id: issued.session.id })
    await endSession(rules, backend, user, issued) // the client never receives the token
    throw error
  }
  rules.devices?.recordLogin({ user, backend, method, context })
  return issued
}
