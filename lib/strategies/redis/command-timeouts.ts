import { withStoreTimeout } from '../../adapters/shared/time-limit.js'
import type { RedisCommands } from './client.js'

/**
 * Returns the same commands with a time limit. Each rejects with `FST_USERS_STORE_UNAVAILABLE` if it fails or takes
 * longer. The client may still send a command that timed out; this is harmless for every command used here.
 */
export function addCommandTimeouts (commands: RedisCommands, timeoutMs: number): RedisCommands {
  const { getAll } = commands
  const limited = <T>(command: () => Promise<T>): Promise<T> => withStoreTimeout(command, timeoutMs)
  return {
    get: (key) => limited(() => commands.get(key)),
    getAll: getAll && ((keys) => limited(() => getAll(keys))),
    set: (key, value, seconds) => limited(() => commands.set(key, value, seconds)),
    remove: (key) => limited(() => commands.remove(key)),
    secondsLeft: (key) => limited(() => commands.secondsLeft(key)),
    expire: (key, seconds) => limited(() => commands.expire(key, seconds)),
    addMember: (key, member, score) => limited(() => commands.addMember(key, member, score)),
    removeMembers: (key, members) => limited(() => commands.removeMembers(key, members)),
    membersFrom: (key, start, count) => limited(() => commands.membersFrom(key, start, count)),
    membersUpTo: (key, score, count) => limited(() => commands.membersUpTo(key, score, count))
  }
}
