import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/** Checks the lifetime of a session: whole seconds, or null where endless tokens are allowed. Throws `FST_USERS_INVALID_OPTION`. */
export function checkLifetime (option: string, seconds: number | null, { endlessTokens }: Settings): number | null {
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds > 0) return seconds
  if (seconds === null && endlessTokens) return null
  throw FST_USERS_INVALID_OPTION([option, 'must be a whole number of seconds above 0; tokens without an end (null) need `endlessTokens: true`'])
}
