import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import type { MongoDocument } from './driver.js'
import { CASELESS } from './filter.js'
import { fieldOf, groupsOf, hasOwnKey, type Layout, type StoredField } from './layout.js'
import { codeOf, type Operations } from './operations.js'

/** An index as the server takes it. */
export interface IndexPlan {
  key: Record<string, 1>
  name: string
  unique?: true
  collation?: typeof CASELESS
  partialFilterExpression?: MongoDocument
}

/** What is read of an index that exists. */
export interface FoundIndex {
  name: string
  key: MongoDocument
  unique?: boolean
  partialFilterExpression?: object
  sparse?: boolean
  collation?: { locale?: string; strength?: number }
}

const DUPLICATES = 11000
// cannot be made, exists with other options, exists with another key, documents clash
const REFUSED = new Set<unknown>([67, 85, 86, 11000])

/**
 * Checks the indexes that keep a layout's values unique. `creates` makes those that are missing, and those that make
 * look-ups fast; else throws `FST_USERS_TABLE_MISMATCH` with the commands. True when the collection was made.
 */
export async function openIndexes (layout: Layout, operations: Operations, creates: boolean): Promise<boolean> {
  const plans = indexPlans(layout)
  const found = await operations.indexes()
  const indexes = (found ?? []) as FoundIndex[] // what listIndexes answers
  const missing = plans.filter((plan) => (plan.unique === true || creates) && !serves(indexes, plan))
  if (missing.length === 0) return false
  const commands = missing.map((plan) => command(layout.collection, plan)).join('\n')
  if (!creates) {
    throw FST_USERS_TABLE_MISMATCH([
      layout.collection,
      `the collection lacks an index that keeps values unique; run \`npx fastify-users migrate\`, create it in mongosh as below, or let \`createTables: true\` do it:\n${commands}`
    ])
  }
  try {
    await operations.createIndexes(missing)
  } catch (cause) {
    if (!REFUSED.has(codeOf(cause))) throw cause
    throw FST_USERS_TABLE_MISMATCH([layout.collection, `an index cannot be made (${String(cause)}):\n${commands}`], {
      cause
    })
  }
  return found === null
}

/**
 * What indexes that exist are to one of ours: as good, good enough to start with, or nothing; and the one in whose
 * place it would be.
 */
export function compareIndexes (
  indexes: readonly FoundIndex[],
  plan: IndexPlan
): { match: 'full' | 'weak' | 'none'; inPlace: FoundIndex | undefined } {
  const alike = indexes.filter((index) => hasCollation(index, plan))
  return {
    match: serves(alike, plan) ? 'full' : serves(indexes, plan) ? 'weak' : 'none',
    inPlace:
      indexes.find(({ name }) => name === plan.name) ??
      alike.find(({ key }) => JSON.stringify(key) === JSON.stringify(plan.key))
  }
}

/** Makes indexes, however long that takes. Throws `FST_USERS_TABLE_MISMATCH`, without values, when documents clash. */
export async function makeIndexes (
  { collection }: Layout,
  operations: Operations,
  plans: readonly IndexPlan[]
): Promise<void> {
  try {
    await operations.createIndexes([...plans], true)
  } catch (cause) {
    if (codeOf(cause) !== DUPLICATES) throw cause
    throw FST_USERS_TABLE_MISMATCH(
      [
        collection,
        `a unique index cannot be made, because documents have the same values: ${plans
          .filter(({ unique }) => unique)
          .map(wordsOf)
          .join('; ')}; change or remove all but one`
      ],
      { cause }
    )
  }
}

/** An index in words. */
export function wordsOf ({ key, name, unique, collation }: IndexPlan): string {
  return `the ${unique === true ? 'unique ' : ''}index ${JSON.stringify(name)} on ${Object.keys(key).join(', ')}${collation === undefined ? '' : ', without case'}`
}

/** Whether an index that exists does what one of ours is for; the collation decides how fast. */
function serves (indexes: readonly FoundIndex[], plan: IndexPlan): boolean {
  return indexes.some((index) => (plan.unique === true ? keepsUnique(index, plan) : startsAlike(index.key, plan.key)))
}

function hasCollation ({ collation }: FoundIndex, plan: IndexPlan): boolean {
  return plan.collation === undefined
    ? (collation?.locale ?? 'simple') === 'simple'
    : collation?.locale === plan.collation.locale && collation.strength === plan.collation.strength
}

/** The indexes of a layout, with the names of FastAPI Users where it has one. */
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
    uniquePlan(layout, fields),
    ...(embedded === undefined ? [] : [planOf(fields.toReversed())])
  ]) // look-ups in lists do not use partial indexes
  const key = hasOwnKey(layout)
    ? []
    : [embedded === undefined ? uniquePlan(layout, [primaryKey]) : planOf([primaryKey])]
  return [...key, ...unique, ...plain.map(planOf)]
}

/** The fields that an index of these paths is about, by our names. */
export function fieldsOfKey ({ fields }: Pick<Layout, 'fields'>, paths: readonly string[]): string[] {
  return paths.map((path) => fields.find((field) => field.path === path)?.field ?? path)
}

function planOf (fields: readonly StoredField[]): IndexPlan {
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

/** An index takes null for a value, and a missing list for a null: where one may be, only real values are in it. */
function uniquePlan ({ embedded }: Layout, fields: readonly StoredField[]): IndexPlan {
  const partial = fields
    .filter(({ definition }) => definition.nullable === true || embedded !== undefined)
    .map(({ path, codec }) => [path, { $type: codec.type }])
  return {
    ...planOf(fields),
    unique: true,
    ...(partial.length === 0 ? {} : { partialFilterExpression: Object.fromEntries(partial) })
  }
}

/**
 * Whether an index that exists does what one of ours would. A collation of its own makes more values equal, never
 * fewer.
 */
function keepsUnique ({ key, unique, partialFilterExpression: partial = {} }: FoundIndex, plan: IndexPlan): boolean {
  if (unique !== true || Object.keys(key).length !== Object.keys(plan.key).length || !startsAlike(key, plan.key)) {
    return false
  }
  const ours = plan.partialFilterExpression ?? {}
  return Object.entries(partial).every(
    ([path, condition]) =>
      Object.hasOwn(plan.key, path) &&
      [JSON.stringify(ours[path]), '{"$exists":true}'].includes(JSON.stringify(condition))
  )
}

function startsAlike (key: MongoDocument, planned: Record<string, 1>): boolean {
  const first = Object.keys(key).slice(0, Object.keys(planned).length)
  return Object.keys(planned).every((path) => first.includes(path))
}

/** The command of mongosh that makes an index. */
export function command (collection: string, { key, ...options }: IndexPlan): string {
  return `db.getCollection(${JSON.stringify(collection)}).createIndex(${JSON.stringify(key)}, ${JSON.stringify(options)})`
}
