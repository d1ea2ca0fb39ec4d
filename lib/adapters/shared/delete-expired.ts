import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DatabaseAdapter, Row } from '../../contracts/database-adapter.js'
import type { Model, Value } from '../../contracts/models.js'

/** Rows that one statement deletes: few enough that it locks the table for milliseconds only. */
const BATCH = 1000

/**
 * Deletes all rows whose time field lies before this time, in batches between which other work gets its turn. Returns
 * their number. Stops after the batch during which `isStopped` becomes true.
 */
export async function deleteExpired (
  store: DatabaseAdapter,
  model: Model,
  field: string,
  before: Date,
  isStopped: () => boolean = () => false
): Promise<number> {
  const [key = ''] = Object.keys(model.fields)
  const expired = { [field]: { lt: before } }
  let deleted = 0
  let rows: Row[]
  let after: Row | undefined
  do {
    rows = await store.findMany(model, expired, {
      limit: BATCH,
      order: field,
      ...(after === undefined ? {} : { after })
    })
    after = rows.at(-1) // progress, also when another process deletes the same rows
    if (rows.length > 0) {
      deleted += await store.delete(model, { [key]: { in: rows.map((row) => row[key] as Value) }, ...expired })
    } // keys are values
    await nextTurn() // some stores answer at once
  } while (rows.length === BATCH && !isStopped())
  return deleted
}
