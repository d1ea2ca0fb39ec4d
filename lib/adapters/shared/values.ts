import type { Field, Model } from '../../contracts/models.js'
import { invalidArgument } from './errors.js'

/** Returns true if a value other than null has the type of a field. */
export type TypeCheck = (value: unknown) => boolean

const EARLIEST = Date.parse('0001-01-01T00:00:00.000Z')
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

const typeChecks: Record<Exclude<Field['type'], 'id'>, TypeCheck> = {
  text: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  integer: Number.isSafeInteger,
  number: Number.isFinite,
  time: (value) => value instanceof Date && value.getTime() >= EARLIEST && value.getTime() <= LATEST,
  json: (value) =>
    value !== undefined && typeof value !== 'function' && typeof value !== 'symbol' && typeof value !== 'bigint'
}

/**
 * Returns the type check for the values of a field. Times must be in the years 1 to 9999, so that their text form
 * sorts.
 */
export function typeCheckOf (field: Field): TypeCheck {
  if (field.type !== 'id') return typeChecks[field.type]
  return field.id?.storage === 'integer' ? typeChecks.integer : typeChecks.text
}

/** Returns false for text with lone surrogates. It has no UTF-8 form, so no database can store or find it. */
export function isWellFormed (text: string): boolean {
  return text.isWellFormed()
}

/** Returns the value of a field in a new row: if it is absent, the default of the field, or null. */
export function newValueOf ({ default: fallback = null }: Field, value: unknown): unknown {
  return value === undefined ? fallback : value
}

/** Throws `FST_USERS_INVALID_OPTION` if the field cannot store the value. */
export function checkWrite (model: Model, name: string, field: Field, accepts: TypeCheck, value: unknown): void {
  if (value === null) {
    if (field.nullable !== true) throw invalidArgument(model.name, name, 'is required')
  } else if (!accepts(value)) {
    throw invalidArgument(model.name, name, `must be a value of type ${field.type}`)
  } else if (typeof value === 'string' && field.type !== 'json' && !isWellFormed(value)) {
    throw invalidArgument(model.name, name, 'must be well-formed Unicode')
  }
}

/** Throws `FST_USERS_INVALID_OPTION` if a condition cannot compare the field with the value. */
export function checkComparable (model: Model, name: string, field: Field, accepts: TypeCheck, value: unknown): void {
  if (field.type === 'json') {
    throw invalidArgument(model.name, name, 'is of type json and can be compared with null only')
  }
  if (!accepts(value)) throw invalidArgument(model.name, name, `can be compared with values of type ${field.type} only`)
}

/** Returns the number of `{ increment: n }` for a number field, or undefined for a plain value. */
export function incrementOf (
  model: Model,
  name: string,
  field: Field,
  accepts: TypeCheck,
  change: unknown
): number | undefined {
  if (field.type === 'json' || typeof change !== 'object' || change === null || !('increment' in change)) {
    return undefined
  }
  const step = change.increment
  if ((field.type !== 'integer' && field.type !== 'number') || typeof step !== 'number' || !accepts(step)) {
    throw invalidArgument(model.name, name, 'can be incremented by a number only, and only if it is a number field')
  }
  return step
}
