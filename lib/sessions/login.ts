import type { PendingLogin } from '../contracts/events.js'
import type { LoginContext, LoginResult } from '../contracts/users-api.js'
import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_LOGIN_BAD_CREDENTIALS, FST_USERS_LOGIN_USER_NOT_VERIFIED } from '../errors.js'
import { stateFailure, type OngoingLogin } from './ongoing-login.js'
import { reportLoginFailure } from './login-failure.js'
import { continueLogin, reportPending } from './login-steps.js'
import { backendNamed, contextOf, currentRow, type SessionRules } from './session-rules.js'

/**
 * Logs a user in. Order: check of the flags, `onBeforeLogin`, the login steps, token, `onIssueToken`, `onAfterLogin`.
 */
export async function login (
  rules: SessionRules,
  given: User | UserRow,
  { backend, method = 'password', rememberMe = false, ...call }: LoginContext
): Promise<LoginResult> {
  const row = 'hashed_password' in given ? given : await currentRow(rules, given)
  const ongoing: OngoingLogin = {
    row,
    backend: backendNamed(rules, backend),
    method,
    methods: [method],
    isRemembered: rememberMe && rules.settings.rememberMe(backend),
    trustsDevice: false,
    context: contextOf(call),
    changed: FST_USERS_LOGIN_BAD_CREDENTIALS
  }
  const pending = await decideLogin(rules, ongoing)
  if (pending !== null) {
    reportPending(rules, ongoing, pending.code)
    return { pending }
  }
  const result = await continueLogin(rules, ongoing, [])
  if (result.pending === undefined && method === 'password') rules.attempts.forget(row.email, ongoing.context)
  return result
}

/** Returns null if the user may log in, or a further step that a hook asks for. Throws if the login is refused. */
async function decideLogin (rules: SessionRules, login: OngoingLogin): Promise<PendingLogin | null> {
  await checkState(rules, login)
  const { row, backend, method, context } = login
  const payload = { user: rules.rows.toUser(row), backend: backend.name, method }
  return await rules.hooks.run('onBeforeLogin', payload, context).catch(async (error: unknown) => {
    await reportLoginFailure(rules, 'REFUSED', row.email, row, backend.name, context)
    throw error
  })
}

/**
 * Throws unless the user may log in. With `revealExistingAccounts: false`, the reply to an unverified user is the one
 * for a wrong password. Otherwise a registration followed by a login would reveal whether the e-mail was taken.
 */
async function checkState (rules: SessionRules, login: OngoingLogin): Promise<void> {
  const reason = stateFailure(rules, login)
  if (reason === null) return
  const { row, backend, method, context } = login
  await reportLoginFailure(rules, reason, row.email, row, backend.name, context)
  const isNeutral = !rules.settings.revealExistingAccounts && method === 'password'
  throw reason === 'NOT_VERIFIED' && !isNeutral
    ? FST_USERS_LOGIN_USER_NOT_VERIFIED()
    : FST_USERS_LOGIN_BAD_CREDENTIALS()
}
