import type { MaybePromise, Row } from './database-adapter.js'
import type { Model } from './models.js'
import type { UserReader } from './strategy.js'
import type { UserRow } from './user.js'

/** Options of the user cache. */
export interface UserCacheOptions {
  /**
   * Longest time in milliseconds for which guarded requests use a row without reading it again. A change that is not
   * reported, such as SQL by hand, applies after this time. Default 5000, at most 60000.
   */
  maxAgeMs?: number
  /** Largest number of cached users, and of cached sessions. The oldest one is removed. Default 10000. */
  max?: number
  /**
   * Reports changes to the other processes: `redisChannel(client)` or `postgresChannel(pool)`. Default none: only this
   * process applies changes at once.
   */
  channel?: CacheChannel
}

/**
 * Carries short texts between the processes of an application. The texts contain ids of users and digests of session
 * tokens. A forged text can only make processes read rows again.
 */
export interface CacheChannel {
  /** Sends a text to all subscribers of a topic. Resolves when the server of the channel has accepted it. */
  publish(topic: string, text: string): Promise<void>
  /** Subscribes to a topic, and again after each loss of the connection, until the subscription is closed. */
  subscribe(topic: string, listener: CacheChannelListener): CacheSubscription
}

/** The functions that a channel calls. */
export interface CacheChannelListener {
  /** A text arrived. */
  onText(text: string): void
  /** The topic is subscribed. Later texts arrive until `onLost`. */
  onSubscribed(): void
  /** The subscription failed or is lost, so texts may be missed until `onSubscribed`. May be called repeatedly. */
  onLost(reason: unknown): void
}

/** A subscription of a channel. */
export interface CacheSubscription {
  /** Ends the subscription. The listener is not called afterwards. */
  close(): Promise<void>
}

/** A stored session with its user. */
export interface SessionRows {
  readonly row: Row
  readonly user: UserRow
}

/** Finds users and sessions through the user cache. Returned rows must not be changed. */
export interface CachedReader extends UserReader {
  /**
   * Returns the stored session with this primary key and its user; null if it does not exist. The caller checks that
   * the session has not expired.
   */
  findSession(model: Model, key: string): MaybePromise<SessionRows | null>
  /** Returns true if `admit` was called for this cached row and this session, and the row is still current. */
  isAdmitted(row: UserRow, session: string): boolean
  /**
   * Remembers that a session of the user is not revoked, for as long as the row is cached. Does nothing if a revocation
   * in another process would not be reported to this one.
   */
  admit(row: UserRow, session: string): void
}
