import { foldCase } from '../../shared/text.js'
import type { MongoDocument } from './driver.js'
import { type Layout, type StoredField, uniqueGroupsOf } from './layout.js'

/** The changes of a document: values by name, and the names of fields that are removed. */
export interface DocumentChanges {
  readonly set: MongoDocument
  readonly unset: readonly string[]
}

/**
 * Returns the changes of a document for encoded values, with the folded copies of texts that ignore case. Without
 * partial indexes, a null in a unique group is not stored, because it would count as a value that is taken.
 */
export function documentChanges (layout: Layout, values: Iterable<readonly [StoredField, unknown]>): DocumentChanges {
  const set: MongoDocument = {}
  const unset: string[] = []
  for (const [field, value] of values) {
    const { name, foldedName } = field
    const copy = layout.isFolding ? foldedName : undefined
    if (value === null && isOmittedIfNull(layout, field)) {
      unset.push(...(copy === undefined ? [name] : [name, copy]))
      continue
    }
    set[name] = value
    if (copy !== undefined) set[copy] = foldedCopyOf(value)
  }
  return { set, unset }
}

/** Returns the folded copy of a stored text; null for null and for values of other types. */
export function foldedCopyOf (value: unknown): string | null {
  return typeof value === 'string' ? foldCase(value) : null
}

function isOmittedIfNull (layout: Layout, field: StoredField): boolean {
  return !layout.isComplete && field.definition.nullable === true && uniqueGroupsOf(layout).flat().includes(field)
}
