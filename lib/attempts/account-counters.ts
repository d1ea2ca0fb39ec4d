import type { AccountRule } from '../contracts/limits.js'
import type { Clock } from '../contracts/settings.js'
import { NO_ATTEMPTS, takeAttempt, type CounterRule } from './counter-state.js'
import type { Counters } from './counters.js'
import type { Counted, Counting, KeyOf } from './counting.js'
import type { StopRecord } from './stop-record.js'

/**
 * A counter of an account: `login` for passwords, `step` for second factors, `session` for current passwords, `code`
 * for codes from mails. A failure of the last three counts as a failed login too, because it may be a guess of the
 * password or of a code. A failed login does not count for them: a stranger's wrong passwords must not block a person
 * who has a first factor, a session or a mailed code.
 */
export type AccountCounter = 'login' | 'step' | 'session' | 'code'

const COUNTERS: readonly AccountCounter[] = ['login', 'step', 'session', 'code']

/** The failed attempts of accounts, existing or not. E-mails are in the form in which they are compared. */
export interface AccountCounters {
  /** Counts an attempt. Throws `FST_USERS_TOO_MANY_ATTEMPTS`. */
  take(counter: AccountCounter, email: string): Promise<Counted>
  /** Counts a failure of any counter as a failed login. Returns true if it is the last allowed one in a row. */
  fail(counter: AccountCounter, email: string, counted: Counted): Promise<boolean>
  /** Forgets the failures of one counter. */
  clear(counter: AccountCounter, email: string): Promise<void>
  /** Forgets all failures and the stop. */
  unlock(email: string): Promise<void>
}

interface AccountCounterParts {
  readonly account: AccountRule
  readonly counting: Counting
  readonly counters: Counters
  /** The record that keeps stops if the counters are lost; null without such a record. */
  readonly stops: StopRecord | null
  readonly clock: Clock
  readonly keyOf: KeyOf
}

export function createAccountCounters (parts: AccountCounterParts): AccountCounters {
  const { account, counting, counters, stops, clock, keyOf } = parts
  const keyOfCounter = (counter: AccountCounter, email: string): string => keyOf('account', counter, email)
  // the stop concerns passwords; for codes and the answers to login steps, only the delays grow
  const ruleOf = (counter: AccountCounter): CounterRule =>
    counter === 'step' || counter === 'code' ? { ...account, stopAfter: Infinity } : account

  /** Restores a stop that the counters have lost. Returns true if there was one. */
  async function restoreStop (email: string): Promise<boolean> {
    if (stops === null || !(await stops.has(email))) return false
    const stopped = { ...NO_ATTEMPTS, failures: account.stopAfter, last: clock() }
    await counting.set(keyOfCounter('login', email), account, stopped)
    return true
  }

  return {
    async take (counter, email) {
      const take = (): Promise<Counted> => counting.take('account', keyOfCounter(counter, email), ruleOf(counter))
      const counted = await take()
      const isNew = counter === 'login' && counted.before.last === 0
      return isNew && (await restoreStop(email)) ? await take() : counted
    },

    async fail (counter, email, { at, before }) {
      if (counter === 'login') {
        if (before.failures + 1 !== account.stopAfter) return false
      } else {
        const failures = await counters.change(keyOfCounter('login', email), account, (stored) => {
          const { state } = takeAttempt(stored, account, at, true)
          return { state, result: state.failures }
        })
        if (failures !== account.stopAfter) return false
      }
      await stops?.add(email)
      return true
    },

    clear: (counter, email) => counting.set(keyOfCounter(counter, email), account, NO_ATTEMPTS),

    async unlock (email) {
      const cleared = COUNTERS.map((counter) => counting.set(keyOfCounter(counter, email), account, NO_ATTEMPTS))
      await Promise.all([...cleared, stops?.remove(email)])
    }
  }
}
