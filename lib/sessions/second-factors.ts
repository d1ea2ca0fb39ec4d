import type { EventContext } from '../contracts/events.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { LoginAttempt } from '../contracts/login-step.js'
import type {
  FactorDescription,
  SecondFactorChange,
  SecondFactorService,
  UserSecondFactor
} from '../contracts/second-factors.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_SECOND_FACTOR_REQUIRED, FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { sessionsOfCookies } from './acting-user.js'
import { factorKindsOf } from './authentication-methods.js'
import { isUserUnchanged } from './ongoing-login.js'
import { revokeSessions, revokeUnlessRevoked } from './end.js'
import { countOnce, countSecondFactors } from './factor-counts.js'
import { renewSession, type PresentedSession } from './issue.js'
import { deleteStoredOthers } from './service.js'
import { backendNamed, contextOf, type SessionRules } from './session-rules.js'

/** Creates `kit.secondFactors`. */
export function createSecondFactors (rules: SessionRules): SecondFactorService {
  return {
    count: (user) => countSecondFactors(rules, user),
    isNeeded: (attempt) => needsSecondFactor(rules, attempt),
    mustEnrol: (attempt) => mustEnrol(rules, attempt),
    changed: (row, change) => secondFactorChanged(rules, row, change)
  }
}

/** Returns the active second factors of a user over all features, without secrets. */
export async function listSecondFactors (
  { secondFactors, rows }: SessionRules,
  row: UserRow
): Promise<readonly UserSecondFactor[]> {
  const user = rows.toUser(row)
  const listed: UserSecondFactor[] = []
  for (const { name, list, count } of secondFactors) {
    const known = list === undefined ? Array<FactorDescription>(await count(user)).fill(UNKNOWN) : await list(user)
    listed.push(...known.map(({ label, createdAt, lastUsedAt }) => ({ name, label, createdAt, lastUsedAt })))
  }
  return listed
}

const UNKNOWN: FactorDescription = { label: null, createdAt: null, lastUsedAt: null }

/** Deletes all second factors of a user who is deleted. */
export async function deleteSecondFactors ({ secondFactors, rows }: SessionRules, row: UserRow): Promise<void> {
  for (const { removeAll } of secondFactors) await removeAll(rows.toUser(row))
}

/**
 * Removes the second factors of a user who has lost them: all, or those with one name. The sessions end first, so that
 * the call can be repeated if it fails. Returns the number of removed factors.
 */
export async function removeSecondFactors (
  rules: SessionRules,
  row: UserRow,
  { name: only, ...call }: CallContext & { name?: string }
): Promise<number> {
  const { audit, hooks, rows, secondFactors } = rules
  const context = contextOf(call)
  const chosen = secondFactors.filter(({ name }) => only === undefined || name === only)
  const before = rows.toUser(row)
  const counts = await Promise.all(chosen.map(({ count }) => count(before)))
  const user = counts.every((count) => count === 0) ? before : rows.toUser((await endAllOlder(rules, row, context)).row)
  let total = 0
  for (const { name, removeAll } of chosen) {
    const removed = await removeAll(user)
    if (removed === 0) continue
    total += removed
    const kind = name === 'passkey' ? 'passkey' : 'second-factor'
    await hooks.run('onLoginMethodRemoved', { user, kind, method: name }, context)
    audit.emit({ event: 'factor.remove', user, method: name, details: { factors: removed } }, context)
  }
  return total
}

/** Returns true if methods prove two different kinds of factors. */
export function isTwoFactor (rules: SessionRules, methods: readonly string[]): boolean {
  return countKindsOf(rules, methods) > 1
}

/** Returns the number of different kinds of factors that methods prove. */
export function countKindsOf ({ secondFactors }: SessionRules, methods: readonly string[]): number {
  return factorKindsOf(methods, new Set(secondFactors.flatMap(({ methods: further = [] }) => further))).size
}

/** Returns true if the user has a second factor, has not proved two factors yet, and uses no trusted device. */
export async function needsSecondFactor (rules: SessionRules, attempt: LoginAttempt): Promise<boolean> {
  if (isTwoFactor(rules, attempt.methods) || (await countOnce(rules, attempt)) === 0) return false
  if (attempt.purpose === 'reauthentication') return true // a trusted device replaces no factor
  return !(await rules.trustedDevices?.isTrusted(attempt, backendNamed(rules, attempt.backend)) ?? false)
}

/**
 * Returns true if the option `secondFactors.required` demands a second factor for the login, the user has none, and the
 * login has not proved two factors, as a passkey does that is no second factor.
 */
