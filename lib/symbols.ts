import { VERSION } from './version.js'

// Package managers may install several copies of the package. Copies of equal version share these symbols, so that the
// guard and the features of one copy find what another one registered.

/** Under which an instance keeps its guard, and a guard hook its options. */
export const kGuard: unique symbol = Symbol.for(`fastify-users.guard@${VERSION}`)
/** Where the plugin keeps what it lends to features. */
export const kHost: unique symbol = Symbol.for(`fastify-users.host@${VERSION}`)
/** Names registered on one server. Shared by all versions. */
export const kNames: unique symbol = Symbol.for('fastify-users.names')
/** The version that registered the users of an instance. Shared by all versions. */
export const kVersion: unique symbol = Symbol.for('fastify-users.version')
/** Under which an adapter keeps its `StoreSchema`. Shared by all versions. */
export const kStoreSchema = Symbol.for('fastify-users.store-schema')
