import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type {
  AccountLimits,
  AccountRule,
  Limit,
  LimitOption,
  LimitSettings,
  LimitsOptions
} from '../contracts/limits.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { isFunction, isObject } from '../shared/values.js'

const MINUTE = 60
const HOUR = 3600
const DAY = 86_400
const MAX_COUNT = 1_000_000
const MAX_SECONDS = 30 * DAY
const MAX_LIMITS = 4
/** NIST SP 800-63B-4, section 3.2.2: at most 100 failed attempts in a row. */
const MAX_FAILURES = 100

const perMinute = (max: number): readonly Limit[] => [{ max, seconds: MINUTE }]

// the figures of django-allauth for the same actions
const CLIENT: Readonly<Record<string, readonly Limit[]>> = {
  login: perMinute(10),
  loginStep: perMinute(10),
  currentPassword: perMinute(10),
  register: perMinute(20),
  forgotPassword: perMinute(20),
  requestVerify: perMinute(20),
  resetPassword: perMinute(20),
  verify: perMinute(20),
  providerLogin: perMinute(30),
  passkeysOptions: perMinute(60),
  other: perMinute(20)
}
const FAILURES: readonly Limit[] = [
  { max: 5, seconds: 5 * MINUTE },
  { max: 10, seconds: 15 * MINUTE }
]
/** The waits that NIST SP 800-63B-4, section 3.2.2, names as an example. */
const DELAY = { after: 10, seconds: 30, maxSeconds: HOUR }
const RECIPIENT: readonly Limit[] = [
  { max: 5, seconds: HOUR },
  { max: 20, seconds: DAY }
]
const ALL: readonly Limit[] = [{ max: 1000, seconds: HOUR }]

/**
 * Returns the limits with all defaults; null if they are off. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`.
 */
export function readLimitsOptions (
  given: LimitsOptions | false | undefined,
  { inProcess = false, file }: DatabaseAdapter,
  isFastapiUsers: boolean
): LimitSettings | null {
  if (given === false) return null
  const options = given ?? {}
  checkKnownKeys('limits.', options, ['store', 'whenUnavailable', 'client', 'account', 'mail'])
  const { store = inProcess || isFastapiUsers ? 'memory' : 'database', whenUnavailable = 'refuse' } = options
  checkOption('limits.store', store, isStore, "must be 'database', 'memory' or redisCounters({ client })")
  checkOption(
    'limits.whenUnavailable',
    whenUnavailable,
    (value) => value === 'refuse' || value === 'memory',
    "must be 'refuse' or 'memory'"
  )
  const { client = {}, mail = {} } = options
  checkKnownKeys('limits.client.', client, Object.keys(CLIENT))
  checkKnownKeys('limits.mail.', mail, ['recipient', 'all'])
  const clientLimits = Object.entries(CLIENT).map(([kind, fallback]) => [
    kind,
    readAttemptLimits(`limits.client.${kind}`, client[kind as keyof typeof client], fallback)
  ])
  return {
    store,
    hasTable: store === 'database' || (typeof store !== 'string' && !isFastapiUsers),
    isServer: !inProcess && file === undefined,
    whenUnavailable,
    client: Object.fromEntries(clientLimits) as LimitSettings['client'], // one entry per kind
    account: readAccount(options.account ?? {}),
    mail: {
      recipient: readAttemptLimits('limits.mail.recipient', mail.recipient, RECIPIENT),
      all: readAttemptLimits('limits.mail.all', mail.all, ALL)
    }
  }
}

function readAccount (given: AccountLimits): AccountRule {
  checkKnownKeys('limits.account.', given, ['failures', 'delay', 'stopAfter'])
  const { failures, delay = DELAY, stopAfter = MAX_FAILURES } = given
  if (delay !== false) {
    checkKnownKeys('limits.account.delay.', delay, ['after', 'seconds', 'maxSeconds'])
    checkNumber('limits.account.delay.after', delay.after, MAX_FAILURES)
    checkNumber('limits.account.delay.seconds', delay.seconds, MAX_SECONDS)
    checkNumber('limits.account.delay.maxSeconds', delay.maxSeconds, MAX_SECONDS)
  }
  return {
    limits: readAttemptLimits('limits.account.failures', failures, FAILURES),
    delay: delay === false ? null : delay,
    stopAfter: checkNumber('limits.account.stopAfter', stopAfter, MAX_FAILURES)
  }
}

function readAttemptLimits (
  option: string,
  given: LimitOption | undefined,
  fallback: readonly Limit[]
): readonly Limit[] {
  if (given === undefined) return fallback
  if (given === false) return []
  const list = (Array.isArray(given) ? given : [given]) as readonly Limit[]
  checkOption(
    option,
    list,
    ({ length }) => length >= 1 && length <= MAX_LIMITS,
    `must be false, { max, seconds } or up to ${MAX_LIMITS} of them`
  )
  for (const limit of list) {
    checkKnownKeys(`${option}.`, limit, ['max', 'seconds'])
    checkNumber(`${option}.max`, limit.max, MAX_COUNT)
    checkNumber(`${option}.seconds`, limit.seconds, MAX_SECONDS)
  }
  const lengths = new Set(list.map(({ seconds }) => seconds))
  checkOption(option, lengths, ({ size }) => size === list.length, 'must not contain two limits with the same seconds')
  return list
}

function checkNumber (option: string, value: number, max: number): number {
  const isValid = (given: number): boolean => Number.isInteger(given) && given >= 1 && given <= max
  return checkOption(option, value, isValid, `must be a whole number from 1 to ${max}`)
}

function isStore (store: unknown): boolean {
  if (store === 'database' || store === 'memory') return true
  return isObject(store) && store['kind'] === 'counters' && isFunction(store['setup'])
}
