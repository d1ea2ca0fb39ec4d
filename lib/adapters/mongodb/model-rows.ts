import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH, FST_USERS_UNIQUE_VIOLATION, type UsersError } from '../../errors.js'
import { invalidArgument } from '../shared/errors.js'
import { checkWrite, incrementOf, newValueOf } from '../shared/values.js'
import { compareKeys, comparisonKeyOf } from '../shared/compare.js'
import type { MongoDocument } from './driver.js'
import { fieldsOfKey } from './indexes.js'
import { isMissingField, type Layout, type StoredField, storedFieldOf, uniqueGroupsOf } from './layout.js'
import { serverCodeOf } from './operations.js'

/** The operations on the rows of one model, for separate documents and for array elements. */
export interface ModelRows {
  create(row: Row): Promise<Row>
  findOne(where: Where): Promise<Row | null>
  findMany(where: Where, options: FindManyOptions): Promise<Row[]>
  findWithUser(where: Where): Promise<{ row: Row; user: Row } | null>
  update(where: Where, changes: Changes): Promise<number>
  delete(where: Where): Promise<number>
}

/** Encoded changes: values to set, and increments of numbers. */
export interface EncodedChanges {
  readonly set: ReadonlyMap<StoredField, unknown>
  readonly steps: ReadonlyMap<StoredField, number>
}

/** One page of a list: its order, its first row, and its length. */
export interface Page {
  readonly sort: Record<string, 1>
  readonly limit: number
  /** Conditions that select the rows after the previous page. */
  readonly after: MongoDocument[]
  /** True if the page is always empty. */
  readonly never: boolean
}

const DUPLICATE_KEY = 11000
const VALIDATION_FAILED = 121
/** The code with which FerretDB reports that an update would store a duplicate. */
const INTERNAL_ERROR = 1

/**
 * Returns the checked values of a new row by field, with a generated id if the id kind generates one. Ids from a
 * counter are added later.
 */
export function completeRow (layout: Layout, row: Row): Map<StoredField, unknown> {
  for (const name in row) storedFieldOf(layout, name)
  const whole = new Map<StoredField, unknown>()
  for (const field of layout.fields) {
    const { definition } = field
    const value =
      field === layout.primaryKey
        ? (row[field.field] ?? definition.id?.generate?.() ?? null)
        : newValueOf(definition, row[field.field])
    if (value !== null || field !== layout.primaryKey || !usesCounter(layout)) {
      whole.set(field, encodeFieldValue(layout, field, value))
    }
  }
  return whole
}

/** Checks whether the ids of a layout come from a counter. */
export function usesCounter ({ primaryKey: { definition } }: Layout): boolean {
  return definition.type === 'id' && definition.id?.storage === 'integer' && definition.id.generate === undefined
}

/** Returns the checked and encoded changes. Throws `FST_USERS_INVALID_OPTION` for a change of a key. */
export function encodeChanges (layout: Layout, changes: Changes): EncodedChanges {
  const set = new Map<StoredField, unknown>()
  const steps = new Map<StoredField, number>()
  for (const name in changes) {
    const field = storedFieldOf(layout, name)
    const change: unknown = changes[name]
    if (change === undefined || isMissingField(layout, field)) continue
    if (
      field.path === '_id' ||
      (layout.embedded !== undefined && (field === layout.primaryKey || field === layout.embedded.reference))
    ) {
      throw invalidArgument(layout.model.name, name, 'is a key, and keys cannot be changed')
    }
    const step = incrementOf(layout.model, name, field.definition, field.accepts, change)
    if (step === undefined) set.set(field, encodeFieldValue(layout, field, change))
    else steps.set(field, step)
  }
  return { set, steps }
}

/**
 * Returns the first unique group whose fields are all set to values that are not null: such a change can apply to one
 * row only. Returns undefined if there is no such group.
 */
export function groupSetEverywhere (layout: Layout, { set }: EncodedChanges): readonly StoredField[] | undefined {
  return [[layout.primaryKey], ...uniqueGroupsOf(layout)].find((fields) =>
    fields.every((field) => (set.get(field) ?? null) !== null)
  )
}

