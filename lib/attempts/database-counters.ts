import { deleteExpired } from '../adapters/shared/delete-expired.js'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { CounterStore } from '../contracts/limits.js'
import type { Clock } from '../contracts/settings.js'
import { hasErrorCode } from '../errors.js'
import { counterModel as model } from './counter-model.js'

/** The services that counters in the database need. */
export interface DatabaseCounterParts {
  readonly store: DatabaseAdapter
  readonly clock: Clock
  background(work: () => Promise<unknown>): void
}

const PURGE_EVERY_MS = 60_000

/**
 * Creates a store in the database. A change is one write with the former text as its condition. The first attempt for a
 * key inserts a row; the primary key decides between processes.
 */
export function createDatabaseCounters ({ store, clock, background }: DatabaseCounterParts): CounterStore {
  let purged = clock()

  async function read (key: string): Promise<string | null> {
    return ((await store.findOne(model, { id: key }))?.value as string | undefined) ?? null
  }

  async function write (key: string, expected: string | null, next: string | null, expires: Date): Promise<boolean> {
    if (next === null) return (await store.delete(model, { id: key, value: expected })) === 1
    const changes = { value: next, expires_at: expires }
    return expected === null
      ? await insertCounter(store, { id: key, ...changes })
      : (await store.update(model, { id: key, value: expected }, changes)) === 1
  }

  return {
    async swap (key, expected, next, lifetimeMs) {
      const now = clock()
      if (now - purged >= PURGE_EVERY_MS) {
        purged = now
        background(() => deleteExpired(store, model, 'expires_at', new Date(now)))
      }
      if (next !== expected && (await write(key, expected, next, new Date(now + lifetimeMs)))) return null
      const current = await read(key)
      return next === expected && current === expected ? null : { current }
    }
  }
}

/** Returns false if the row exists already. */
async function insertCounter (store: DatabaseAdapter, row: Record<string, unknown>): Promise<boolean> {
  try {
    await store.create(model, row)
    return true
  } catch (error) {
    if (hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) return false
    throw error
  }
}
