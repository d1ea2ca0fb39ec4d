import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import type { MongoDocument } from './driver.js'
import { CASELESS } from './filter.js'
import { fieldOf, groupsOf, usesDocumentId, type Layout, type StoredField } from './layout.js'
import { serverCodeOf, type Operations } from './operations.js'

/** A planned index, in the form of the command createIndexes. */
export interface IndexPlan {
  key: Record<string, 1>
  name: string
  unique?: true
  collation?: typeof CASELESS
  partialFilterExpression?: MongoDocument
}

/** An existing index, as listIndexes returns it. */
export interface FoundIndex {
  name: string
  key: MongoDocument
  unique?: boolean
  partialFilterExpression?: object
  sparse?: boolean
  collation?: { locale?: string; strength?: number }
}

const DUPLICATES = 11000
// index cannot be created, exists with other options, exists with another key, duplicate values
const REFUSED = new Set<unknown>([67, 85, 86, 11000])

/**
 * Checks the indexes of a layout. With `creates`, it creates all missing indexes. Otherwise it throws
 * `FST_USERS_TABLE_MISMATCH` with the commands if a unique index is missing. Returns true if it created the collection.
 */
export async function ensureIndexes (layout: Layout, operations: Operations, creates: boolean): Promise<boolean> {
  const plans = indexPlans(layout)
  const found = await operations.indexes()
  const indexes = (found ?? []) as FoundIndex[] // the reply of listIndexes
  const missing = plans.filter((plan) => (plan.unique === true || creates) && !isSufficient(indexes, plan))
  if (missing.length === 0) return false
  const commands = missing.map((plan) => createIndexCommand(layout.collection, plan)).join('\n')
  if (!creates) {
    throw FST_USERS_TABLE_MISMATCH([
      layout.collection,
      'the collection has no index that keeps values unique; run `npx fastify-users migrate`, ' +
        `set \`createTables: true\`, or run this in mongosh:\n${commands}`
    ])
  }
  try {
    await operations.createIndexes(missing)
  } catch (cause) {
    if (!REFUSED.has(serverCodeOf(cause))) throw cause
    throw FST_USERS_TABLE_MISMATCH(
      [layout.collection, `the server refused to create an index (${String(cause)}):\n${commands}`],
      { cause }
    )
  }
  return found === null
}

/**
 * Compares the existing indexes with a planned one. `match` is `full` if one is equivalent, `weak` if one differs in
 * collation only, otherwise `none`. `conflicting` is the existing index with the same name or the same key.
 */
export function compareIndexes (
  indexes: readonly FoundIndex[],
  plan: IndexPlan
): { match: 'full' | 'weak' | 'none'; conflicting: FoundIndex | undefined } {
  const alike = indexes.filter((index) => hasCollation(index, plan))
  return {
    match: isSufficient(alike, plan) ? 'full' : isSufficient(indexes, plan) ? 'weak' : 'none',
    conflicting:
      indexes.find(({ name }) => name === plan.name) ??
      alike.find(({ key }) => JSON.stringify(key) === JSON.stringify(plan.key))
  }
}

/** Creates indexes without a time limit. Throws `FST_USERS_TABLE_MISMATCH`, without stored values, for duplicates. */
export async function buildIndexes (
  { collection }: Layout,
  operations: Operations,
  plans: readonly IndexPlan[]
): Promise<void> {
  try {
    await operations.createIndexes([...plans], true)
  } catch (cause) {
    if (serverCodeOf(cause) !== DUPLICATES) throw cause
    const unique = plans.filter((plan) => plan.unique).map(describeIndex)
    throw FST_USERS_TABLE_MISMATCH(
      [
        collection,
        'a unique index cannot be created, because several documents have the same values: ' +
          `${unique.join('; ')}; change or delete the duplicates`
      ],
      { cause }
    )
  }
}

/** Returns a description of an index for messages. */
export function describeIndex ({ key, name, unique, collation }: IndexPlan): string {
  const kind = [unique === true ? 'unique ' : '', collation === undefined ? '' : 'case-insensitive '].join('')
  return `the ${kind}index ${JSON.stringify(name)} on ${Object.keys(key).join(', ')}`
}

/** Checks whether an existing index has the effect of a planned one. Another collation only makes lookups slower. */
function isSufficient (indexes: readonly FoundIndex[], plan: IndexPlan): boolean {
  return plan.unique === true
    ? indexes.some((index) => ensuresUniqueness(index, plan))
    : indexes.some((index) => coversFields(index.key, plan.key))
}

