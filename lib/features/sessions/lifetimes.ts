import { MAX_SESSION_SECONDS, type Backend, type FeatureKit, type Session } from '../../feature/index.js'
import type { SessionRow } from './model.js'
import type { Limits, SessionsSettings } from './options.js'

/** The times on which the end of a session depends, in milliseconds since 1970. */
export interface SessionTimes {
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly isRemembered: boolean
}

/** The lifetimes of the sessions of one backend. */
export interface BackendLifetimes {
  /** True if sessions can end before their tokens do. */
  readonly isLimited: boolean
  /** True if users can ask for a longer session. */
  readonly offersRememberMe: boolean
  /** True if the strategy can end one session. */
  readonly canEndOne: boolean
  /** True if the strategy lists its sessions. */
  readonly isListed: boolean
  /** Returns the time from the login to the end of a session; null if only its token limits it. */
  absoluteMs(isRemembered: boolean): number | null
  /** Returns the time at which a session ends if it is not used; `Infinity` if only its token limits it. */
  endOf(times: SessionTimes): number
  /** Returns a time after which no token of a session can be valid. */
  keptUntil(createdAt: number, now: number): Date
}

const DAY_MS = 86_400_000
/** Time for which a session with endless tokens is remembered after its last use. */
const ENDLESS_MS = 400 * DAY_MS

/** Returns the lifetimes of all backends by name. */
export function readBackendLifetimes (
  options: SessionsSettings,
  { users }: FeatureKit
): ReadonlyMap<string, BackendLifetimes> {
  return new Map([...users.backends].map(([name, backend]) => [name, lifetimesOf(options, backend)]))
}

function lifetimesOf ({ all, backends }: SessionsSettings, { name, strategy }: Backend): BackendLifetimes {
  const { ordinary, remembered } = backends.get(name) ?? all
  const lifetime = strategy.description?.lifetimeSeconds ?? null
  const isListed = strategy.listSessions !== undefined
  const limitsOf = (isRemembered: boolean): Limits => (isRemembered && remembered !== null ? remembered : ordinary)
  const isLimit = ({ idleMs, absoluteMs }: Limits): boolean => idleMs !== null || absoluteMs !== null
  return {
    isLimited: isLimit(ordinary) || (remembered !== null && isLimit(remembered)),
    offersRememberMe: remembered !== null,
    canEndOne: strategy.destroySession !== undefined,
    isListed,
    absoluteMs: (isRemembered) => limitsOf(isRemembered).absoluteMs,
    endOf ({ createdAt, lastSeenAt, isRemembered }) {
      const { idleMs, absoluteMs } = limitsOf(isRemembered)
      return Math.min(createdAt + (absoluteMs ?? Infinity), lastSeenAt + (idleMs ?? Infinity))
    },
    keptUntil (createdAt, now) {
      if (lifetime === null) return new Date(now + ENDLESS_MS)
      if (isListed) return new Date(createdAt + lifetime * 1000)
      // refresh tokens continue such a session without a request that the guard sees
      return new Date(now + Math.max(lifetime, MAX_SESSION_SECONDS) * 1000)
    }
  }
}

/** Returns the earliest time that a session contains. A refreshed or renewed session is older than its token. */
export function loginTimeOf ({ createdAt, authenticatedAt }: Session): number | null {
  if (createdAt === null || authenticatedAt === null) return (createdAt ?? authenticatedAt)?.getTime() ?? null
  return Math.min(createdAt.getTime(), authenticatedAt.getTime())
}

/** Returns the times of a stored session. */
export function timesOfRow (row: SessionRow): SessionTimes {
  const { created_at: createdAt, last_seen_at: lastSeenAt, is_remembered: isRemembered } = row
  return { createdAt: createdAt.getTime(), lastSeenAt: lastSeenAt.getTime(), isRemembered }
}

/**
 * Returns the times of a session without a row, which is older than the feature. It counts as unused since the login.
 */
export function timesOfSession (session: Session, now: number, isRemembered: boolean): SessionTimes {
  const createdAt = loginTimeOf(session) ?? now
  return { createdAt, lastSeenAt: createdAt, isRemembered }
}
