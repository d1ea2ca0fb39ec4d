import type { Authentication } from '../contracts/authentication.js'
import type { Backend } from '../contracts/backend.js'
import type { EventContext, LoginFailure } from '../contracts/events.js'
import type { LoginAttempt } from '../contracts/login-step.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { LoginState } from './pending-record.js'
import type { SessionRules } from './session-rules.js'

/** A user who has just authenticated, and the backend that will create the session. */
export interface OngoingLogin {
  readonly row: UserRow
  readonly backend: Backend
  /** The method with which the login began. */
  readonly method: string
  /** All methods so far. */
  readonly methods: readonly string[]
  /** The user asked for a longer session. */
  readonly isRemembered: boolean
  /** The user asked to trust the device at a second factor. */
  readonly trustsDevice: boolean
  readonly context: EventContext
  /** Returns the error for a user who changes during the login. */
  readonly changed: () => Error
  /** The session that a reauthentication renews. Absent for a login. */
  readonly renews?: RenewedSession
}

/** The session that a reauthentication renews. */
export interface RenewedSession {
  readonly authentication: Authentication
  /**
   * Time of the authentication that still counts, so that only the missing factor is asked for; null if everything is
   * proved again.
   */
  readonly since: Date | null
}

/** Returns the values of a login that steps see. */
export function attemptOf ({ row, backend, method, methods, context, renews }: OngoingLogin): LoginAttempt {
  const purpose = renews === undefined ? 'login' : 'reauthentication'
  return { purpose, user: row, backend: backend.name, method, methods, ...context }
}

/**
 * Returns false if the user changed while a session was created. A revocation in the meantime may have deleted the
 * stored tokens before the new one was there.
 */
export async function isUserUnchanged (rules: SessionRules, row: UserRow): Promise<boolean> {
  const now = await rules.rows.getRow(row.id as UserId)
  return now !== null && hasState(rules, now, stateOf(rules, row))
}

/** Returns the state of a user that a login depends on. */
export function stateOf ({ rows }: SessionRules, row: UserRow): LoginState {
  return { stamp: rows.stampOf(row), email: row.email, isVerified: row.is_verified }
}

/**
 * Returns true if the user is active and has this state. In a table without stamps, only the flag shows that the e-mail
 * was verified in the meantime.
 */
export function hasState ({ rows }: SessionRules, now: UserRow, { stamp, email, isVerified }: LoginState): boolean {
  return now.is_active && rows.hasStamp(now, stamp) && now.is_verified === isVerified && now.email === email
}

/**
 * Returns the reason why the user may not log in, or null. With `revealExistingAccounts: false`, a user must be
 * verified to log in with a password.
 */
export function stateFailure (
  { settings }: SessionRules,
  { row, backend, method }: Pick<OngoingLogin, 'row' | 'backend' | 'method'>
): LoginFailure | null {
  if (!row.is_active) return 'INACTIVE'
  const isNeutral = !settings.revealExistingAccounts && method === 'password'
  return row.is_verified || !(backend.requireVerification || isNeutral) ? null : 'NOT_VERIFIED'
}
