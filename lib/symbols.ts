import { VERSION } from './version.js'

// Package managers may install several copies of the package. Copies of equal version share these symbols, so that the
// guard and the features of one copy find what another one registered.

/** Key of an instance's guard, and of the options of a guard hook. */
export const kGuard: unique symbol = Symbol.for(`fastify-users.guard@${VERSION}`)
/** Key of scopes with the plugin's own routes, whose guards never use the cache. */
export const kOwnRoutes: unique symbol = Symbol.for(`fastify-users.own-routes@${VERSION}`)
/** Key of the names that are registered on one server. Shared by all versions. */
export const kNames: unique symbol = Symbol.for('fastify-users.names')
/** Key of the version that registered the users of an instance. Shared by all versions. */
export const kVersion: unique symbol = Symbol.for('fastify-users.version')
/** Key of an adapter's `StoreSchema`. Shared by all versions. */
export const kStoreSchema = Symbol.for('fastify-users.store-schema')
/**
 * Key of the adapter's property that names its dialect for `schema --dialect`, such as `drizzle-postgres`. All versions
 * of this package share the key.
 */
export const kDefinitions = Symbol.for('fastify-users.definitions')
