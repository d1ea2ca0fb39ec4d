import type { LoginAttempt } from '../contracts/login-step.js'
import type { FactorDescription, SecondFactorService, UserSecondFactor } from '../contracts/second-factors.js'
import { SECOND_FACTOR_GROUP } from '../contracts/second-factors.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_SECOND_FACTOR_REQUIRED } from '../errors.js'
import { factorKindsOf } from './authentication-methods.js'
import { changeFactors } from './factor-changes.js'
import { countOnce, countSecondFactors } from './factor-counts.js'
import { backendNamed, type SessionRules } from './session-rules.js'

/** Creates `kit.secondFactors`. */
export function createSecondFactors (rules: SessionRules): SecondFactorService {
  return {
    count: (user) => countSecondFactors(rules, user),
    isNeeded: (attempt) => needsSecondFactor(rules, attempt),
    mustEnrol: (attempt) => mustEnrol(rules, attempt),
    changed: (row, change) => changeFactors(rules, row, change)
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
