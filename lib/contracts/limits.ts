import type { FastifyInstance } from 'fastify'
import type { MaybePromise } from './database-adapter.js'
import type { Clock } from './settings.js'

/** The largest number of attempts or mails within a time. */
export interface Limit {
  /** Largest number within the time: a whole number from 1 to 1 000 000. */
  max: number
  /** The time in seconds, counted from the first attempt: a whole number from 1 to 2 592 000 (30 days). */
  seconds: number
}

/** One limit, up to four limits that all apply, or `false` for no limit. */
export type LimitOption = Limit | readonly Limit[] | false

/** Limits per client by the kind of the attempt. */
export interface ClientLimits {
  /** Failed logins. Default: 10 in a minute. */
  login?: LimitOption
  /** Wrong answers to login steps. Default: 10 in a minute. */
  loginStep?: LimitOption
  /** Wrong current passwords in a session. Default: 10 in a minute. */
  currentPassword?: LimitOption
  /** Registrations. Default: 20 in a minute. */
  register?: LimitOption
  /** Requests for reset tokens. Default: 20 in a minute. */
  forgotPassword?: LimitOption
  /** Requests for verify tokens. Default: 20 in a minute. */
  requestVerify?: LimitOption
  /** Uses of reset tokens. Default: 20 in a minute. */
  resetPassword?: LimitOption
  /** Uses of verify tokens. Default: 20 in a minute. */
  verify?: LimitOption
  /** Beginnings and returns of logins through a provider. Default: 30 in a minute. */
  providerLogin?: LimitOption
  /** Beginnings of logins with a passkey. Pages begin one for each visitor. Default: 60 in a minute. */
  passkeysOptions?: LimitOption
  /** Every other kind of attempt, each counted separately. Default: 20 in a minute. */
  other?: LimitOption
}

/** Limits of failed attempts per account. */
export interface AccountLimits {
  /** Failed attempts within a time. Default: 5 in 5 minutes and 10 in 15 minutes. */
  failures?: LimitOption
  /**
   * A wait after each failure in a row that begins with failure number `after`. It starts with `seconds` and doubles up
   * to `maxSeconds`. Default: `{ after: 10, seconds: 30, maxSeconds: 3600 }`.
   */
  delay?: DelayLimit | false
  /** Failures in a row after which the password is refused until it is reset by mail, at most 100. Default: 100. */
  stopAfter?: number
}

/** Growing waits between failed attempts. */
export interface DelayLimit {
  after: number
  seconds: number
  maxSeconds: number
}

/** Limits of mails. Each kind of mail is counted separately. */
export interface MailLimits {
  /** Mails of one kind to one recipient. Default: 5 in an hour and 20 in a day. */
  recipient?: LimitOption
  /** Mails of one kind to all recipients. Default: 1000 in an hour. */
  all?: LimitOption
}

/** The option `limits`. */
export interface LimitsOptions {
  /**
   * Where the counters are: `database`, `memory` (of this process) or `redisCounters({ client })`. Default: `database`;
   * `memory` for the adapter `memory()` and with `compatibility: 'fastapi-users'`.
   */
  store?: 'database' | 'memory' | CounterStoreDefinition
  /**
   * What happens if the store of the counters fails: `refuse` replies 503, `memory` counts in this process meanwhile.
   * Default: `refuse`.
   */
  whenUnavailable?: 'refuse' | 'memory'
  /** Limits per client: an IPv4 address or an IPv6 network of 64 bits. */
  client?: ClientLimits
  /** Limits per account, existing or not. */
  account?: AccountLimits
  /** Limits of mails. */
  mail?: MailLimits
}

/** A store of short texts, in which one process can replace a text only if no other one has changed it meanwhile. */
export interface CounterStore {
  /**
   * Stores `next` under the key if the stored text is `expected`. Null stands for no text: as `next`, it deletes the
   * text. Returns null if the text was stored, otherwise the text that is there. If `next` equals `expected`, it only
   * compares. A text is deleted `lifetimeMs` milliseconds after it was stored, or later.
   */
  swap(
    key: string,
    expected: string | null,
    next: string | null,
    lifetimeMs: number
  ): MaybePromise<{ current: string | null } | null>
}

/** A store for counters that starts with the registration, such as `redisCounters({ client })`. */
export interface CounterStoreDefinition {
  readonly kind: 'counters'
  /** Starts the store. `scope` is for hooks such as `onClose`. */
  setup(scope: FastifyInstance, registration: { name: string; clock: Clock }): CounterStore
}

/** The checked account limits. */
export interface AccountRule {
  readonly limits: readonly Limit[]
  readonly delay: DelayLimit | null
  readonly stopAfter: number
}

/** The checked option `limits`. */
export interface LimitSettings {
  readonly store: 'database' | 'memory' | CounterStoreDefinition
  /** The table of the counters exists. */
  readonly hasTable: boolean
  /** The adapter uses a database server, so that other processes can serve the same users. */
  readonly isServer: boolean
  readonly whenUnavailable: 'refuse' | 'memory'
  /** Limits per client by kind. Kinds without limits have an empty list. */
  readonly client: Readonly<Record<string, readonly Limit[]>>
  readonly account: AccountRule
  readonly mail: { readonly recipient: readonly Limit[]; readonly all: readonly Limit[] }
}
