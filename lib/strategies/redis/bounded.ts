import { withStoreTimeout } from '../../adapters/shared/time-limit.js'
import type { RedisCommands } from './client.js'

/** Runs one command. Throws `FST_USERS_STORE_UNAVAILABLE` for its error, and when it has not answered in time. */
type Bound = <T>(command: () => Promise<T>) => Promise<T>

/**
 * The same commands, each bounded in time and with coded errors. A command that is given up may still reach the server
 * later, from the client's queue: none of ours does harm then.
 */
export function boundedCommands (commands: RedisCommands, timeoutMs: number): RedisCommands {
  const bound: Bound = (command) => withStoreTimeout(command, timeoutMs)
  return {
    get: (key) => bound(() => commands.get(key)),
    set: (key, value, seconds) => bound(() => commands.set(key, value, seconds)),
    remove: (key) => bound(() => commands.remove(key)),
    secondsLeft: (key) => bound(() => commands.secondsLeft(key)),
    expire: (key, seconds) => bound(() => commands.expire(key, seconds)),
    addMember: (key, member, score) => bound(() => commands.addMember(key, member, score)),
    removeMembers: (key, members) => bound(() => commands.removeMembers(key, members)),
    firstMembers: (key, count) => bound(() => commands.firstMembers(key, count)),
    membersUpTo: (key, score, count) => bound(() => commands.membersUpTo(key, score, count))
  }
}
