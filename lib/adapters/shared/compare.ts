import { foldCase } from '../../shared/text.js'
import type { Operator } from './conditions.js'

/** A stored value in a form that `===` compares: a time is its milliseconds since 1970. */
export type Key = string | number | boolean

const WIDE = /[\ud800-\udfff]/

/** Returns the comparable form of a stored value, or null for null. With `fold`, ASCII letters are lower-cased. */
export function comparisonKeyOf (value: unknown, fold: boolean): Key | null {
  if (typeof value === 'string') return fold ? foldCase(value) : value
  if (value instanceof Date) return value.getTime()
  return typeof value === 'number' || typeof value === 'boolean' ? value : null
}

/** Compares two keys for sorting: null first, text by its UTF-8 bytes. */
export function compareKeys (one: Key | null, other: Key | null): number {
  if (one === other) return 0
  if (one === null) return -1
  if (other === null) return 1
  if (typeof one === 'string' && typeof other === 'string' && (WIDE.test(one) || WIDE.test(other))) {
    return Buffer.compare(Buffer.from(one), Buffer.from(other))
  }
  return one < other ? -1 : 1
}

/** Returns true if a stored key matches a comparison. Null matches none. */
export function matchesComparison (
  stored: Key | null,
  operator: Exclude<Operator, 'null'>,
  wanted: readonly (Key | null)[]
): boolean {
  if (stored === null) return false
  if (operator === '=' || operator === 'in') return wanted.includes(stored)
  const [bound] = wanted
  if (bound === undefined || bound === null) return false
  const order = compareKeys(stored, bound)
  if (operator === 'lt') return order < 0
  if (operator === 'lte') return order <= 0
  return operator === 'gt' ? order > 0 : order >= 0
}
