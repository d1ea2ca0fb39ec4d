import type { Where } from '../../contracts/database-adapter.js'
import { foldCase } from '../shared/compare.js'
import { eachCondition, type Operator } from '../shared/conditions.js'
import { checkComparable, isWellFormed } from '../shared/values.js'
import type { MongoDocument } from './driver.js'
import { fieldOf, isAbsent, type Layout, type StoredField } from './layout.js'

/** An operator for each name: no value of a caller ever stands where a server reads an operator. */
export type Filter = Record<string, MongoDocument>

/**
 * A condition that ignores the case of ASCII letters. The server compares by a wider rule, and what it finds is checked
 * again.
 */
export interface Folded {
  readonly field: StoredField
  readonly values: readonly string[]
  readonly exact: string | null
}

/** Conditions in the terms of a server. */
export interface Query {
  /** Conditions that compare byte by byte, by path. */
  readonly filter: Filter
  readonly folded: readonly Folded[]
  /** A condition that no document can fulfil. */
  readonly never: boolean
  /** At most one document fulfils them. */
  readonly single: boolean
}

/** The collation of byte-wise comparison, whatever a collection's own is. */
export const SIMPLE = { locale: 'simple' } as const

/** The collation by which FastAPI Users finds e-mail addresses: accents count, case does not. */
export const CASELESS = { locale: 'en', strength: 2 } as const

const operators = { '=': '$eq', lt: '$lt', lte: '$lte', gt: '$gt', gte: '$gte', in: '$in' } as const

/** Reads conditions. Throws `FST_USERS_INVALID_OPTION` for unknown fields and for values of another type. */
export function readWhere (layout: Layout, where: Where): Query {
  const filter: Filter = {}
  const folded: Folded[] = []
  let never = false
  let single = false

  function readValues (field: StoredField, operator: Exclude<Operator, 'null'>, values: readonly unknown[]): void {
    for (const one of values) checkComparable(layout.model, field.field, field.definition, field.accepts, one)
    if (field.definition.ignoreCase === true && (operator === '=' || operator === 'in')) {
      folded.push({
        field,
        values: values.map(String).filter(isWellFormed),
        exact: operator === '=' ? String(values[0]) : null
      })
      return
    }
    const encoded = values.map((one) => field.codec.encode(one)).filter((one) => one !== undefined)
    if (encoded.length === 0) never = true
    else filter[field.path] = { ...filter[field.path], [operators[operator]]: operator === 'in' ? encoded : encoded[0] }
  }

  eachCondition(layout.model.name, where, (name, operator, value) => {
    const field = fieldOf(layout, name)
    if (isAbsent(layout, field)) {
      never ||= operator !== 'null'
    } else if (operator === 'null') {
      // a list that has a null is not null
      filter[field.path] = { $eq: null, ...(field.definition.type === 'json' ? { $not: { $type: 'array' } } : {}) }
    } else {
      // eachCondition checks that `in` has a list
      readValues(field, operator, operator === 'in' ? (value as readonly unknown[]) : [value])
      single ||= isKey(field, operator, layout)
    }
  })
  return { filter, folded, never: never || folded.some(({ values }) => values.length === 0), single }
}

/** What the server is asked where case is ignored: by collation, and so for more than is meant. */
export function foldedFilter (folded: readonly Folded[]): Filter {
  return Object.fromEntries(
    folded.map(({ field, values }) => [field.path, values.length === 1 ? { $eq: values[0] } : { $in: values }])
  )
}

/** Whether a stored text is meant: equal but for the case of ASCII letters. */
export function isMeant ({ values }: Folded, stored: unknown): boolean {
  return typeof stored === 'string' && values.some((value) => foldCase(value) === foldCase(stored))
}

function isKey (field: StoredField, operator: Operator, { primaryKey, embedded }: Layout): boolean {
  return operator === '=' && field === primaryKey && embedded === undefined
}
