import type { DatabaseAdapter, NewRow } from '../contracts/database-adapter.js'
import type { StoredUserRows, UserDependents } from '../contracts/external-user.js'
import { createSequentially, deleteRows } from '../adapters/shared/create-sequentially.js'
import { FST_USERS_REGISTER_USER_ALREADY_EXISTS, isUsersError, type UsersError } from '../errors.js'

/** Error codes of stores for a text that is longer than its column. */
const TOO_LONG_CODES: ReadonlySet<string> = new Set(['FST_USERS_TABLE_MISMATCH', 'FST_USERS_INVALID_USER'])

/**
 * Stores a user and its dependent rows, atomically if the store can. Returns null, and stores nothing, if a dependent
 * row exists already. Throws `FST_USERS_REGISTER_USER_ALREADY_EXISTS` if the e-mail is taken.
 */
export async function insertWithDependents (
  store: DatabaseAdapter,
  user: NewRow,
  { rows, shorter }: UserDependents
): Promise<StoredUserRows | null> {
  try {
    return await insertUnique(store, [user, ...rows])
  } catch (error) {
    if (!isUsersError(error)) throw error
    if (shorter !== undefined && TOO_LONG_CODES.has(error.code)) {
      return await insertWithDependents(store, user, { rows: shorter })
    }
    if (error.fields?.includes('email') === true) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
    if (isDuplicateOf(rows, error)) return null
    throw error
  }
}

async function insertUnique (store: DatabaseAdapter, rows: readonly NewRow[]): Promise<StoredUserRows | null> {
  const stored = await (store.createAll?.(rows) ?? createSequentially(store, rows))
  const added = rows.map(([model], position): NewRow => [model, stored[position] ?? {}])
  let areUnique = false
  try {
    areUnique = await haveNoDuplicates(store, added.slice(1))
  } finally {
    if (!areUnique) await deleteRows(store, added)
  }
  return areUnique ? (stored as unknown as StoredUserRows) : null // the first row is of the user model
}

/** Checks that no other rows have the same unique values, which is possible in an existing table without the index. */
async function haveNoDuplicates (store: DatabaseAdapter, rows: readonly NewRow[]): Promise<boolean> {
  for (const [model, row] of rows) {
    for (const fields of model.unique ?? []) {
      if (fields.some((field) => row[field] === null)) continue
      // fields of unique indexes never contain JSON
      const where = Object.fromEntries(fields.map((field) => [field, row[field] as string]))
      if ((await store.findMany(model, where, { limit: 2 })).length > 1) return false
    }
  }
  return true
}

/** Returns true if the unique index that caused the error is one of these rows' models. */
function isDuplicateOf (rows: readonly NewRow[], { code, fields }: UsersError): boolean {
  if (code !== 'FST_USERS_UNIQUE_VIOLATION') return false
  return rows.some(([model]) => fields?.every((field) => Object.hasOwn(model.fields, field)) !== false)
}
