import type { FastifyInstance } from 'fastify'
import type { MaybePromise } from './database-adapter.js'

/** A store of revoked sessions. A key is a digest of a user and a session. */
export interface RevocationStore {
  /** Returns true if the key is stored. Throws if the store cannot answer; the reply is then 503. */
  has(key: string): MaybePromise<boolean>
  /** Stores a key for this number of seconds or longer. Null: for an unlimited time. */
  add(key: string, seconds: number | null): Promise<void>
}

/** A store for revoked sessions that starts with its backend, such as `redisRevocations({ client })`. */
export interface RevocationStoreDefinition {
  readonly kind: 'revocations'
  /** Starts the store. `scope` is for hooks such as `onClose`; `name` is the name of the tenant. */
  setup(scope: FastifyInstance, registration: { name: string }): RevocationStore
}
