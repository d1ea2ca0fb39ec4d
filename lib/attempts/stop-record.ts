import type { CounterStore } from '../contracts/limits.js'

/**
 * The accounts whose password is refused until a reset, stored apart from the counters. A Redis server can lose its
 * data; then the counters begin again, but the stops stay.
 */
export interface StopRecord {
  has(email: string): Promise<boolean>
  add(email: string): Promise<void>
  remove(email: string): Promise<void>
}

const STOP = 'stop'
const STOPPED_MS = 3650 * 86_400_000

/** Creates the record in a store of counters. */
export function createStopRecord (store: CounterStore, keyOf: (...parts: readonly string[]) => string): StopRecord {
  const keyOfStop = (email: string): string => keyOf('stop', email)
  return {
    async has (email) {
      return (await store.swap(keyOfStop(email), STOP, STOP, STOPPED_MS)) === null
    },
    async add (email) {
      await store.swap(keyOfStop(email), null, STOP, STOPPED_MS)
    },
    async remove (email) {
      await store.swap(keyOfStop(email), STOP, null, STOPPED_MS)
    }
  }
}
