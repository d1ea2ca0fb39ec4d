/**
 * Helpers for tests of applications and of database adapters.
 *
 * @module fastify-users/testing
 */

export { adapterConformance } from './adapter-conformance.js'
export type { ConformanceOptions, TestFunction } from './adapter-conformance.js'
export { withSlowReads } from './slow-reads.js'
export * from './as-user.js'
export * from './capture-events.js'
export * from './manual-clock.js'
