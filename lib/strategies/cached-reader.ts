import type { UserReader } from '../contracts/strategy.js'
import type { CachedReader } from '../contracts/user-cache.js'

/** Returns true if users and sessions may come from the user cache. */
export function isCachedReader (users: UserReader | CachedReader): users is CachedReader {
  return 'findSession' in users
}
