import type { FastifyPluginAsync } from 'fastify'
import type { DatabaseAdapter } from './database-adapter.js'
import type { Settings } from './settings.js'

/** A secret made for one purpose, and the id that tokens signed with it carry. */
export interface PurposeKey {
  kid?: string
  secret: string
}

/** What transports and strategies are given when their backend is built. */
export interface BackendDefaults {
  /** Name of the backend. */
  readonly backend: string
  readonly settings: Settings
  readonly store: DatabaseAdapter
  /** Keys for one purpose, made from the plugin's secrets (HKDF, RFC 5869): the first signs, all verify. */
  keysFor(purpose: string): readonly PurposeKey[]
  /** Runs work that no reply waits for; `app.close()` and `app.users.settled()` do. */
  background(work: () => Promise<unknown>): void
}

/** What such a sub-plugin is registered with. */
export interface DefinitionOptions<T> {
  defaults: BackendDefaults
  receive(made: T): void
}

/** A named sub-plugin that hands the object it makes to its backend. */
export interface Definition<Kind extends 'transport' | 'strategy', T> {
  /** Tells the two halves of a backend apart. */
  readonly kind: Kind
  readonly name: string
  readonly plugin: FastifyPluginAsync<DefinitionOptions<T>>
}