export async function mustEnrol (rules: SessionRules, attempt: LoginAttempt): Promise<boolean> {
  const { required } = rules.settings.secondFactors
  if (required === null || attempt.purpose === 'reauthentication' || isTwoFactor(rules, attempt.methods)) return false
  if ((await countOnce(rules, attempt)) > 0) return false
  const answer: unknown = await required({ user: rules.rows.toUser(attempt.user), backend: attempt.backend })
  if (typeof answer === 'boolean') return answer
  throw FST_USERS_INVALID_OPTION(['secondFactors.required', 'must return true or false'])
}

/**
 * Throws `FST_USERS_SECOND_FACTOR_REQUIRED` if the login needs a second factor and no step has asked for it. It is the
 * last check before the session, so that a mistake in a feature does not let users skip the factor.
 */
export async function requireSecondFactor (
  rules: SessionRules,
  attempt: LoginAttempt,
  done: readonly string[]
): Promise<void> {
  const { secondFactors, settings } = rules
  if (secondFactors.length === 0 && settings.secondFactors.required === null) return
  if (done.includes(SECOND_FACTOR_GROUP)) return
  if (await needsSecondFactor(rules, attempt) || await mustEnrol(rules, attempt)) {
    throw FST_USERS_SECOND_FACTOR_REQUIRED()
  }
}

/**
 * Ends the sessions that are older than a change of the factors, and reports the change. Returns the present row. If
 * anything fails, an added factor is removed again. If the sessions were revoked since the row was read, `revoked()` is
 * thrown.
 */
export async function secondFactorChanged (
  rules: SessionRules,
  row: UserRow,
  { change, method, kind = 'second-factor', undo, remove, ...call }: SecondFactorChange,
  revoked: () => Error = FST_USERS_UNAUTHENTICATED
): Promise<UserRow> {
  const { audit, hooks } = rules
  const context = contextOf(call)
  const mayRepeat = change === 'added' || (remove !== undefined && context.request !== null)
  let ended: EndedSessions | null
  try {
    ended = await (mayRepeat ? endOlderSessions : endAllOlder)(rules, row, context)
    if (ended !== null) {
      await remove?.(ended.row)
      const user = rules.rows.toUser(ended.row)
      await hooks.run(change === 'added' ? 'onLoginMethodAdded' : 'onLoginMethodRemoved', { user, kind, method }, context)
      audit.emit({ event: change === 'added' ? 'factor.add' : 'factor.remove', user, method }, context)
      // the new cookie comes last: a failed request creates no session
      for (const cookie of ended.cookies) await renewSession(rules, ended.row, cookie, context)
      return ended.row
    }
  } catch (error) {
    await undoQuietly(undo)
    throw error
  }
  await withdrawFactor(rules, row, undo)
  throw revoked()
}

/**
 * Removes a factor that was added after the sessions of the user were revoked, and ends sessions that it may have
 * begun.
 */
export async function withdrawFactor (
  rules: SessionRules,
  row: UserRow,
  undo: (() => MaybePromise<unknown>) | undefined
): Promise<void> {
  await undo?.()
  const now = await rules.rows.getRow(row.id as UserId)
  if (now !== null) await revokeSessions(rules, now)
}

/** Removes a factor after another error, which is the one to report. */
async function undoQuietly (undo: (() => MaybePromise<unknown>) | undefined): Promise<void> {
  try {
    await undo?.()
  } catch {}
}

/** The row with the present security stamp, and the cookie sessions of the request, which continue. */
interface EndedSessions {
  readonly row: UserRow
  readonly cookies: readonly PresentedSession[]
}

/**
 * Ends all sessions but that of the request. A cookie session gets a new secret (SES-07). A bearer token continues only
 * if the other sessions can be deleted one by one. Returns null, and ends nothing, if the sessions of the user were
 * revoked since the row was read: a parallel password reset stays in effect.
 */
async function endOlderSessions (
  rules: SessionRules,
  row: UserRow,
  context: EventContext
): Promise<EndedSessions | null> {
  const acting = context.request?.authentication ?? null
  const isOwn = acting !== null && String(acting.user.id) === String(row.id)
  const { renew } = (isOwn ? rules.backends.get(acting.backend)?.transport : undefined) ?? {}
  const cookies = isOwn ? await sessionsOfCookies(rules, row, context.request) : []
  if (!(await isUserUnchanged(rules, row))) return null
  if (isOwn && renew === undefined) {
    const user = rules.rows.toUser(row)
    if (await deleteStoredOthers(rules, user, acting.session.id)) return { row, cookies: [] }
  }
  const now = await revokeUnlessRevoked(rules, row)
  return now === null ? null : { row: now, cookies }
}

/** Does what `endOlderSessions` does or, after a parallel revocation, ends all sessions. */
async function endAllOlder (rules: SessionRules, row: UserRow, context: EventContext): Promise<EndedSessions> {
  const ended = await endOlderSessions(rules, row, context)
  return ended ?? { row: await revokeSessions(rules, row), cookies: [] }
}
