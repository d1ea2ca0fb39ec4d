/** Marks a hook function made by `authenticate()` with the options that it was made with. */
export const kGuard = Symbol('fastify-users.guard')
/** Names registered on one Fastify instance tree. */
export const kNames = Symbol('fastify-users.names')
/** Where the plugin keeps what it lends to features. */
export const kHost = Symbol('fastify-users.host')
/** Under which an adapter keeps its `StoreSchema`. Registered, so that two copies of the package agree. */
export const kStoreSchema = Symbol.for('fastify-users.store-schema')
