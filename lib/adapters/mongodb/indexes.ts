import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import type { MongoDocument } from './driver.js'
import { uniqueNameOf } from './duplicates.js'
import { CASELESS } from './filter.js'
import { storedFieldOf, uniqueGroupsOf, usesDocumentId, type Layout, type StoredField } from './layout.js'
import { serverCodeOf, type Operations } from './operations.js'

/** A planned index, in the form of the command createIndexes. */
export interface IndexPlan {
  key: Record<string, 1>
  name: string
  unique?: true
  collation?: typeof CASELESS
  partialFilterExpression?: MongoDocument
  sparse?: true
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

/** Codes for duplicate values: that of MongoDB, and the internal error of FerretDB. */
const DUPLICATES = new Set<unknown>([11000, 1])
// index cannot be created, exists with other options, exists with another key, duplicate values
const REFUSED = new Set<unknown>([67, 85, 86, ...DUPLICATES])

/** Returns the indexes of a collection; null if it does not exist, or if it has neither documents nor indexes. */
export async function readCollectionIndexes (operations: Operations): Promise<FoundIndex[] | null> {
  const found = (await operations.indexes()) as FoundIndex[] | null // the reply of listIndexes
  if (found === null || found.some(({ name }) => name !== '_id_')) return found
  const documents = await operations.find({}, { projection: { _id: 1 }, limit: 1 })
  return documents.length === 0 ? null : found
}

/**
 * Checks the indexes of a layout. With `creates`, it creates all missing indexes. Otherwise it throws
 * `FST_USERS_TABLE_MISMATCH` with the commands if a unique index is missing. Returns true if it created the collection.
 */
export async function ensureIndexes (
  layout: Layout,
  found: readonly FoundIndex[] | null,
  operations: Operations,
  creates: boolean
): Promise<boolean> {
  const indexes = found ?? []
  const alternatives = collectionIndexPlans({ ...layout, lookup: 'folded' })
  const missing = collectionIndexPlans(layout).filter((plan, position) => {
    if (plan.unique !== true && !creates) return false
    const alternative = alternatives[position]
    return !isSufficient(indexes, plan) && !(alternative !== undefined && isSufficient(indexes, alternative))
  })
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
    if (!DUPLICATES.has(serverCodeOf(cause))) throw cause
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
export function isSufficient (indexes: readonly FoundIndex[], plan: IndexPlan): boolean {
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
export function collectionIndexPlans (layout: Layout): IndexPlan[] {
  const { model, primaryKey, embedded } = layout
  const references = layout.fields
    .filter(({ field, definition }) => definition.references !== undefined && field !== embedded?.reference.field)
    .map(({ field }) => [field])
  const lookUps = new Map([...references, ...(model.index ?? [])].map((names) => [names.join(), names]))
  const plain = [...lookUps.values()]
    .map((names) => names.map((name) => storedFieldOf(layout, name)))
    .filter((fields) => !fields.some((field) => field === embedded?.reference))
  const unique = uniqueGroupsOf(layout).flatMap((fields) => [
    uniqueIndexPlan(layout, fields),
    ...(embedded === undefined ? [] : [lookUpIndexPlan(layout, fields)])
  ]) // lookups in arrays do not use partial indexes
  const key = usesDocumentId(layout)
    ? []
    : [embedded === undefined ? uniqueIndexPlan(layout, [primaryKey]) : indexPlanOf(layout, [primaryKey])]
  return [...key, ...unique, ...plain.map((fields) => indexPlanOf(layout, fields))]
}

/** Returns the names of the model's fields for the paths of an index. */
export function fieldsOfKey ({ fields }: Pick<Layout, 'fields'>, paths: readonly string[]): string[] {
  return paths.map(
    (path) => fields.find((field) => field.path === path || field.foldedName === path)?.field ?? path
  )
}

function indexPlanOf (layout: Layout, fields: readonly StoredField[]): IndexPlan {
  const key = Object.fromEntries(fields.map((field) => [uniqueNameOf(layout, field), 1 as const]))
  const needsCollation = layout.lookup === 'collation' && fields.some(({ foldedName }) => foldedName !== undefined)
  return !needsCollation
    ? {
        key,
        name: Object.keys(key)
          .map((path) => `${path}_1`)
          .join('_')
      }
    : { key, name: `case_insensitive_${fields.map(({ name }) => name).join('_')}_index`, collation: CASELESS }
}

/**
 * Returns the index for lookups by unique fields. Its key differs from that of the unique index, because MongoDB 4.4
 * refuses two indexes with one key.
 */
function lookUpIndexPlan (layout: Layout, fields: readonly StoredField[]): IndexPlan {
  const reference = layout.embedded?.reference
  const isSingle = fields.length === 1 && reference !== undefined
  return indexPlanOf(layout, isSingle ? [...fields, reference] : fields.toReversed())
}

/**
 * Returns a unique index. MongoDB treats null as a value, and a missing array as null. For fields that may be null, the
 * index is partial and contains other values only. An index on folded copies is sparse, because other programs may
 * store documents without them.
 */
function uniqueIndexPlan (layout: Layout, fields: readonly StoredField[]): IndexPlan {
  const plan: IndexPlan = { ...indexPlanOf(layout, fields), unique: true }
  if (!layout.isComplete) return plan
  const partial = fields
    .filter(({ definition }) => definition.nullable === true || layout.embedded !== undefined)
    .map((field) => [uniqueNameOf(layout, field), { $type: field.codec.type }])
  if (partial.length > 0) return { ...plan, partialFilterExpression: Object.fromEntries(partial) }
  const hasCopy = layout.lookup === 'folded' && fields.some(({ foldedName }) => foldedName !== undefined)
  return hasCopy ? { ...plan, sparse: true } : plan
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
