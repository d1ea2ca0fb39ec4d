import type { RequestedMail } from '../contracts/attempts.js'
import type { LimitSettings } from '../contracts/limits.js'
import type { Clock } from '../contracts/settings.js'
import { takeAttempt, type CounterRule, type CounterState } from './counter-state.js'
import type { Counters } from './counters.js'
import { windowsOnly, type KeyOf } from './counting.js'

interface MailLimitParts {
  readonly mail: LimitSettings['mail']
  readonly counters: Counters
  readonly clock: Clock
  readonly keyOf: KeyOf
  canonicalEmail(email: string): string
  /** Called if the limit of all mails refuses one. */
  onExhausted(purpose: string): void
}

interface Counted {
  /** The mail was counted without regard to the limits. */
  readonly isForced: boolean
  readonly isAllowed: boolean
}

/** Returns the function that counts a mail, first for its recipient, then for all recipients. */
export function createMailLimit (
  { mail, counters, clock, keyOf, canonicalEmail, onExhausted }: MailLimitParts
): (requested: RequestedMail) => Promise<boolean> {
  const recipientRule = windowsOnly(mail.recipient)
  const allRule = windowsOnly(mail.all)

  function count (key: string, rule: CounterRule, force: (state: CounterState) => boolean): Promise<Counted> {
    const now = clock()
    return counters.change(key, rule, (stored) => {
      const isForced = force(stored)
      const { state, refusal } = takeAttempt(stored, rule, now, isForced)
      return { state, result: { isForced, isAllowed: refusal === null } }
    })
  }

  return async function allowMail ({ purpose, email, alwaysAfterSeconds = Infinity }) {
    const key = keyOf('mail', purpose, canonicalEmail(email))
    const isNeeded = ({ last }: CounterState): boolean => clock() - last >= alwaysAfterSeconds * 1000
    const recipient = await count(key, recipientRule, isNeeded)
    if (!recipient.isAllowed) return false
    const all = await count(keyOf('mail', purpose), allRule, () => recipient.isForced)
    if (!all.isAllowed) onExhausted(purpose)
    return all.isAllowed
  }
}
