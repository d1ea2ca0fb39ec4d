import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import type { MongoDocument } from './driver.js'
import { CASELESS } from './filter.js'
import { collectionIndexPlans, type FoundIndex, isSufficient } from './indexes.js'
import type { Layout, StoredField } from './layout.js'
import type { Operations } from './operations.js'
import { validatorMismatches } from './validators.js'

/** A field with a folded copy. */
export type CaselessField = StoredField & Required<Pick<StoredField, 'foldedName'>>

/** Returns the fields of a layout that ignore case. */
export function caselessFieldsOf ({ fields }: Layout): CaselessField[] {
  return fields.filter((field): field is CaselessField => field.foldedName !== undefined)
}

/**
 * Returns the layout with `lookup`, which decides how texts that ignore case are found. If the collection has an index
 * with the collation of FastAPI Users, they are found by this collation, because a Python application may store
 * documents without folded copies. Otherwise they are found by folded copies. Throws `FST_USERS_TABLE_MISMATCH` if
 * documents lack them and the server has no collations.
 */
export async function withLookup (
  layout: Layout,
  found: readonly FoundIndex[] | null,
  operations: Operations
): Promise<Layout> {
  const fields = caselessFieldsOf(layout)
  if (fields.length === 0) return layout
  const isIndexed = hasFoldedIndexes(layout, found ?? [])
  if (layout.isComplete && found?.some((index) => isCaseless(index, fields)) === true) {
    return { ...layout, lookup: 'collation', isFolding: isIndexed }
  }
  if (isIndexed) return layout
  const isLacking = found !== null && (await lacksCopies(layout, operations))
  if (layout.isComplete && (isLacking || refusesCopies(layout, await operations.options()))) {
    return { ...layout, lookup: 'collation', isFolding: false }
  }
  if (!isLacking) return layout
  throw FST_USERS_TABLE_MISMATCH([
    layout.collection,
    `its documents lack the field ${fields.map(({ foldedName }) => `"${foldedName}"`).join(' or ')}; ` +
      'run `npx fastify-users migrate`'
  ])
}

/** Checks whether an existing index has the collation of FastAPI Users. */
export function isCaseless ({ key, collation }: FoundIndex, fields: readonly StoredField[]): boolean {
  return (
    collation?.locale === CASELESS.locale &&
    collation.strength === CASELESS.strength &&
    fields.some(({ path }) => Object.hasOwn(key, path))
  )
}

/** Checks whether a document has a text without its folded copy. */
export async function lacksCopies (layout: Layout, operations: Operations): Promise<boolean> {
  const lacking = caselessFieldsOf(layout).map(
    ({ path, foldedName }): MongoDocument => ({ [path]: { $type: 'string' }, [foldedName]: { $exists: false } })
  )
  const documents = await operations.find({ $or: lacking }, { projection: { _id: 1 }, limit: 1 })
  return documents.length > 0
}

/**
 * Checks whether all unique indexes on folded copies exist. If the layout has no unique ones, checks the other indexes
 * on copies.
 */
function hasFoldedIndexes (layout: Layout, found: readonly FoundIndex[]): boolean {
  const names = caselessFieldsOf(layout).map(({ foldedName }) => foldedName)
  const plans = collectionIndexPlans({ ...layout, lookup: 'folded' }).filter(({ key }) =>
    Object.keys(key).some((name) => names.includes(name))
  )
  const unique = plans.filter((plan) => plan.unique === true)
  return plans.length > 0 && (unique.length > 0 ? unique : plans).every((plan) => isSufficient(found, plan))
}

/** Checks whether the validator of a collection refuses documents because of their folded copies. */
export function refusesCopies (layout: Layout, options: MongoDocument): boolean {
  const [withCopies = 0, without = 0] = [true, false].map(
    (isFolding) => validatorMismatches({ ...layout, isFolding }, options).length
  )
  return withCopies > without
}
