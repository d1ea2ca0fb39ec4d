import cluster from 'node:cluster'
import { createHmac } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Attempts } from '../contracts/attempts.js'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { CounterStore, LimitSettings } from '../contracts/limits.js'
import type { Settings } from '../contracts/settings.js'
import type { User, UserRow } from '../contracts/user.js'
import { hasErrorCode } from '../errors.js'
import type { Background } from '../hooks/index.js'
import { createAccountCounters } from './account-counters.js'
import type { AttemptParts } from './attempts.js'
import { createCountedAttempts } from './counted-attempts.js'
import { createCounters, type Counters } from './counters.js'
import { createCounting, type KeyOf } from './counting.js'
import { createDatabaseCounters } from './database-counters.js'
import { createMailLimit } from './mail-limit.js'
import { createMemoryCounters } from './memory-counters.js'
import { createStopRecord } from './stop-record.js'

/** The services with which the attempts of a registration start. */
export interface StartParts extends AttemptParts {
  readonly app: FastifyInstance
  readonly settings: Settings
  readonly limits: LimitSettings
  readonly store: DatabaseAdapter
  readonly background: Background
  /** The key from which the keys of the counters are derived. */
  readonly secret: string
  toUser(row: UserRow): User
}

const LOG_EVERY_MS = 60_000

/** Starts the counters of a registration. */
export function startAttempts (parts: StartParts): Attempts {
  const { app, settings, limits, store, background, secret } = parts
  const { clock } = settings
  const keyOf: KeyOf = (...texts) => createHmac('sha256', secret).update(JSON.stringify(texts)).digest('base64url')
  const inDatabase = createDatabaseCounters({ store, clock, background: background.run })
  const counters = startCounters(parts, inDatabase)
  const counting = createCounting(counters, clock)
  const hasOwnStore = typeof limits.store !== 'string'
  const stops = hasOwnStore && limits.hasTable ? createStopRecord(inDatabase, keyOf) : null
  const warn = createRareLog(clock, (purpose: string) => {
    app.log.warn({ purpose }, 'fastify-users: limits.mail.all is reached: mails of this kind are not sent')
  })
  return createCountedAttempts({
    ...parts,
    counting,
    keyOf,
    accounts: createAccountCounters({ account: limits.account, counting, counters, stops, clock, keyOf }),
    allowMail: createMailLimit({ ...parts, mail: limits.mail, counters, clock, keyOf, onExhausted: warn })
  })
}

/** Creates the counters in their store. If that store fails, they refuse attempts, or count in memory meanwhile. */
function startCounters ({ app, settings, limits }: StartParts, inDatabase: CounterStore): Counters {
  const { clock, name } = settings
  const inMemory = createMemoryCounters(clock)
  if (limits.store === 'memory') {
    warnAboutProcesses(app, limits)
    return createCounters(inMemory)
  }
  const shared = limits.store === 'database' ? inDatabase : limits.store.setup(app, { name, clock })
  const counters = createCounters(shared)
  if (limits.whenUnavailable === 'refuse') return counters
  const fallback = createCounters(inMemory)
  const log = createRareLog(clock, (error: unknown) => {
    app.log.error({ err: error }, 'fastify-users: the counters cannot be reached: this process counts in memory')
  })
  return {
    async change (key, rule, transition) {
      try {
        return await counters.change(key, rule, transition)
      } catch (error) {
        if (!hasErrorCode(error, 'FST_USERS_STORE_UNAVAILABLE')) throw error
        log(error)
        return await fallback.change(key, rule, transition)
      }
    }
  }
}

/** Warns if other processes may serve the same users: each process then counts separately. */
function warnAboutProcesses ({ log }: FastifyInstance, { isServer }: LimitSettings): void {
  if (!isServer && !cluster.isWorker) return
  log.warn('fastify-users: limits are counted in the memory of this process; other processes count separately')
}

/** Returns a function that logs once a minute at most. */
function createRareLog<T> (clock: () => number, write: (about: T) => void): (about: T) => void {
  let last = -Infinity
  return (about) => {
    if (clock() - last < LOG_EVERY_MS) return
    last = clock()
    write(about)
  }
}
