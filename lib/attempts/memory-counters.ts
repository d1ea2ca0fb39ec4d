import type { CounterStore } from '../contracts/limits.js'
import type { Clock } from '../contracts/settings.js'

/** Largest number of counters in memory, about 20 MB. The oldest ones are deleted first. */
const MAX_COUNTERS = 100_000

/** Creates a store in the memory of this process. */
export function createMemoryCounters (clock: Clock, max = MAX_COUNTERS): CounterStore & { readonly size: number } {
  const texts = new Map<string, { text: string; expires: number }>()

  function read (key: string): string | null {
    const stored = texts.get(key)
    return stored === undefined || stored.expires <= clock() ? null : stored.text
  }

  return {
    get size () {
      return texts.size
    },
    swap (key, expected, next, lifetimeMs) {
      const current = read(key)
      if (current !== expected) return { current }
      if (next === expected) return null
      texts.delete(key)
      if (next !== null) texts.set(key, { text: next, expires: clock() + lifetimeMs })
      const [oldest] = texts.size > max ? texts.keys() : []
      if (oldest !== undefined) texts.delete(oldest)
      return null
    }
  }
}
