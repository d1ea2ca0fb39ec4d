import type { Session } from '../contracts/session.js'

/** Returns the methods as JSON text, which is decoded only when the session is read; null for none. */
export function encodeMethods (methods: readonly string[]): string | null {
  return methods.length === 0 ? null : JSON.stringify(methods)
}

/** Returns the details as JSON text; null if there are none. */
export function encodeDetails (details: Session['details']): string | null {
  return Object.keys(details).length === 0 ? null : JSON.stringify(details)
}

/** Returns the texts of a stored list of methods. A value of another form counts as an empty list. */
export function readMethods (value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((method): method is string => typeof method === 'string') : []
}

/** Returns stored details. A value of another form counts as empty. */
export function readDetails (value: unknown): Session['details'] {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? (value as Session['details']) : {} // an object of JSON values
}

/** Returns the time of a number of milliseconds since 1970; null for other values. */
export function readTime (milliseconds: unknown): Date | null {
  const time = typeof milliseconds === 'number' ? new Date(milliseconds) : null
  return time === null || Number.isNaN(time.getTime()) ? null : time
}
