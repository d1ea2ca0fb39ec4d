import type { Limit } from '../contracts/limits.js'
import type { Clock } from '../contracts/settings.js'
import { takeAttempt, undoAttempt, type CounterRule, type CounterState } from './counter-state.js'
import type { Counters } from './counters.js'
import { tooManyAttempts } from './refusal.js'

/** Returns the key of a counter: a digest, so that the store contains neither e-mails nor IP addresses. */
export type KeyOf = (...parts: readonly string[]) => string

/** A counted attempt, with what is needed to undo it. */
export interface Counted {
  readonly key: string
  readonly rule: CounterRule
  readonly at: number
  readonly before: CounterState
}

/** Counts attempts at the present time. */
export interface Counting {
  /** Counts an attempt. Throws `FST_USERS_TOO_MANY_ATTEMPTS` if a limit refuses it. */
  take(policy: 'client' | 'account', key: string, rule: CounterRule): Promise<Counted>
  undo(counted: Counted): Promise<void>
  /** Replaces the state of a counter. */
  set(key: string, rule: CounterRule, state: CounterState): Promise<void>
}

export function createCounting (counters: Counters, clock: Clock): Counting {
  return {
    async take (policy, key, rule) {
      const at = clock()
      const { refusal, before } = await counters.change(key, rule, (stored) => {
        const result = takeAttempt(stored, rule, at)
        return { state: result.state, result }
      })
      if (refusal !== null) throw tooManyAttempts(policy, refusal)
      return { key, rule, at, before }
    },
    undo: ({ key, rule, at, before }) =>
      counters.change(key, rule, (state) => ({ state: undoAttempt(state, at, before), result: undefined })),
    set: (key, rule, state) => counters.change(key, rule, () => ({ state, result: undefined }))
  }
}

/** Returns the rule of a counter that only has windows. */
export function windowsOnly (limits: readonly Limit[]): CounterRule {
  return { limits, delay: null, stopAfter: null }
}
