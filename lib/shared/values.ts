import type { MaybePromise } from '../contracts/database-adapter.js'

/** Returns true for objects other than lists. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns true for a function. */
export function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}

/**
 * Does nothing. As a listener of `error` events, it prevents an error that is also reported elsewhere from ending the
 * process.
 */
export function ignore (): void {}

/** Returns true for any thenable, not only for native promises. */
export function isPromise<T> (value: MaybePromise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
