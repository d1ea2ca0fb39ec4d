import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../adapters/available-store.js'
import type { CacheSettings, Settings } from '../contracts/settings.js'
import { accessTokenModel } from '../strategies/database/access-token-model.js'
import { userModel, type UserRows } from '../users/index.js'
import { reportingStore } from './cache-change.js'
import { synchronizeCache, type CacheSynchronization } from './cache-synchronization.js'
import { UserCache } from './user-cache.js'

/** The user cache of a registration. */
export interface Caching extends Pick<CacheSynchronization, 'start' | 'stop'> {
  readonly cache: UserCache
  /** The store whose writes empty the cache and are reported to other processes. */
  readonly store: Store
}

/** Creates the user cache of a registration. It is off until `start` is called. */
export function createCaching (
  store: Store,
  rows: UserRows,
  { maxAgeMs, max, channel }: CacheSettings,
  { schemas, name, clock, wire }: Settings,
  log: FastifyBaseLogger
): Caching {
  const { areDigests } = wire.storedTokens
  const cache = new UserCache({ rows, store, clock, maxAgeMs, max, areDigests })
  const { start, stop, report } = synchronizeCache(cache, channel, `fastify-users:${name}`, log)
  const models = { user: userModel(schemas).name, session: accessTokenModel(schemas.id).name }
  return { cache, store: reportingStore(store, models, cache, report), start, stop }
}
