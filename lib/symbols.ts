/** Marks a hook function made by `authenticate()` with the options that it was made with. */
export const kGuard = Symbol('fastify-users.guard')
/** Names registered on one Fastify instance tree. */
export const kNames = Symbol('fastify-users.names')
