import type { CounterStore } from '../contracts/limits.js'
import { storeUnavailable } from '../errors.js'
import { decodeState, encodeState, lifetimeOf, type CounterRule, type CounterState } from './counter-state.js'

/** Returns the next state of a counter, and a result for the caller. It may be called several times. */
export type Transition<T> = (state: CounterState) => { state: CounterState; result: T }

/** Counters that several processes change at the same time. */
export interface Counters {
  /** Changes a counter atomically and returns the result of the transition. */
  change<T>(key: string, rule: CounterRule, transition: Transition<T>): Promise<T>
}

interface Job {
  readonly rule: CounterRule
  readonly transition: Transition<unknown>
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** Number of texts that are remembered, so that most changes need one call of the store. */
const MAX_KNOWN = 10_000
/** Number of times that other processes may change a counter first. Each time, at least one of them has succeeded. */
const MAX_TRIES = 100

/**
 * Creates counters in a store. Simultaneous changes of one counter in this process are written together. A change by
 * another process in between is noticed by the store, and the transitions run again on the new state.
 */
export function createCounters (store: CounterStore): Counters {
  const waiting = new Map<string, Job[]>()
  const known = new Map<string, string>()

  function remember (key: string, text: string | null): void {
    known.delete(key)
    if (text !== null) known.set(key, text)
    const [oldest] = known.size > MAX_KNOWN ? known.keys() : []
    if (oldest !== undefined) known.delete(oldest)
  }

  /** Writes the changes of a batch in one call of the store, and returns their results. */
  async function write (key: string, jobs: readonly Job[]): Promise<readonly unknown[]> {
    let expected = known.get(key) ?? null
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let state = decodeState(expected)
      let lifetimeMs = 0
      const results: unknown[] = []
      for (const { rule, transition } of jobs) {
        const changed = transition(state)
        state = changed.state
        lifetimeMs = Math.max(lifetimeMs, lifetimeOf(state, rule))
        results.push(changed.result)
      }
      const next = encodeState(state)
      const conflict = await store.swap(key, expected, next, lifetimeMs)
      remember(key, conflict === null ? next : conflict.current)
      if (conflict === null) return results
      expected = conflict.current
    }
    throw storeUnavailable('a counter changed too often')
  }

  async function runAll (key: string, jobs: Job[]): Promise<void> {
    while (jobs.length > 0) {
      const batch = jobs.splice(0)
      try {
        const results = await write(key, batch)
        for (const [i, job] of batch.entries()) job.resolve(results[i])
      } catch (error) {
        known.delete(key)
        for (const job of batch) job.reject(error)
      }
    }
    waiting.delete(key)
  }

  return {
    change: <T>(key: string, rule: CounterRule, transition: Transition<T>) =>
      new Promise<T>((resolve, reject) => {
        // the result of this transition is resolved
        const job: Job = { rule, transition, resolve: resolve as (result: unknown) => void, reject }
        const queue = waiting.get(key)
        if (queue !== undefined) {
          queue.push(job)
          return
        }
        const jobs = [job]
        waiting.set(key, jobs)
        runAll(key, jobs).catch(reject) // it passes errors to the jobs itself
      })
  }
}