function hasCollation ({ collation }: FoundIndex, plan: IndexPlan): boolean {
  return plan.collation === undefined
    ? (collation?.locale ?? 'simple') === 'simple'
    : collation?.locale === plan.collation.locale && collation.strength === plan.collation.strength
}

/** Returns the indexes of a layout. Names equal those of FastAPI Users if it has the same index. */
export function indexPlans (layout: Layout): IndexPlan[] {
  const { model, primaryKey, embedded } = layout
  const references = layout.fields
    .filter(({ field, definition }) => definition.references !== undefined && field !== embedded?.reference.field)
    .map(({ field }) => [field])
  const lookUps = new Map([...references, ...(model.index ?? [])].map((names) => [names.join(), names]))
  const plain = [...lookUps.values()]
    .map((names) => names.map((name) => fieldOf(layout, name)))
    .filter((fields) => !fields.some((field) => field === embedded?.reference))
  const unique = groupsOf(layout).flatMap((fields) => [
    uniqueIndexPlan(layout, fields),
    ...(embedded === undefined ? [] : [lookUpIndexPlan(fields)])
  ]) // lookups in arrays do not use partial indexes
  const key = usesDocumentId(layout)
    ? []
    : [embedded === undefined ? uniqueIndexPlan(layout, [primaryKey]) : indexPlanOf([primaryKey])]
  return [...key, ...unique, ...plain.map(indexPlanOf)]
}

/** Returns the names of the model's fields for the paths of an index. */
export function fieldsOfKey ({ fields }: Pick<Layout, 'fields'>, paths: readonly string[]): string[] {
  return paths.map((path) => fields.find((field) => field.path === path)?.field ?? path)
}

function indexPlanOf (fields: readonly StoredField[]): IndexPlan {
  const key = Object.fromEntries(fields.map(({ path }) => [path, 1 as const]))
  const caseless = fields.find(({ definition }) => definition.ignoreCase === true)
  return caseless === undefined
    ? {
        key,
        name: Object.keys(key)
          .map((path) => `${path}_1`)
          .join('_')
      }
    : { key, name: `case_insensitive_${fields.map(({ name }) => name).join('_')}_index`, collation: CASELESS }
}

/** Returns the index for lookups by unique fields. Its name differs from that of the unique index. */
function lookUpIndexPlan (fields: readonly StoredField[]): IndexPlan {
  const plan = indexPlanOf(fields.toReversed())
  return fields.length === 1 ? { ...plan, name: `${plan.name}_lookup` } : plan
}

/**
 * Returns a unique index. MongoDB treats null as a value, and a missing array as null. For fields that may be null, the
 * index is partial and contains other values only.
 */
function uniqueIndexPlan ({ embedded }: Layout, fields: readonly StoredField[]): IndexPlan {
  const partial = fields
    .filter(({ definition }) => definition.nullable === true || embedded !== undefined)
    .map(({ path, codec }) => [path, { $type: codec.type }])
  return {
    ...indexPlanOf(fields),
    unique: true,
    ...(partial.length === 0 ? {} : { partialFilterExpression: Object.fromEntries(partial) })
  }
}

/**
 * Checks whether an existing index keeps values unique. It is also sufficient if its collation treats different values
 * as equal, but not if it distinguishes values that the planned index treats as equal.
 */
function ensuresUniqueness (index: FoundIndex, plan: IndexPlan): boolean {
  const { key, unique, partialFilterExpression: partial = {} } = index
  if (unique !== true || Object.keys(key).length !== Object.keys(plan.key).length || !coversFields(key, plan.key)) {
    return false
  }
  const planned = plan.partialFilterExpression ?? {}
  return Object.entries(partial).every(
    ([path, condition]) =>
      Object.hasOwn(plan.key, path) &&
      [JSON.stringify(planned[path]), '{"$exists":true}'].includes(JSON.stringify(condition))
  )
}

function coversFields (key: MongoDocument, planned: Record<string, 1>): boolean {
  const first = Object.keys(key).slice(0, Object.keys(planned).length)
  return Object.keys(planned).every((path) => first.includes(path))
}

/** Returns the mongosh command that creates an index. */
export function createIndexCommand (collection: string, { key, ...options }: IndexPlan): string {
  return `db.getCollection(${JSON.stringify(collection)}).createIndex(${JSON.stringify(key)}, ${JSON.stringify(options)})`
}
