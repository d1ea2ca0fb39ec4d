import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH, FST_USERS_UNIQUE_VIOLATION, type UsersError } from '../../errors.js'
import { misuse } from '../shared/errors.js'
import { checkWrite, incrementOf } from '../shared/values.js'
import { compareKeys, keyOf } from '../shared/compare.js'
import type { MongoDocument } from './driver.js'
import { fieldsOfKey } from './indexes.js'
import { fieldOf, groupsOf, isAbsent, type Layout, type StoredField } from './layout.js'
import { codeOf } from './operations.js'

/** The rows of one model, wherever they lie. */
export interface ModelRows {
  create(row: Row): Promise<Row>
  findOne(where: Where): Promise<Row | null>
  findMany(where: Where, options: FindManyOptions): Promise<Row[]>
  findWithUser(where: Where): Promise<{ row: Row; user: Row } | null>
  update(where: Where, changes: Changes): Promise<number>
  delete(where: Where): Promise<number>
}

/** New values in the terms of a server: to set, and to add to numbers. */
export interface EncodedChanges {
  readonly set: ReadonlyMap<StoredField, unknown>
  readonly steps: ReadonlyMap<StoredField, number>
}

/** Part of a list: in which order, where it continues, how long. */
export interface Page {
  readonly sort: Record<string, 1>
  readonly limit: number
  readonly after: MongoDocument[]
  readonly never: boolean
}

const DUPLICATE_KEY = 11000
const VALIDATION_FAILED = 121

/**
 * A whole new row by field, checked, with an id where its kind makes one; without the id that the adapter counts up.
 */
export function completeRow (layout: Layout, row: Row): Map<StoredField, unknown> {
  for (const name in row) fieldOf(layout, name)
  const whole = new Map<StoredField, unknown>()
  for (const field of layout.fields) {
    const made = field === layout.primaryKey ? field.definition.id?.generate?.() : null
    const value = row[field.field] ?? made ?? null
    if (value !== null || field !== layout.primaryKey || !countsIds(layout)) {
      whole.set(field, encodeValue(layout, field, value))
    }
  }
  return whole
}

/** Whether the adapter makes ids by counting. */
export function countsIds ({ primaryKey: { definition } }: Layout): boolean {
  return definition.type === 'id' && definition.id?.storage === 'integer' && definition.id.generate === undefined
}

/** Changes, checked. Throws `FST_USERS_INVALID_OPTION` for those of what never changes. */
export function encodeChanges (layout: Layout, changes: Changes): EncodedChanges {
  const set = new Map<StoredField, unknown>()
  const steps = new Map<StoredField, number>()
  for (const name in changes) {
    const field = fieldOf(layout, name)
    const change: unknown = changes[name]
    if (change === undefined || isAbsent(layout, field)) continue
    if (
      field.path === '_id' ||
      (layout.embedded !== undefined && (field === layout.primaryKey || field === layout.embedded.reference))
    ) {
      throw misuse(layout.model.name, name, 'is a key, which never changes')
    }
    const step = incrementOf(layout.model, name, field.definition, field.accepts, change)
    if (step === undefined) set.set(field, encodeValue(layout, field, change))
    else steps.set(field, step)
  }
  return { set, steps }
}

/** A group of unique fields that would become equal in all rows that are changed; undefined for none. */
export function sharedGroup (layout: Layout, { set }: EncodedChanges): readonly StoredField[] | undefined {
  return [[layout.primaryKey], ...groupsOf(layout)].find((fields) =>
    fields.every((field) => (set.get(field) ?? null) !== null)
  )
}

/** Reads what `findMany` is asked for. Throws `FST_USERS_INVALID_OPTION` for what cannot be meant. */
export function readPage (layout: Layout, { limit, order, after }: FindManyOptions): Page {
  const { model, primaryKey } = layout
  const sort = order === undefined ? primaryKey : fieldOf(layout, order)
  if (sort.definition.type === 'json') throw misuse(model.name, sort.field, 'is json, which has no order')
  if (!Number.isSafeInteger(limit) || limit < 0) throw misuse(model.name, '', '`limit` must be an integer')
  const page = {
    sort: { [sort.path]: 1 as const, [primaryKey.path]: 1 as const },
    limit,
    after: [],
    never: limit === 0
  }
  if (after === undefined) return page
  for (const { field } of [sort, primaryKey]) {
    if (after[field] === undefined) throw misuse(model.name, field, '`after` lacks it')
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

/** Rows sorted so that those come first which have exactly these texts, then by primary key. */
export function exactFirst (
  { primaryKey: { field: key } }: Layout,
  rows: Row[],
  exact: ReadonlyMap<string, string>
): Row[] {
  const differences = (row: Row): number => [...exact].filter(([field, text]) => row[field] !== text).length
  return rows.sort(
    (one, other) =>
      differences(one) - differences(other) || compareKeys(keyOf(one[key], false), keyOf(other[key], false))
  )
}

/**
 * Does a write, and turns the server's complaint about equal values into ours, with field names: of the layout, or of
 * those inside of it.
 */
export async function write<T> (
  layout: Layout,
  operation: () => Promise<T>,
  inside: readonly Layout[] = []
): Promise<T> {
  try {
    return await operation()
  } catch (cause) {
    if (codeOf(cause) === VALIDATION_FAILED) {
      throw FST_USERS_TABLE_MISMATCH(
        [layout.collection, 'a validator of the collection refused the document; the cause says why'],
        { cause }
      )
    }
    if (codeOf(cause) !== DUPLICATE_KEY) throw cause
    const pattern = (cause as { keyPattern?: object }).keyPattern // of the server's answer
    throw clash(
      pattern === undefined
        ? groupsOf(layout)
          .flat()
          .map(({ field }) => field)
        : fieldsOfKey({ fields: [layout, ...inside].flatMap(({ fields }) => fields) }, Object.keys(pattern)),
      cause
    )
  }
}

/** The error of a clash. */
export function violation (fields: readonly StoredField[]): UsersError {
  return clash(fields.map(({ field }) => field))
}

function clash (fields: readonly string[], cause?: unknown): UsersError {
  return FST_USERS_UNIQUE_VIOLATION([fields.join(', ')], { fields, cause })
}

function encodeValue ({ model }: Layout, field: StoredField, value: unknown): unknown {
  checkWrite(model, field.field, field.definition, field.accepts, value)
  if (value === null) return null
  const encoded = field.codec.encode(value)
  if (encoded === undefined) {
    throw misuse(model.name, field.field, `does not hold a value of type ${field.definition.type}`)
  }
  return encoded
}
