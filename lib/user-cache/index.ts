import type { FastifyBaseLogger } from 'fastify'
import type { IdValue } from '../../schemas/index.js'
import type { Store } from '../adapters/available-store.js'
import type { CacheSettings, Settings } from '../contracts/settings.js'
import type { UserId } from '../contracts/user.js'
import { accessTokenModel } from '../strategies/database/access-token-model.js'
import { userModel, type UserRows } from '../users/index.js'
import { applyChange, reportingStore, type CacheChange } from './cache-change.js'
import { synchronizeCache, type CacheSynchronization } from './cache-synchronization.js'
import { UserCache } from './user-cache.js'

/** The user cache of a registration. */
export interface Caching extends Pick<CacheSynchronization, 'start' | 'stop'> {
  readonly cache: UserCache
  /** The store whose writes empty the cache and are reported to other processes. */
  readonly store: Store
  /** Removes a user from the caches of all processes. */
  reportUser(id: UserId): Promise<void>
}

/**
 * Creates the user cache of a registration. It is off until `start` is called. `onChange` is called for each change
 * that arrives through the channel, those of this process included.
 */
export function createCaching (
  store: Store,
  rows: UserRows,
  { maxAgeMs, max, channel }: CacheSettings,
  { schemas, name, clock, wire }: Settings,
  log: FastifyBaseLogger,
  onChange: (change: CacheChange) => void
): Caching {
  const { areDigests } = wire.storedTokens
  const hearsAllChanges = channel !== null
  const cache = new UserCache({ rows, store, clock, maxAgeMs, max, areDigests, hearsAllChanges })
  const { start, stop, report } = synchronizeCache(cache, { channel, topic: `fastify-users:${name}`, onChange }, log)
  const models = { user: userModel(schemas).name, session: accessTokenModel(schemas.id).name }
  return {
    cache,
    store: reportingStore(store, models, cache, report),
    start,
    stop,
    async reportUser (id) {
      const change = { users: [id as IdValue], sessions: [] }
      applyChange(cache, change)
      await report(change)
    }
  }
}
