import type { FastifyPluginAsync } from 'fastify'
import type { AuditLog } from './audit.js'
import type { DatabaseAdapter } from './database-adapter.js'
import type { Settings } from './settings.js'
import type { UserId } from './user.js'

/** A secret for one purpose, and the `kid` of the tokens that it signs. */
export interface PurposeKey {
  kid?: string
  secret: string
}

/** Creates and recognizes the random tokens of one backend, which are looked up in a store. */
export interface OpaqueTokens {
  /**
   * Returns a new token: 43 characters, after the marker of the backend if several backends of the registration store
   * tokens.
   */
  generate(): string
  /**
   * Returns false for a text that cannot be a token of this backend: it has another form, or the marker of another
   * backend. A token without a marker may belong to any backend.
   */
  canBeOwn(token: string): boolean
}

/** Arguments of the `setup` of transports and strategies. */
export interface BackendDefaults {
  /** Name of the backend. */
  readonly backend: string
  readonly settings: Settings
  readonly store: DatabaseAdapter
  readonly opaqueTokens: OpaqueTokens
  /**
   * Returns keys for one purpose, derived from the plugin's secrets (HKDF, RFC 5869). The first signs; all verify.
   * `lifetimeSeconds` is the longest lifetime of what the keys protect: an old secret is needed for that time after its
   * replacement. It is null for no end, and 0 if nothing stops working without the keys. `rotate-secret` and
   * `app.users.securityProfile()` report it.
   */
  keysFor(purpose: string, lifetimeSeconds?: number | null): readonly PurposeKey[]
  /**
   * Removes a user from the user cache of every process, if the cache is on, so that the sessions of open connections
   * are read again. Call it after the end of sessions that the strategy stores elsewhere than in `store`.
   */
  reportUser(id: UserId): Promise<void>
  /** Runs work in the background. `app.close()` and `app.users.settled()` wait for it; replies do not. */
  background(work: () => Promise<unknown>): void
  /** Receives audit events of credentials. An accepted request emits none. */
  readonly audit: Pick<AuditLog, 'emit'>
}

/** Options with which the sub-plugin of a transport or a strategy is registered. */
export interface DefinitionOptions<T> {
  defaults: BackendDefaults
  receive(made: T): void
}

/** A named sub-plugin that creates a transport or a strategy and passes it to `receive`. */
export interface Definition<Kind extends 'transport' | 'strategy', T> {
  /** Distinguishes transports from strategies. */
  readonly kind: Kind
  readonly name: string
  readonly plugin: FastifyPluginAsync<DefinitionOptions<T>>
}
