import type { LoginAttempt } from '../contracts/login-step.js'
import type { User } from '../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import type { SessionRules } from './session-rules.js'

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

/** Counts the factors once per attempt, because several steps ask. A later step of the login is another attempt. */
export async function countOnce (rules: SessionRules, attempt: LoginAttempt): Promise<number> {
  const { factorCounts, rows } = rules
  const known = factorCounts.get(attempt)
  if (known !== undefined) return await known
  const count = countSecondFactors(rules, rows.toUser(attempt.user))
  factorCounts.set(attempt, count)
  return await count
}

/**
 * Returns true if the user of a login had no second factor when the steps asked, and has one now. The security stamp
 * does not show it if the addition of the factor only deleted stored sessions.
 */
export async function hasFirstFactor (rules: SessionRules, attempt: LoginAttempt): Promise<boolean> {
  if ((await rules.factorCounts.get(attempt)) !== 0) return false
  return (await countSecondFactors(rules, rules.rows.toUser(attempt.user))) > 0
}
