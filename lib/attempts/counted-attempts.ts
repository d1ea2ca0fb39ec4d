import type { Attempt, AttemptCheck, AttemptKind, Attempts, AttemptSource } from '../contracts/attempts.js'
import type { EventContext } from '../contracts/events.js'
import type { LimitSettings } from '../contracts/limits.js'
import type { User, UserRow } from '../contracts/user.js'
import type { Background } from '../hooks/index.js'
import type { AccountCounter, AccountCounters } from './account-counters.js'
import { attemptEmailOf, checkAttempt, eventOf, type AttemptParts } from './attempts.js'
import { clientOf } from './client-address.js'
import { windowsOnly, type Counted, type Counting, type KeyOf } from './counting.js'

/** The services that counted attempts need. */
export interface CountedParts extends AttemptParts {
  readonly limits: LimitSettings
  readonly counting: Counting
  readonly accounts: AccountCounters
  readonly allowMail: Attempts['allowMail']
  readonly background: Background
  readonly keyOf: KeyOf
  toUser(row: UserRow): User
}

/** The counted attempt of an account. */
interface CountedAccount {
  readonly counter: AccountCounter
  readonly email: string
  readonly counted: Counted
}

/** The account counters by kind. */
const COUNTER_OF: Readonly<Record<string, AccountCounter>> = {
  login: 'login',
  loginStep: 'step',
  secondFactor: 'step',
  currentPassword: 'session'
}

/** Creates attempts that are counted per client and per account. */
export function createCountedAttempts (parts: CountedParts): Attempts {
  const { accounts, background, hooks, canonicalEmail } = parts
  const checks: AttemptCheck[] = []
  const completed = new WeakSet<object>()
  return {
    checks,

    async begin (kind, source) {
      const client = await countClient(parts, kind, source)
      const email = await attemptEmailOf(source, canonicalEmail)
      const account = await countAccount(parts, source.isCode === true ? 'code' : COUNTER_OF[kind], email)
      const event = eventOf(source, email, account?.counted.before.failures ?? null)
      try {
        await checkAttempt(hooks, checks, kind, event, source)
      } catch (error) {
        // a stranger who fails the captcha must not use up the attempts of the account
        if (account !== null) background.run(() => parts.counting.undo(account.counted), source.context.reply)
        throw error
      }
      return createReporter({ ...parts, completed }, source.context, client, account)
    },

    forget (email, { reply }) {
      if (reply !== null) completed.add(reply)
      background.run(() => accounts.clear('login', canonicalEmail(email)), reply)
    },
    unlock: (email) => accounts.unlock(canonicalEmail(email)),
    allowMail: parts.allowMail
  }
}

async function countClient (
  { limits, counting, keyOf }: CountedParts,
  kind: AttemptKind,
  { context: { request } }: AttemptSource
): Promise<Counted | null> {
  const list = limits.client[kind] ?? limits.client.other ?? []
  if (request === null || list.length === 0) return null
  return await counting.take('client', keyOf('client', kind, clientOf(request.ip)), windowsOnly(list))
}

async function countAccount (
  { accounts }: CountedParts,
  counter: AccountCounter | undefined,
  email: string | null
): Promise<CountedAccount | null> {
  if (counter === undefined || email === null) return null
  return { counter, email, counted: await accounts.take(counter, email) }
}

/**
 * Returns the functions that report the outcome of an attempt. The counters of a client only forget this attempt.
 * `completed` has the replies of complete logins, whose account forgets all attempts anyway.
 */
function createReporter (
  { accounts, counting, background, hooks, limits, toUser, completed }: CountedParts & { completed: WeakSet<object> },
  context: EventContext,
  client: Counted | null,
  account: CountedAccount | null
): Attempt {
  const later = (work: () => Promise<unknown>): void => {
    background.run(work, context.reply)
  }
  return {
    succeeded () {
      if (client !== null) later(() => counting.undo(client))
      if (account === null) return
      const { counter, email, counted } = account
      // a login may still need a step, so its failures are forgotten when it is complete
      later(async () => {
        if (counter !== 'login') await accounts.clear(counter, email)
        else if (context.reply === null || !completed.has(context.reply)) await counting.undo(counted)
      })
    },
    async failed (row) {
      if (account === null || !(await accounts.fail(account.counter, account.email, account.counted))) return
      if (row === null || !row.is_active) return
      const payload = { user: toUser(row), failures: limits.account.stopAfter }
      later(() => hooks.run('onAccountLocked', payload, context))
    },
    undo () {
      if (account !== null) later(() => counting.undo(account.counted))
    }
  }
}
