import type { DatabaseAdapter, Dependents, NewRow, Row, StoredRows } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { storeUnavailable } from '../../errors.js'
import { primaryKeyOf } from './model-registry.js'

type Store = Pick<DatabaseAdapter, 'create' | 'delete'>

/**
 * Stores a row and its dependent rows one after the other, for stores without transactions. Throws as
 * `addSequentially` does.
 */
export async function createSequentially (
  store: Store,
  model: Model,
  row: Row,
  dependents: Dependents
): Promise<StoredRows> {
  const stored = await store.create(model, row)
  return [stored, ...(await addSequentially(store, [model, stored], () => dependents(stored)))]
}

/**
 * Stores the rows that depend on a stored row. If one fails, deletes all of them in reverse order, and the stored row
 * too. Throws `FST_USERS_STORE_UNAVAILABLE` if they cannot be deleted.
 */
export async function addSequentially (store: Store, first: NewRow, others: () => readonly NewRow[]): Promise<Row[]> {
  const added: NewRow[] = []
  try {
    for (const [model, row] of others()) added.push([model, await store.create(model, row)])
  } catch (error) {
    await rollBack(store, [first, ...added])
    throw error
  }
  return added.map(([, row]) => row)
}

async function rollBack (store: Store, rows: readonly NewRow[]): Promise<void> {
  try {
    for (const [model, row] of rows.toReversed()) {
      const { name } = primaryKeyOf(model)
      await store.delete(model, { [name]: row[name] as string | number }) // a key
    }
  } catch (failure) {
    throw storeUnavailable(failure)
  }
}
