import type { DatabaseAdapter, Dependents, NewRow, Row, StoredRows } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { keyOf } from '../shared/compare.js'
import { addSequentially } from '../shared/create-sequentially.js'
import type { MongoDocument } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { groupsOf, type Layout } from './layout.js'
import { violation, type ModelRows } from './model-rows.js'
import type { Lists, SeparateRows } from './separate-rows.js'

type RowsOf = (model: Model) => ModelRows

/** Rows in the lists of a new document, by what they were made of. */
interface Filled extends Lists {
  readonly rows: ReadonlyMap<NewRow, Row>
}

/**
 * Stores a row and those made of it: what lies inside of its document in one step with it, by one operation on one
 * document; documents of their own one after the other, and back when one fails.
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
  const stored = await owner.create(row, async (made) => {
    others = dependents(made)
    const filled = await fillLists(layout, made, others, rowsOf)
    inside = filled.rows
    return filled
  })
  const outside = others.filter((other) => !inside.has(other))
  const added = await addSequentially(adapter, [layout.model, stored], () => outside)
  // one or the other
  return [stored, ...others.map((other) => inside.get(other) ?? (added[outside.indexOf(other)] as Row))]
}

async function fillLists (
  { model, primaryKey }: Layout,
  owner: Row,
  others: readonly NewRow[],
  rowsOf: RowsOf
): Promise<Filled> {
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
    const { element, stored } = await inList.elementOf(row)
    takeValues(inList.layout, stored, taken)
    const { list } = inList.layout.embedded
    lists[list] = [...(lists[list] ?? []), element]
    layouts.add(inList.layout)
    rows.set(other, stored)
  }
  return { lists, layouts: [...layouts], rows }
}

/**
 * Throws `FST_USERS_UNIQUE_VIOLATION` for values that another row of the document has: an index sees to other
 * documents, and not to one and the same.
 */
function takeValues (layout: Layout, row: Row, taken: Set<string>): void {
  for (const fields of [[layout.primaryKey], ...groupsOf(layout)]) {
    const keys = fields.map(({ field }) => keyOf(row[field], false))
    const value = JSON.stringify([layout.model.name, ...fields.map(({ field }) => field), ...keys])
    if (keys.includes(null)) continue
    if (taken.has(value)) throw violation(fields)
    taken.add(value)
  }
}
