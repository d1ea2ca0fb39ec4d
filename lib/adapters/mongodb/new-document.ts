import type { DatabaseAdapter, Dependents, NewRow, Row, StoredRows } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { keyOf } from '../shared/compare.js'
import { addSequentially } from '../shared/create-sequentially.js'
import type { MongoDocument } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { groupsOf, type Layout } from './layout.js'
import { uniqueViolation, type ModelRows } from './model-rows.js'
import type { EmbeddedLists, SeparateRows } from './separate-rows.js'

type RowsOf = (model: Model) => ModelRows

/** The arrays of a new document, and the stored rows by the new rows that they come from. */
interface FilledLists extends EmbeddedLists {
  readonly rows: ReadonlyMap<NewRow, Row>
}

/**
 * Stores a row with its dependent rows. Rows in arrays are inserted together with their document, in one atomic
 * operation. Separate documents are inserted one after the other; if one fails, all are deleted again.
 */
export async function createDocument (
  adapter: DatabaseAdapter,
  owner: SeparateRows,
  rowsOf: RowsOf,
  row: Row,
  dependents: Dependents
): Promise<StoredRows> {
  const { layout } = owner
  let others: readonly NewRow[] = []
  let inside: ReadonlyMap<NewRow, Row> = new Map()
  const stored = await owner.create(row, async (newRow) => {
    others = dependents(newRow)
    const filled = await fillLists(layout, newRow, others, rowsOf)
    inside = filled.rows
    return filled
  })
  const outside = others.filter((other) => !inside.has(other))
  const added = await addSequentially(adapter, [layout.model, stored], () => outside)
  // each dependent row is either in an array or in `added`
  return [stored, ...others.map((other) => inside.get(other) ?? (added[outside.indexOf(other)] as Row))]
}

async function fillLists (
  { model, primaryKey }: Layout,
  owner: Row,
  others: readonly NewRow[],
  rowsOf: RowsOf
): Promise<FilledLists> {
  const lists: Record<string, MongoDocument[]> = {}
  const layouts = new Set<ListLayout>()
  const rows = new Map<NewRow, Row>()
  const taken = new Set<string>()
  for (const other of others) {
    const [otherModel, row] = other
    const inList = rowsOf(otherModel)
    if (
      !(inList instanceof EmbeddedRows) ||
      inList.layout.embedded.owner.model.name !== model.name ||
      row['user_id'] !== owner[primaryKey.field]
    ) {
      continue
    }
    const { element, stored } = await inList.buildElement(row)
    checkUniqueInDocument(inList.layout, stored, taken)
    const { list } = inList.layout.embedded
    lists[list] = [...(lists[list] ?? []), element]
    layouts.add(inList.layout)
    rows.set(other, stored)
  }
  return { lists, layouts: [...layouts], rows }
}

/**
 * Throws `FST_USERS_UNIQUE_VIOLATION` for duplicates in one document. A unique index of MongoDB compares different
 * documents only.
 */
function checkUniqueInDocument (layout: Layout, row: Row, taken: Set<string>): void {
  for (const fields of [[layout.primaryKey], ...groupsOf(layout)]) {
    const keys = fields.map(({ field }) => keyOf(row[field], false))
    const value = JSON.stringify([layout.model.name, ...fields.map(({ field }) => field), ...keys])
    if (keys.includes(null)) continue
    if (taken.has(value)) throw uniqueViolation(fields)
    taken.add(value)
  }
}
