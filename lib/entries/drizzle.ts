/**
 * The adapter for instances of Drizzle.
 *
 * @module fastify-users/drizzle
 */

export { drizzle, type DrizzleInstance, type DrizzleOptions } from '../adapters/drizzle/index.js'
