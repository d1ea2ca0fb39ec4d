import type { MongoDocument } from './driver.js'
import { allOf } from './filter.js'
import { type Layout, type StoredField, uniqueGroupsOf } from './layout.js'
import type { Operations } from './operations.js'

/**
 * Returns the unique group in which another document has the values of a document, for servers whose errors do not name
 * it; undefined if there is none. `ids` selects the other documents.
 */
export async function findTakenGroup (
  layout: Layout,
  operations: Operations,
  document: MongoDocument,
  ids: MongoDocument = {}
): Promise<readonly StoredField[] | undefined> {
  for (const group of [[layout.primaryKey], ...uniqueGroupsOf(layout)]) {
    const names = group.map((field) => uniqueNameOf(layout, field))
    const values = names.map((name) => [name, document[name] ?? null] as const)
    if (values.some(([, value]) => value === null)) continue
    const filter = Object.fromEntries(values.map(([name, value]) => [name, { $eq: value }]))
    const [other] = await operations.find(allOf([filter, ids]), { projection: { _id: 1 }, limit: 1 })
    if (other !== undefined) return group
  }
  return undefined
}

/** Returns the name of the stored field that a unique index contains. */
export function uniqueNameOf ({ lookup }: Layout, { path, foldedName }: StoredField): string {
  return lookup === 'folded' && foldedName !== undefined ? foldedName : path
}
