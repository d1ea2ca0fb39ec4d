import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkSeconds, MAX_SESSION_SECONDS } from '../shared/limits.js'

/**
 * Checks the lifetime of a session in seconds and returns it: a whole number, at most 30 days. With `endlessTokens`,
 * longer lifetimes are allowed, and null for sessions that never expire. Throws `FST_USERS_INVALID_OPTION`.
 */
export function checkSessionLifetime (option: string, seconds: number | null, settings: Settings): number | null {
  if (seconds === null && settings.wire.endlessTokens) return null
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds > 0) {
    if (!settings.wire.endlessTokens) checkSeconds(option, seconds, MAX_SESSION_SECONDS, settings, 'longSessions')
    return seconds
  }
  throw FST_USERS_INVALID_OPTION([
    option,
    'must be a whole number of seconds above 0; null, for tokens that never expire, needs `compatibility: { endlessTokens: true }`'
  ])
}
