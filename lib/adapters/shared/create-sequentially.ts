import type { DatabaseAdapter, NewRow, Row } from '../../contracts/database-adapter.js'
import { storeUnavailable } from '../../errors.js'
import { primaryKeyOf } from './model-registry.js'
import { resolveRow } from './row-references.js'

type Store = Pick<DatabaseAdapter, 'create' | 'delete'>

/**
 * Stores rows one after the other, for stores without transactions. If one fails, deletes all of them in reverse order.
 * Throws `FST_USERS_STORE_UNAVAILABLE` if they cannot be deleted.
 */
export async function createSequentially (store: Store, rows: readonly NewRow[]): Promise<Row[]> {
  return await rollBackOnError(store, async (added) => {
    const stored: Row[] = []
    for (const [position, [model]] of rows.entries()) {
      const row = await store.create(model, resolveRow(rows, position, stored))
      stored.push(row)
      added.push([model, row])
    }
    return stored
  })
}

/** Runs work that stores rows and appends them to `added`. If it fails, deletes these rows in reverse order. */
export async function rollBackOnError<T> (store: Store, work: (added: NewRow[]) => Promise<T>): Promise<T> {
  const added: NewRow[] = []
  try {
    return await work(added)
  } catch (error) {
    await deleteRows(store, added)
    throw error
  }
}

/** Deletes stored rows in reverse order. Throws `FST_USERS_STORE_UNAVAILABLE` if that fails. */
export async function deleteRows (store: Store, rows: readonly NewRow[]): Promise<void> {
  try {
    for (const [model, row] of rows.toReversed()) {
      const { name } = primaryKeyOf(model)
      await store.delete(model, { [name]: row[name] as string | number }) // primary keys are text or numbers
    }
  } catch (failure) {
    throw storeUnavailable(failure)
  }
}
