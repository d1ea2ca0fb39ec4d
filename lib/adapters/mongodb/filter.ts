import type { Where } from '../../contracts/database-adapter.js'
import { foldCase } from '../../shared/text.js'
import { comparisonKeyOf, matchesComparison } from '../shared/compare.js'
import { eachCondition, type Operator } from '../shared/conditions.js'
import { checkComparable, isWellFormed } from '../shared/values.js'
import type { MongoDocument } from './driver.js'
import { absentValueOf, isMissingField, type Layout, type StoredField, storedFieldOf } from './layout.js'

/** Conditions by path. Each value follows an operator, so that the server never reads an input as an operator. */
export type Filter = Record<string, MongoDocument>

/**
 * A condition that ignores the case of ASCII letters, for collections without folded copies. The collation of the
 * server also ignores other differences, so the adapter compares the found documents itself.
 */
export interface CaselessCondition {
  readonly field: StoredField
  readonly values: readonly string[]
}

/** Encoded conditions. */
export interface Query {
  /** Conditions that compare bytes, by path. */
  readonly filter: Filter
  readonly caseless: readonly CaselessCondition[]
  /** Texts of equality conditions that ignore case, by field: rows that match their case come first. */
  readonly exact: ReadonlyMap<string, string>
  /** True if no document can match. */
  readonly never: boolean
  /** True if at most one document can match. */
  readonly single: boolean
}

/** The collation that compares bytes. It overrides the default collation of a collection. */
export const SIMPLE = { locale: 'simple' } as const

/** The collation that FastAPI Users uses to find e-mails: it ignores case, but not accents. */
export const CASELESS = { locale: 'en', strength: 2 } as const

const operators = { '=': '$eq', lt: '$lt', lte: '$lte', gt: '$gt', gte: '$gte', in: '$in' } as const

/** Returns the encoded conditions. Throws `FST_USERS_INVALID_OPTION` for unknown fields and values of another type. */
export function readWhere (layout: Layout, where: Where): Query {
  const filter: Filter = {}
  const caseless: CaselessCondition[] = []
  const exact = new Map<string, string>()
  const absent = new Map<string, boolean>()
  let never = false
  let single = false

  function readValues (field: StoredField, operator: Exclude<Operator, 'null'>, values: readonly unknown[]): void {
    for (const one of values) checkComparable(layout.model, field.field, field.definition, field.accepts, one)
    if (field.foldedName !== undefined && (operator === '=' || operator === 'in')) {
      readTexts(field, field.foldedName, operator, values.map(String))
      return
    }
    const isFulfilled = matchesAbsent(field, operator, values)
    absent.set(field.path, isFulfilled && absent.get(field.path) !== false)
    const encoded = values.map((one) => field.codec.encode(one)).filter((one) => one !== undefined)
    if (encoded.length === 0) never = true
    else {
      const condition = { [operators[operator]]: operator === 'in' ? encoded : encoded[0] }
      // MongoDB compares values of the same type only; other servers have an order in which null comes first
      const isRange = operator !== '=' && operator !== 'in' && field.definition.nullable === true
      filter[field.path] = { ...filter[field.path], ...condition, ...(isRange ? { $ne: null } : {}) }
    }
  }

  function readTexts (field: StoredField, foldedName: string, operator: '=' | 'in', texts: readonly string[]): void {
    const storable = texts.filter(isWellFormed)
    const [text] = storable
    if (operator === '=' && !isUniqueAlone(field, layout)) exact.set(field.field, String(texts[0]))
    if (text === undefined) never = true
    else if (layout.lookup === 'collation') caseless.push({ field, values: storable })
    else filter[foldedName] = operator === '=' ? { $eq: foldCase(text) } : { $in: storable.map(foldCase) }
  }

  eachCondition(layout.model.name, where, (name, operator, value) => {
    const field = storedFieldOf(layout, name)
    if (isMissingField(layout, field)) {
      never ||= operator !== 'null'
    } else if (operator === 'null') {
      // { $eq: null } also matches an array that contains null
      filter[field.path] = { $eq: null, ...(field.definition.type === 'json' ? { $not: { $type: 'array' } } : {}) }
    } else {
      // eachCondition checks that the value of `in` is an array
      readValues(field, operator, operator === 'in' ? (value as readonly unknown[]) : [value])
      single ||= isKeyLookUp(field, operator, layout)
    }
  })
  if (layout.embedded === undefined) {
    for (const [path, isFulfilled] of absent) if (isFulfilled) includeAbsent(filter, path)
  }
  return { filter, caseless, exact, never, single }
}

/** Returns a filter that matches if all filters match. */
export function allOf (filters: readonly MongoDocument[]): MongoDocument {
  const some = filters.filter((filter) => Object.keys(filter).length > 0)
  return some.length > 1 ? { $and: some } : (some[0] ?? {})
}

/** Returns the filter for conditions that ignore case. With the collation, it matches more than it should. */
export function caselessFilter (caseless: readonly CaselessCondition[]): Filter {
  return Object.fromEntries(
    caseless.map(({ field, values }) => [field.path, values.length === 1 ? { $eq: values[0] } : { $in: values }])
  )
}

/** Checks whether a stored text equals a value of the condition, apart from the case of ASCII letters. */
export function matchesIgnoringCase ({ values }: CaselessCondition, stored: unknown): boolean {
  return typeof stored === 'string' && values.some((value) => foldCase(value) === foldCase(stored))
}

/** Checks whether a condition holds for documents that are older than the field. */
function matchesAbsent (
  { definition }: StoredField,
  operator: Exclude<Operator, 'null'>,
  values: readonly unknown[]
): boolean {
  const stored = comparisonKeyOf(absentValueOf(definition) ?? null, false)
  return matchesComparison(stored, operator, values.map((value) => comparisonKeyOf(value, false)))
}

/** Changes the conditions on a path so that they match documents without it too. */
function includeAbsent (filter: Filter, path: string): void {
  const { [path]: conditions } = filter
  if (conditions === undefined) return
  delete filter[path]
  const alternatives = { $or: [{ [path]: conditions }, { [path]: { $exists: false } }] }
  filter['$and'] = [...((filter['$and'] as MongoDocument[] | undefined) ?? []), alternatives] as unknown as MongoDocument
}

/** Checks whether a unique index with folded copies ensures that at most one row matches. */
function isUniqueAlone ({ field }: StoredField, { lookup, model }: Layout): boolean {
  return lookup === 'folded' && (model.unique ?? []).some((group) => group.length === 1 && group[0] === field)
}

function isKeyLookUp (field: StoredField, operator: Operator, { primaryKey, embedded }: Layout): boolean {
  return operator === '=' && field === primaryKey && embedded === undefined
}
