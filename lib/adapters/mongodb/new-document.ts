import type { DatabaseAdapter, NewRow, Row } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { comparisonKeyOf } from '../shared/compare.js'
import { rollBackOnError } from '../shared/create-sequentially.js'
import { positionOf, resolveRow } from '../shared/row-references.js'
import type { MongoDocument } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { type Layout, uniqueGroupsOf } from './layout.js'
import { duplicateFieldsError, type ModelRows } from './model-rows.js'
import { type EmbeddedLists, SeparateRows } from './separate-rows.js'

type RowsOf = (model: Model) => ModelRows

/** The stored rows by their position in the list. Rows that are not stored yet are undefined. */
type StoredRows = (Row | undefined)[]

/**
 * Stores rows in their order. A row that belongs in an array of a new document is inserted together with that document,
 * in one atomic operation. Separate documents are inserted one after the other; if one fails, all are deleted again.
 */
export async function createDocuments (
  adapter: DatabaseAdapter,
  rows: readonly NewRow[],
  rowsOf: RowsOf
): Promise<Row[]> {
  return await rollBackOnError(adapter, async (added) => {
    let stored: StoredRows = []
    for (const [position, [model]] of rows.entries()) {
      if (stored[position] !== undefined) continue // the row is in an array of an earlier document
      const target = rowsOf(model)
      const row = resolveRow(rows, position, stored)
      let filled = stored
      const created =
        target instanceof SeparateRows
          ? await target.create(row, async (owner) => {
            filled = replaceRow(stored, position, owner)
            return await fillLists(target.layout, position, { rows, stored: filled, rowsOf })
          })
          : await target.create(row)
      stored = replaceRow(filled, position, created)
      added.push([model, created])
    }
    return stored as Row[] // the loop has filled each position
  })
}

/** Builds the arrays of the document of the row at `position`, and adds their rows to `stored`. */
async function fillLists (
  { model, primaryKey }: Layout,
  position: number,
  { rows, stored, rowsOf }: { rows: readonly NewRow[]; stored: StoredRows; rowsOf: RowsOf }
): Promise<EmbeddedLists> {
  const lists: Record<string, MongoDocument[]> = {}
  const layouts = new Set<ListLayout>()
  const taken = new Set<string>()
  const ownerId = stored[position]?.[primaryKey.field]
  for (const [other, [otherModel, given]] of rows.entries()) {
    const inList = other > position ? rowsOf(otherModel) : undefined
    if (!(inList instanceof EmbeddedRows) || inList.layout.embedded.owner.model.name !== model.name) continue
    if (refersToMissingRow(given, stored)) continue
    const row = resolveRow(rows, other, stored)
    if (row['user_id'] !== ownerId) continue
    const built = await inList.buildElement(row)
    checkUniqueInDocument(inList.layout, built.stored, taken)
    const { list } = inList.layout.embedded
    lists[list] = [...(lists[list] ?? []), built.element]
    layouts.add(inList.layout)
    stored[other] = built.stored
  }
  return { lists, layouts: [...layouts] }
}

function replaceRow (stored: StoredRows, position: number, row: Row): StoredRows {
  const copy = [...stored]
  copy[position] = row
  return copy
}

function refersToMissingRow (row: Row, stored: StoredRows): boolean {
  return Object.values(row).some((value) => {
    const position = positionOf(value)
    return position !== undefined && stored[position] === undefined
  })
}

/**
 * Throws `FST_USERS_UNIQUE_VIOLATION` for duplicates in one document. A unique index of MongoDB compares different
 * documents only.
 */
function checkUniqueInDocument (layout: Layout, row: Row, taken: Set<string>): void {
  for (const fields of [[layout.primaryKey], ...uniqueGroupsOf(layout)]) {
    const keys = fields.map(({ field }) => comparisonKeyOf(row[field], false))
    const value = JSON.stringify([layout.model.name, ...fields.map(({ field }) => field), ...keys])
    if (keys.includes(null)) continue
    if (taken.has(value)) throw duplicateFieldsError(fields)
    taken.add(value)
  }
}
