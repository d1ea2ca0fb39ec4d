import type { Backend } from '../contracts/backend.js'
import type { EventContext, PendingLogin } from '../contracts/events.js'
import type { IssuedToken } from '../contracts/strategy.js'
import type { LoginContext, LoginResult } from '../contracts/users-api.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import { FST_USERS_LOGIN_BAD_CREDENTIALS, FST_USERS_LOGIN_USER_NOT_VERIFIED } from '../errors.js'
import { endSession } from './end.js'
import { createSession } from './issue.js'
import { reportFailure } from './login-failure.js'
import { backendNamed, contextOf, currentRow, type SessionRules } from './session-rules.js'

/** A user who has just authenticated, and the backend that shall create the session. */
export interface LoginAttempt {
  readonly row: UserRow
  readonly backend: Backend
  /** The method by which the user authenticated. */
  readonly method: string
  readonly context: EventContext
}

/** Logs a user in. Order: check of the flags, `onBeforeLogin`, token, `onIssueToken`, `onAfterLogin`. */
export async function login (
  rules: SessionRules,
  given: User | UserRow,
  { backend, method = 'password', ...call }: LoginContext
): Promise<LoginResult> {
  const row = 'hashed_password' in given ? given : await currentRow(rules, given)
  const attempt = { row, backend: backendNamed(rules, backend), method, context: contextOf(call) }
  const pending = await decideLogin(rules, attempt)
  return pending === null ? { issued: await completeLogin(rules, attempt) } : { pending }
}

/** Returns null if the user may log in, or a further step that the login needs. Throws if the login is refused. */
async function decideLogin (rules: SessionRules, attempt: LoginAttempt): Promise<PendingLogin | null> {
  await checkState(rules, attempt)
  const { row, backend, method, context } = attempt
  const payload = { user: rules.rows.toUser(row), backend: backend.name, method }
  return await rules.hooks.run('onBeforeLogin', payload, context).catch(async (error: unknown) => {
    await reportFailure(rules, 'REFUSED', row.email, row, backend.name, context)
    throw error
  })
}

/** Creates the session of a login. If the user has changed meanwhile or a hook throws, the session is revoked again. */
async function completeLogin (rules: SessionRules, attempt: LoginAttempt): Promise<IssuedToken> {
  const { row, backend, method, context } = attempt
  const user = rules.rows.toUser(row)
  const session = { authenticatedAt: new Date(rules.settings.clock()), methods: [method], details: {} }
  const issued = await createSession(rules, { ...session, row, backend, context }, FST_USERS_LOGIN_BAD_CREDENTIALS)
  try {
    if (!(await isUnchanged(rules, row))) throw FST_USERS_LOGIN_BAD_CREDENTIALS()
    await rules.hooks.run('onIssueToken', { user, backend: backend.name, issued }, context)
    await rules.hooks.run('onAfterLogin', { user, backend: backend.name, method }, context)
  } catch (error) {
    await endSession(rules, backend, user, issued) // the client never receives the token
    throw error
  }
  return issued
}

/**
 * Returns false if the user changed while a session was created. A revocation in the meantime may have deleted the
 * stored tokens before the new one was there. In a table without stamps, only the flag shows that the e-mail was
 * verified in the meantime.
 */
export async function isUnchanged ({ rows }: SessionRules, row: UserRow): Promise<boolean> {
  const now = await rows.getRow(row.id as UserId)
  const isSame = now !== null && now.is_active && rows.stampOf(now) === rows.stampOf(row)
  return isSame && now.is_verified === row.is_verified && now.email === row.email
}

/**
 * Throws unless the user may log in. With `revealExistingAccounts: false`, a user must be verified to log in with a
 * password, and the reply is the one for a wrong password. Otherwise a registration followed by a login would reveal
 * whether the e-mail was taken.
 */
async function checkState (rules: SessionRules, { row, backend, method, context }: LoginAttempt): Promise<void> {
  const { revealExistingAccounts } = rules.settings
  const { name, requireVerification } = backend
  const isNeutral = !revealExistingAccounts && method === 'password'
  if (row.is_active && (row.is_verified || !(requireVerification || isNeutral))) return
  await reportFailure(rules, row.is_active ? 'NOT_VERIFIED' : 'INACTIVE', row.email, row, name, context)
  throw row.is_active && !isNeutral ? FST_USERS_LOGIN_USER_NOT_VERIFIED() : FST_USERS_LOGIN_BAD_CREDENTIALS()
}
