import type { Attempts } from '../contracts/attempts.js'
import type { AuditLog } from '../contracts/audit.js'
import type { Backend } from '../contracts/backend.js'
import type { Changes, Where } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { LoginAttempt, LoginStep } from '../contracts/login-step.js'
import type { Settings } from '../contracts/settings.js'
import type { Session } from '../contracts/session.js'
import type { SecondFactor } from '../contracts/second-factors.js'
import type { SessionObserver } from '../contracts/session-service.js'
import type { SingleUse } from '../contracts/single-use.js'
import type { UserReader } from '../contracts/strategy.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_NOT_FOUND, FST_USERS_UNKNOWN_BACKEND } from '../errors.js'
import type { HookRegistry } from '../hooks/index.js'
import type { SerializeCookie } from '../contracts/cookies.js'
import type { Devices } from './devices.js'
import type { TrustedDevices } from './trusted-devices.js'
import type { PendingRecord } from './pending-record.js'
import type { SessionWatchers } from './session-watchers.js'
import { deriveSessionId } from '../tokens/index.js'

/** The functions for user rows that sessions need. */
export interface SessionUsers extends UserReader {
  update(where: Where, changes: Changes): Promise<number>
  /** Returns the user without the hash and the stamp. */
  toUser(row: UserRow): User
  /** Returns the stamp of the user's sessions: the column or, if it is empty, a keyed fingerprint of the hash. */
  stampOf(row: UserRow): string
  /** Returns true if a session with this stamp is valid for the row, under any of the configured secrets. */
  hasStamp(row: UserRow, stamp: string): boolean
}

/** A login step of a feature. */
export interface RegisteredStep {
  readonly step: LoginStep
  /** Name of the feature. */
  readonly feature: string
  /** Throws Fastify's validation error if an answer does not match the schema of the step. */
  checkAnswer(answer: object): void
}

/** The shared objects of one registration of the plugin that sessions need. */
export interface SessionRules {
  readonly settings: Settings
  readonly rows: SessionUsers
  readonly hooks: HookRegistry
  readonly attempts: Attempts
  readonly audit: AuditLog
  readonly backends: ReadonlyMap<string, Backend>
  /** Functions of features that are called when sessions begin and end. */
  readonly observers: readonly SessionObserver[]
  /** The open connections whose sessions are watched. */
  readonly watchers: SessionWatchers
  /** The login steps of all features, in their order. Filled while the features start. */
  readonly loginSteps: readonly RegisteredStep[]
  /** The second factors of all features. Filled while the features start. */
  readonly secondFactors: readonly SecondFactor[]
  /** The number of second factors of the user of a login, by attempt. */
  readonly factorCounts: WeakMap<LoginAttempt, Promise<number>>
  /** The browsers that skip the second factor; null if there are none. */
  readonly trustedDevices: TrustedDevices | null
  /** Recognizes the devices of users; null if new devices are not detected. */
  readonly devices: Devices | null
  /** The logins that wait for a step. */
  readonly pendingLogins: SingleUse<PendingRecord>
  readonly serializeCookie: SerializeCookie
}

/** Returns the event context of a call. */
export function contextOf ({ request = null, reply = null }: CallContext = {}): EventContext {
  return { request, reply } as EventContext // the types differ only in server and logger
}

/** Reads a user again. Throws `FST_USERS_NOT_FOUND` if it is deleted. */
export async function currentRow ({ rows }: SessionRules, user: User | UserId): Promise<UserRow> {
  const row = await rows.getRow(typeof user === 'object' ? (user.id as UserId) : user)
  if (row === null) throw FST_USERS_NOT_FOUND()
  return row
}

/** Returns the backend with this name. Throws `FST_USERS_UNKNOWN_BACKEND`. */
export function backendNamed ({ backends }: SessionRules, name: string): Backend {
  const backend = backends.get(name)
  if (backend === undefined) throw FST_USERS_UNKNOWN_BACKEND([name, [...backends.keys()].join(', ')])
  return backend
}

/** Returns the session of a token whose strategy stores none: only its id is known. */
export function sessionOfToken (token: string): Session {
  return { id: deriveSessionId(token), createdAt: null, authenticatedAt: null, methods: [], details: {} }
}
