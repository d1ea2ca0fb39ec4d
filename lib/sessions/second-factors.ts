import type { EventContext } from '../contracts/events.js'
import type { LoginAttempt } from '../contracts/login-step.js'
import type { SecondFactorChange, SecondFactorService } from '../contracts/second-factors.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_SECOND_FACTOR_REQUIRED } from '../errors.js'
import { sessionsOfCookies } from './acting-user.js'
import { kindsOf } from './authentication-methods.js'
import { revokeSessions } from './end.js'
import { renewSession } from './issue.js'
import { deleteStoredOthers } from './service.js'
import { backendNamed, contextOf, type SessionRules } from './session-rules.js'

/** Creates the service of the kit of features. */
export function createSecondFactors (rules: SessionRules): SecondFactorService {
  return {
    count: (user) => countSecondFactors(rules, user),
    isNeeded: (attempt) => needsSecondFactor(rules, attempt),
    mustEnrol: (attempt) => mustEnrol(rules, attempt),
    changed: (row, change) => secondFactorChanged(rules, row, change)
  }
}

/** Returns the number of active second factors of a user over all features. */
export async function countSecondFactors ({ secondFactors }: SessionRules, user: User): Promise<number> {
  let total = 0
  for (const { name, count } of secondFactors) {
    const found: unknown = await count(user)
    if (!Number.isSafeInteger(found) || Number(found) < 0) {
      // a mistake in a feature must not let users skip the factor
      throw FST_USERS_INVALID_OPTION([`secondFactors["${name}"].count`, 'must return a whole number'])
    }
    total += Number(found)
  }
  return total
}

/** Deletes all second factors of a user. Returns the numbers of deleted ones by name, without zeros. */
export async function removeSecondFactors (
  { secondFactors, rows }: SessionRules,
  row: UserRow
): Promise<Record<string, number>> {
  const removed: Record<string, number> = {}
  for (const { name, removeAll } of secondFactors) {
    const count = await removeAll(rows.toUser(row))
    if (count > 0) removed[name] = count
  }
  return removed
}

/** Returns true if methods prove two different kinds of factors. */
export function isTwoFactor ({ secondFactors }: SessionRules, methods: readonly string[]): boolean {
  return kindsOf(methods, new Set(secondFactors.flatMap(({ methods: further = [] }) => further))).size > 1
}

/** Returns true if the user has a second factor, has not proved two factors yet, and uses no trusted device. */
export async function needsSecondFactor (rules: SessionRules, attempt: LoginAttempt): Promise<boolean> {
  if (isTwoFactor(rules, attempt.methods) || (await countOf(rules, attempt)) === 0) return false
  return !(await rules.trustedDevices?.isTrusted(attempt, backendNamed(rules, attempt.backend)) ?? false)
}

/** Returns true if the option `secondFactors.required` demands a second factor and the user has none. */
export async function mustEnrol (rules: SessionRules, attempt: LoginAttempt): Promise<boolean> {
  const { required } = rules.settings.secondFactors
  if (required === null || (await countOf(rules, attempt)) > 0) return false
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

/** Ends the sessions that are older than a change of the factors, and reports the change. Returns the present row. */
export async function secondFactorChanged (
  rules: SessionRules,
  row: UserRow,
  { change, method, kind = 'second-factor', ...call }: SecondFactorChange
): Promise<UserRow> {
  const { audit, hooks } = rules
  const context = contextOf(call)
  const now = await endOlderSessions(rules, row, context)
  const user = rules.rows.toUser(now)
  await hooks.run(change === 'added' ? 'onLoginMethodAdded' : 'onLoginMethodRemoved', { user, kind, method }, context)
  audit.emit({ event: change === 'added' ? 'factor.add' : 'factor.remove', user, method }, context)
  return now
}

/**
 * Ends all sessions but that of the request. A cookie session gets a new secret (SES-07). A bearer token continues only
 * if the other sessions can be deleted one by one.
 */
async function endOlderSessions (rules: SessionRules, row: UserRow, context: EventContext): Promise<UserRow> {
  const acting = context.request?.authentication ?? null
  const isOwn = acting !== null && String(acting.user.id) === String(row.id)
  const { renew } = (isOwn ? rules.backends.get(acting.backend)?.transport : undefined) ?? {}
  if (isOwn && renew === undefined) {
    const user = rules.rows.toUser(row)
    if (await deleteStoredOthers(rules, user, acting.session.id)) return row
  }
  const cookies = isOwn ? await sessionsOfCookies(rules, row, context.request) : []
  const now = await revokeSessions(rules, row)
  for (const cookie of cookies) await renewSession(rules, now, cookie, context)
  return now
}

/** Counts the factors once per attempt, because several steps ask. A later step of the login is another attempt. */
async function countOf (rules: SessionRules, attempt: LoginAttempt): Promise<number> {
  const { factorCounts, rows } = rules
  const known = factorCounts.get(attempt)
  if (known !== undefined) return await known
  const count = countSecondFactors(rules, rows.toUser(attempt.user))
  factorCounts.set(attempt, count)
  return await count
}