/** Returns the page that the options of `findMany` describe. Throws `FST_USERS_INVALID_OPTION` for invalid options. */
export function readPage (layout: Layout, { limit, order, after }: FindManyOptions): Page {
  const { model, primaryKey } = layout
  const sort = order === undefined ? primaryKey : storedFieldOf(layout, order)
  if (sort.definition.type === 'json') {
    throw invalidArgument(model.name, sort.field, 'is a json field, which has no order')
  }
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalidArgument(model.name, '', '`limit` must be a whole number')
  const page = {
    sort: { [sort.path]: 1 as const, [primaryKey.path]: 1 as const },
    limit,
    after: [],
    never: limit === 0
  }
  if (after === undefined) return page
  for (const { field } of [sort, primaryKey]) {
    if (after[field] === undefined) throw invalidArgument(model.name, field, 'must be set in `after`')
  }
  const [value, key] = [sort, primaryKey].map((field) =>
    after[field.field] === null ? null : field.codec.encode(after[field.field])
  )
  const next = { [primaryKey.path]: { $gt: key } }
  const conditions =
    sort === primaryKey
      ? [next]
      : [
          {
            $or: [
              { [sort.path]: value === null ? { $ne: null } : { $gt: value } },
              { [sort.path]: { $eq: value }, ...next }
            ]
          }
        ]
  return { ...page, after: conditions, never: page.never || value === undefined || key === undefined }
}

/** Returns the rows sorted: first those that match `exact` in case too, then by primary key. */
export function sortExactFirst (
  { primaryKey: { field: key } }: Layout,
  rows: Row[],
  exact: ReadonlyMap<string, string>
): Row[] {
  const differences = (row: Row): number => [...exact].filter(([field, text]) => row[field] !== text).length
  return rows.sort(
    (one, other) =>
      differences(one) - differences(other) ||
      compareKeys(comparisonKeyOf(one[key], false), comparisonKeyOf(other[key], false))
  )
}

/** The data with which `convertWriteErrors` names the fields of a duplicate. */
export interface WrittenFields {
  /** The layouts of the rows in arrays of the document. */
  readonly inside?: readonly Layout[]
  /** Finds the unique group that another document has taken, for servers whose errors do not name it. */
  findTaken?(): Promise<readonly StoredField[] | undefined>
}

/**
 * Runs a write. Throws `FST_USERS_UNIQUE_VIOLATION` with the names of the fields for a duplicate key, and
 * `FST_USERS_TABLE_MISMATCH` if a validator refuses the document.
 */
export async function convertWriteErrors<T> (
  layout: Layout,
  operation: () => Promise<T>,
  { inside = [], findTaken }: WrittenFields = {}
): Promise<T> {
  try {
    return await operation()
  } catch (cause) {
    const code = serverCodeOf(cause)
    if (code === VALIDATION_FAILED) {
      throw FST_USERS_TABLE_MISMATCH(
        [layout.collection, 'the validator of the collection refused the document; the cause contains the reason'],
        { cause }
      )
    }
    if (code !== DUPLICATE_KEY && code !== INTERNAL_ERROR) throw cause
    const pattern = (cause as { keyPattern?: object }).keyPattern // part of the server's error
    if (pattern !== undefined) {
      const fields = [layout, ...inside].flatMap((one) => one.fields)
      throw duplicateError(fieldsOfKey({ fields }, Object.keys(pattern)), cause)
    }
    const taken = await findTaken?.()
    if (taken === undefined && code === INTERNAL_ERROR) throw cause
    throw duplicateError((taken ?? uniqueGroupsOf(layout).flat()).map(({ field }) => field), cause)
  }
}

/** Creates the error for a duplicate in a unique group. */
export function duplicateFieldsError (fields: readonly StoredField[]): UsersError {
  return duplicateError(fields.map(({ field }) => field))
}

function duplicateError (fields: readonly string[], cause?: unknown): UsersError {
  return FST_USERS_UNIQUE_VIOLATION([fields.join(', ')], { fields, cause })
}

function encodeFieldValue ({ model }: Layout, field: StoredField, value: unknown): unknown {
  checkWrite(model, field.field, field.definition, field.accepts, value)
  if (value === null) return null
  const encoded = field.codec.encode(value)
  if (encoded === undefined) {
    throw invalidArgument(model.name, field.field, `must be a valid value of type ${field.definition.type}`)
  }
  return encoded
}
