import type { BackendDefaults } from '../../contracts/definition.js'
import type { Clock } from '../../contracts/settings.js'
import type { RedisCommands } from './client.js'

/** The tokens of each user: a sorted set per user. The score of a token is the time at which it expires, in ms. */
export interface UserTokens {
  /**
   * Adds a token that is about to be stored. Removes expired tokens from the set: the first batch immediately,
   * the rest in the background.
   */
  add(setKey: string, keyPart: string, lifetimeSeconds: number | null): Promise<void>
  remove(setKey: string, keyPart: string): Promise<void>
  /** Deletes all tokens of the set and removes them from it, except those that `keeps` accepts. */
  removeAll(setKey: string, keeps?: (token: NamedToken) => boolean): Promise<void>
  /** Yields the stored tokens of the set in batches. */
  batches(setKey: string): AsyncGenerator<readonly NamedToken[]>
}

/** A stored token: its part of the key, and its value. */
export interface NamedToken {
  keyPart: string
  value: string
}

const EXPIRED_BATCH_SIZE = 100
const REMOVAL_BATCH_SIZE = 500
// a set must outlive its tokens: clocks differ, and a token is stored after the time to live of its set was set
const MARGIN_SECONDS = 3600
const NEVER_EXPIRES = Number.MAX_SAFE_INTEGER

/** Creates the store of the tokens of each user. A member of a set, after `tokenPrefix`, is the key of a token. */
export function createUserTokens (
  redis: RedisCommands,
  tokenPrefix: string,
  clock: Clock,
  background: BackendDefaults['background']
): UserTokens {
  /**
   * Extends the time to live of a set. A set without one contains a token that never expires, or another login is
   * creating it at this moment, so it is not changed.
   */
  async function extendSet (setKey: string, left: number, lifetimeSeconds: number): Promise<void> {
    if (left !== -1) await redis.expire(setKey, Math.max(left, lifetimeSeconds + MARGIN_SECONDS))
  }

  /** Removes one batch of tokens that expired before `until` from the set. Returns true if more may be left. */
  async function removeExpired (setKey: string, until: number): Promise<boolean> {
    const expired = await redis.membersUpTo(setKey, until, EXPIRED_BATCH_SIZE)
    if (expired.length > 0) await redis.removeMembers(setKey, expired)
    return expired.length === EXPIRED_BATCH_SIZE
  }

  /** Returns the tokens of these members that are still stored. */
  async function read (members: readonly string[]): Promise<NamedToken[]> {
    const values = await Promise.all(members.map((keyPart) => redis.get(tokenPrefix + keyPart)))
    return members.flatMap((keyPart, position) => {
      const value = values[position] ?? null
      return value === null ? [] : [{ keyPart, value }]
    })
  }

  return {
    async add (setKey, keyPart, lifetimeSeconds) {
      const now = clock()
      const expiredBefore = now - MARGIN_SECONDS * 1000
      const [left, hasMore] = await Promise.all([redis.secondsLeft(setKey), removeExpired(setKey, expiredBefore)])
      if (hasMore) {
        background(async () => {
          while (await removeExpired(setKey, expiredBefore));
        })
      }
      await redis.addMember(setKey, keyPart, lifetimeSeconds === null ? NEVER_EXPIRES : now + lifetimeSeconds * 1000)
      if (lifetimeSeconds !== null) await extendSet(setKey, left, lifetimeSeconds)
    },

    async remove (setKey, keyPart) {
      await Promise.all([redis.remove(tokenPrefix + keyPart), redis.removeMembers(setKey, [keyPart])])
    },

    /**
     * Deletes the tokens before their members, so that a call after a failure finds them again. Members of logins that
     * happen meanwhile stay in the set. Tokens that stay are read again with each batch: there are few.
     */
    async removeAll (setKey, keeps) {
      let members: string[]
      do {
        members = await redis.membersFrom(setKey, 0, REMOVAL_BATCH_SIZE)
        const kept = keeps === undefined ? [] : (await read(members)).filter(keeps).map(({ keyPart }) => keyPart)
        const removed = members.filter((keyPart) => !kept.includes(keyPart))
        await Promise.all(removed.map((keyPart) => redis.remove(tokenPrefix + keyPart)))
        if (removed.length > 0) await redis.removeMembers(setKey, removed)
        if (kept.length === REMOVAL_BATCH_SIZE) return
      } while (members.length === REMOVAL_BATCH_SIZE)
    },

    async * batches (setKey) {
      let members: string[]
      let start = 0
      do {
        members = await redis.membersFrom(setKey, start, REMOVAL_BATCH_SIZE)
        yield await read(members)
        start += members.length
      } while (members.length === REMOVAL_BATCH_SIZE)
    }
  }
}
