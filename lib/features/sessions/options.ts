import {
  checkBoolean,
  checkKnownKeys,
  checkObject,
  checkOption,
  checkSeconds,
  FST_USERS_UNKNOWN_BACKEND,
  MAX_SESSION_SECONDS,
  type Backend,
  type FeatureKit
} from '../../feature/index.js'

/** Limits of the lifetime of a session. */
export interface SessionLimits {
  /** Seconds without a request after which a session ends, at least 300. Default: none. */
  idleSeconds?: number
  /** Seconds from the login to the end of the session, even if it is used. Default: the lifetime of the strategy. */
  absoluteSeconds?: number
}

/** Lifetimes of the sessions of a backend. */
export interface SessionLifetimes extends SessionLimits {
  /**
   * Limits of the sessions of users who log in with `remember_me`. Browsers keep only the cookies of these sessions
   * when they close. Default: users cannot ask for longer sessions.
   */
  rememberMe?: SessionLimits
}

/** Options of `sessions`. */
export interface SessionsOptions extends SessionLifetimes {
  /** Lifetimes for single backends, by name. They replace those of all backends. */
  backends?: Readonly<Record<string, SessionLifetimes>>
  /** Largest number of sessions of one user. A further login ends the oldest one. Default: no limit. */
  maxSessions?: number
  /** Routes of users, below `<users prefix>/me/sessions`, and of superusers. Default: both. */
  routes?: { own?: boolean; superusers?: boolean }
}

/** Checked limits in milliseconds; null for none. */
export interface Limits {
  readonly idleMs: number | null
  readonly absoluteMs: number | null
}

/** Checked lifetimes of a backend. */
export interface Lifetimes {
  readonly ordinary: Limits
  /** Null if users cannot ask for a longer session. */
  readonly remembered: Limits | null
}

/** Checked options that do not depend on the backends of the registration. */
export interface SessionsSettings {
  readonly all: Lifetimes
  readonly backends: ReadonlyMap<string, Lifetimes>
  readonly maxSessions: number | null
  readonly ownRoutes: boolean
  readonly superuserRoutes: boolean
}

const LIMIT_KEYS = ['idleSeconds', 'absoluteSeconds']
const LIFETIME_KEYS = [...LIMIT_KEYS, 'rememberMe']
/** Shortest limit: uses are stored once a minute, so a shorter time would not be exact enough. */
const MIN_SECONDS = 300
const MAX_SESSIONS = 1000

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolveSessionsOptions (options: SessionsOptions): SessionsSettings {
  checkObject('sessions', options)
  const { backends = {}, maxSessions, routes = {}, ...lifetimes } = options
  checkKnownKeys('sessions.', options, [...LIFETIME_KEYS, 'backends', 'maxSessions', 'routes'])
  checkObject('sessions.backends', backends)
  checkKnownKeys('sessions.routes.', routes, ['own', 'superusers'])
  if (maxSessions !== undefined) {
    const isCount = (value: number): boolean => Number.isInteger(value) && value > 0 && value <= MAX_SESSIONS
    checkOption('sessions.maxSessions', maxSessions, isCount, `must be a whole number from 1 to ${MAX_SESSIONS}`)
  }
  return {
    all: readLifetimes('sessions', lifetimes),
    backends: new Map(
      Object.entries(backends).map(([name, given]) => {
        const option = `sessions.backends["${name}"]`
        checkKnownKeys(`${option}.`, given, LIFETIME_KEYS)
        return [name, readLifetimes(option, given)]
      })
    ),
    maxSessions: maxSessions ?? null,
    ownRoutes: checkBoolean('sessions.routes.own', routes.own, true),
    superuserRoutes: checkBoolean('sessions.routes.superusers', routes.superusers, true)
  }
}

/** Returns true if users of a backend can ask for a longer session. */
export function offersRememberMe ({ all, backends }: SessionsSettings, backend: string): boolean {
  return (backends.get(backend) ?? all).remembered !== null
}

/**
 * Checks the lifetimes against the backends. Throws `FST_USERS_INVALID_OPTION`, and `FST_USERS_UNKNOWN_BACKEND` for a
 * name that no backend has.
 */
export function checkBackendLifetimes (options: SessionsSettings, { users, settings }: FeatureKit): void {
  const names = [...users.backends.keys()]
  for (const name of options.backends.keys()) {
    if (!users.backends.has(name)) throw FST_USERS_UNKNOWN_BACKEND([name, names.join(', ')])
  }
  for (const backend of users.backends.values()) {
    const { ordinary, remembered } = options.backends.get(backend.name) ?? options.all
    for (const limits of [ordinary, ...(remembered === null ? [] : [remembered])]) {
      const seconds = Math.max(limits.absoluteMs ?? 0, limits.idleMs ?? 0) / 1000
      checkSeconds('sessions.absoluteSeconds', seconds, MAX_SESSION_SECONDS, settings, 'longSessions')
      checkStrategyLifetime(backend, seconds)
    }
  }
}

/**
 * Refuses a time that is longer than the lifetime of the strategy, which ends the session. Signed tokens are exempt,
 * because refresh tokens continue their sessions.
 */
function checkStrategyLifetime ({ name, strategy }: Backend, seconds: number): void {
  const lifetime = strategy.description?.lifetimeSeconds ?? null
  if (strategy.listSessions === undefined || lifetime === null) return
  const reason = `is ${seconds} seconds for "${name}", whose strategy ends sessions after ${lifetime}; increase lifetimeSeconds`
  checkOption('sessions.absoluteSeconds', seconds, (value) => value <= lifetime, reason)
}

function readLifetimes (option: string, { rememberMe, ...limits }: SessionLifetimes): Lifetimes {
  const ordinary = readSessionLimits(option, limits)
  if (rememberMe === undefined) return { ordinary, remembered: null }
  checkKnownKeys(`${option}.rememberMe.`, rememberMe, LIMIT_KEYS)
  const remembered = readSessionLimits(`${option}.rememberMe`, rememberMe)
  for (const [key, name] of [['idleMs', 'idleSeconds'], ['absoluteMs', 'absoluteSeconds']] as const) {
    const isLonger = (value: number | null): boolean => value === null || value >= (ordinary[key] ?? 0)
    const reason = 'must be at least the value without `rememberMe`'
    checkOption(`${option}.rememberMe.${name}`, remembered[key], isLonger, reason)
  }
  return { ordinary, remembered }
}

function readSessionLimits (option: string, { idleSeconds, absoluteSeconds }: SessionLimits): Limits {
  const limits = {
    idleMs: readMilliseconds(`${option}.idleSeconds`, idleSeconds),
    absoluteMs: readMilliseconds(`${option}.absoluteSeconds`, absoluteSeconds)
  }
  const isInside = (value: number | null): boolean => value === null || value <= (limits.absoluteMs ?? Infinity)
  checkOption(`${option}.idleSeconds`, limits.idleMs, isInside, 'must not be more than `absoluteSeconds`')
  return limits
}

function readMilliseconds (option: string, seconds: number | undefined): number | null {
  if (seconds === undefined) return null
  const isValid = (value: number): boolean => Number.isSafeInteger(value) && value >= MIN_SECONDS
  return checkOption(option, seconds, isValid, `must be a whole number of at least ${MIN_SECONDS} seconds`) * 1000
}
