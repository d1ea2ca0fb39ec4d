/**
 * The adapter that stores everything in the memory of the process.
 *
 * @module fastify-users/memory
 */

export { memory } from '../adapters/memory/index.js'
