import type { IdValue } from '../../schemas/index.js'
import type { DatabaseAdapter, Where } from '../contracts/database-adapter.js'
import type { Model } from '../contracts/models.js'
import type { UserId } from '../contracts/user.js'
import { parseJson } from '../shared/json.js'
import { isObject } from '../shared/values.js'
import type { UserCache } from './user-cache.js'

/** The users and the sessions that a write changes; `all` if the conditions of the write do not name them. */
export type CacheChange = { readonly users: readonly IdValue[]; readonly sessions: readonly string[] } | 'all'

/** Names of the models whose rows the cache keeps. */
export interface CachedModels {
  readonly user: string
  readonly session: string
}

/**
 * Largest number of keys that one change names. A larger write, such as the deletion of expired sessions, counts as
 * `all`.
 */
const MAX_KEYS = 100
/** Largest text of a change in bytes. PostgreSQL accepts payloads of less than 8000 bytes. */
const MAX_BYTES = 7900

/** Returns what a write to the rows of a model changes; null for models that the cache does not keep. */
export function changeOf (
  { name }: Model,
  where: Where,
  models: CachedModels,
  cache: UserCache
): CacheChange | null {
  if (name === models.user) return changeOfUsers(where['id'], cache)
  if (name !== models.session) return null
  // sessions of a changed user are read again
  if (where['user_id'] !== undefined) return changeOfUsers(where['user_id'], cache)
  const tokens = conditionValuesOf(where['token'])
  if (tokens === null || !tokens.every((token) => typeof token === 'string')) return 'all'
  return { users: [], sessions: tokens.map((token) => cache.sessionKeyOf(token)) }
}

/** Removes the changed rows from the cache. */
export function applyChange (cache: UserCache, change: CacheChange): void {
  if (change === 'all') {
    cache.forgetAll()
    return
  }
  for (const id of change.users) cache.forgetUser(id as UserId) // an unknown id changes nothing
  for (const key of change.sessions) cache.forgetSession(key)
}

/** Returns the text that reports a change to other processes. */
export function textOfChange (change: CacheChange): string {
  const text = JSON.stringify(change)
  return Buffer.byteLength(text) > MAX_BYTES ? JSON.stringify('all') : text
}

/** Returns the change that a text reports; `all` for a text of any other form. */
export function readChange (text: string): CacheChange {
  const value = text.length > MAX_BYTES ? null : parseJson(text)
  if (!isObject(value)) return 'all'
  const { users, sessions } = value
  return isListOf(users, isId) && isListOf(sessions, isString) ? { users, sessions } : 'all'
}

/** Returns the change of users with these ids; `all` if an id does not have the canonical form of the cache. */
function changeOfUsers (condition: Where[string] | undefined, cache: UserCache): CacheChange {
  const ids = conditionValuesOf(condition)
  return ids !== null && ids.every((id) => isId(id) && cache.parseId(String(id)) === id)
    ? { users: ids as readonly IdValue[], sessions: [] } // all values are ids
    : 'all'
}

/** Returns the values that a condition names; null for other conditions and for too many values. */
function conditionValuesOf (condition: Where[string] | undefined): readonly unknown[] | null {
  if (!isObject(condition)) return [condition]
  const { in: list } = condition
  return Array.isArray(list) && list.length <= MAX_KEYS ? list : null
}

function isListOf<T> (value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.length <= MAX_KEYS && value.every(isItem)
}

function isId (value: unknown): value is IdValue {
  return typeof value === 'string' || typeof value === 'number'
}

function isString (value: unknown): value is string {
  return typeof value === 'string'
}

/**
 * Returns the store. If a write may have changed cached rows, they are removed from the cache, and `report` is called.
 * The rows are also removed before the write, because a write that never returns may have happened. A write in a
 * transaction of the application is reported before the commit, so later requests may use the old row until `maxAgeMs`
 * has passed.
 */
export function reportingStore<S extends DatabaseAdapter> (
  store: S,
  models: CachedModels,
  cache: UserCache,
  report: (change: CacheChange) => Promise<void>
): S {
  async function write (model: Model, where: Where, work: () => Promise<number>): Promise<number> {
    const change = changeOf(model, where, models, cache)
    if (change === null) return await work()
    applyChange(cache, change)
    let changed: number | undefined
    try {
      changed = await work()
      return changed
    } finally {
      applyChange(cache, change)
      if (changed !== 0) await report(change)
    }
  }
  const { within } = store
  return {
    ...store,
    update: (model, where, changes) => write(model, where, () => store.update(model, where, changes)),
    delete: (model, where) => write(model, where, () => store.delete(model, where)),
    ...(within === undefined
      ? {}
      : { within: (transaction: unknown) => reportingStore(within.call(store, transaction), models, cache, report) })
  }
}
