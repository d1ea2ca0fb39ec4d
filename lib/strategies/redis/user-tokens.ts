import type { BackendDefaults } from '../../contracts/definition.js'
import type { Clock } from '../../contracts/settings.js'
import type { RedisCommands } from './client.js'

/** Which tokens a user has: a sorted set per user, scored by the millisecond at which each token ends. */
export interface UserTokens {
  /**
   * Notes a token that is about to be stored. Forgets all that have ended: a batch at once, the rest in the background.
   */
  add(setKey: string, keyPart: string, lifetimeSeconds: number | null): Promise<void>
  remove(setKey: string, keyPart: string): Promise<void>
  /** Removes the tokens that are there when it is called. */
  removeAll(setKey: string): Promise<void>
}

const FORGET_AT_ONCE = 100
const REMOVE_AT_ONCE = 500
const MARGIN_SECONDS = 3600 // clocks of processes differ, and the token is stored after its set got its end
const NEVER = Number.MAX_SAFE_INTEGER

/** `tokenPrefix` and a member of the set make a token's key. */
export function createUserTokens (
  redis: RedisCommands,
  tokenPrefix: string,
  clock: Clock,
  background: BackendDefaults['background']
): UserTokens {
  /** A set without an end holds a token without one, or is being made by another login: it is left as it is. */
  async function extend (setKey: string, left: number, lifetimeSeconds: number): Promise<void> {
    if (left !== -1) await redis.expire(setKey, Math.max(left, lifetimeSeconds + MARGIN_SECONDS))
  }

  /** Removes a batch of names of tokens that ended up to this time. True when more may be left. */
  async function forgetEnded (setKey: string, until: number): Promise<boolean> {
    const ended = await redis.membersUpTo(setKey, until, FORGET_AT_ONCE)
    if (ended.length > 0) await redis.removeMembers(setKey, ended)
    return ended.length === FORGET_AT_ONCE
  }

  return {
    async add (setKey, keyPart, lifetimeSeconds) {
      const now = clock()
      const long = now - MARGIN_SECONDS * 1000
      const [left, isRestLeft] = await Promise.all([redis.secondsLeft(setKey), forgetEnded(setKey, long)])
      if (isRestLeft) {
        background(async () => {
          while (await forgetEnded(setKey, long));
        })
      }
      await redis.addMember(setKey, keyPart, lifetimeSeconds === null ? NEVER : now + lifetimeSeconds * 1000)
      if (lifetimeSeconds !== null) await extend(setKey, left, lifetimeSeconds)
    },

    async remove (setKey, keyPart) {
      await Promise.all([redis.remove(tokenPrefix + keyPart), redis.removeMembers(setKey, [keyPart])])
    },

    /**
     * Tokens first, then their names: what fails in between is found again. A login meanwhile keeps its place in the
     * set.
     */
    async removeAll (setKey) {
      let members: string[]
      do {
        members = await redis.firstMembers(setKey, REMOVE_AT_ONCE)
        await Promise.all(members.map((keyPart) => redis.remove(tokenPrefix + keyPart)))
        if (members.length > 0) await redis.removeMembers(setKey, members)
      } while (members.length === REMOVE_AT_ONCE)
    }
  }
}
