import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DatabaseAdapter, Row } from '../../contracts/database-adapter.js'
import type { Model, Value } from '../../contracts/models.js'

/** Number of rows that one statement deletes. A batch of this size locks the table only for milliseconds. */
const BATCH = 1000

/**
 * Deletes all rows whose time field is before `before`, and returns their number. Lets other work run between batches,
 * and stops after the batch during which `isStopped` becomes true.
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
    after = rows.at(-1) // continues behind these rows even if another process deletes them
    if (rows.length > 0) {
      deleted += await store.delete(model, { [key]: { in: rows.map((row) => row[key] as Value) }, ...expired })
    }
    await nextTurn() // some adapters are synchronous, so let other work run
  } while (rows.length === BATCH && !isStopped())
  return deleted
}
