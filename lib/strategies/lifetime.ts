import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkSeconds, MAX_SESSION_SECONDS } from '../validation/limits.js'

/**
 * Returns the lifetime of a session: whole seconds, at most 30 days, or null. `endlessTokens` allows longer ones and
 * null.
 * Throws `FST_USERS_INVALID_OPTION`.
 */
export function checkLifetime (option: string, seconds: number | null, settings: Settings): number | null {
  if (seconds === null && settings.endlessTokens) return null
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds > 0) {
    if (!settings.endlessTokens) checkSeconds(option, seconds, MAX_SESSION_SECONDS, settings, 'longSessions')
    return seconds
  }
  throw FST_USERS_INVALID_OPTION([
    option,
    'must be a whole number of seconds above 0; tokens without an end (null) need `endlessTokens: true`'
  ])
}
