import type { Backend } from '../contracts/backend.js'
import type { UsersError } from '../contracts/errors.js'
import type { Session } from '../contracts/session.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INSUFFICIENT_USER_AUTHENTICATION } from '../errors.js'

/** Requirements of the authentication of a session. Null stands for no requirement. */
export interface StepUp {
  /** Longest time since the authentication, in seconds. */
  readonly maxAge: number | null
  /** Number of kinds of factors. */
  readonly methods: number | null
}

/** Largest difference between the clocks of two processes, in milliseconds. */
const CLOCK_SKEW_MS = 60_000
/** The authentication context class of logins with several factors (OpenID PAPE 1.0, section 4). */
const MULTI_FACTOR = 'http://schemas.openid.net/pape/policies/2007/06/multi-factor'

/**
 * Returns true if the user authenticated at most `seconds` ago. A session is not fresh if its time is unknown or in the
 * future: after a clock was set back, it would stay fresh for too long.
 */
export function isFresh (
  { authenticatedAt }: Pick<Session, 'authenticatedAt'>,
  seconds: number,
  now: number
): boolean {
  if (authenticatedAt === null) return false
  const age = now - authenticatedAt.getTime()
  return age >= -CLOCK_SKEW_MS && age <= seconds * 1000
}

/** Returns true if a session meets the requirements. `countKinds` returns the number of kinds of factors of methods. */
export function meetsStepUp (
  session: Pick<Session, 'authenticatedAt' | 'methods'>,
  { maxAge, methods }: StepUp,
  now: number,
  countKinds: (methods: readonly string[]) => number
): boolean {
  if (maxAge !== null && !isFresh(session, maxAge, now)) return false
  return methods === null || countKinds(session.methods) >= methods
}

/**
 * Returns the refusal of a session that does not meet the requirements, with the challenge of RFC 9470, section 3.
 * `detail` contains the requirements for clients that do not read the header.
 */
export function insufficientAuthentication (
  { maxAge, methods }: StepUp,
  { backends, settings }: { backends: ReadonlyMap<string, Backend>; settings: Settings }
): UsersError {
  const detail = {
    code: 'INSUFFICIENT_USER_AUTHENTICATION',
    ...(maxAge === null ? {} : { max_age: maxAge }),
    ...(methods === null ? {} : { methods })
  }
  if (!settings.wire.wwwAuthenticate) return FST_USERS_INSUFFICIENT_USER_AUTHENTICATION([], { detail })
  const parameters = [
    'error="insufficient_user_authentication"',
    ...(maxAge === null ? [] : [`max_age="${maxAge}"`]),
    ...(methods === null || methods < 2 ? [] : [`acr_values="${MULTI_FACTOR}"`])
  ]
  const challenge = `${challengeScheme(backends)} ${parameters.join(', ')}`
  return FST_USERS_INSUFFICIENT_USER_AUTHENTICATION([], { detail, headers: { 'www-authenticate': challenge } })
}

/** Returns the scheme of the challenge in a 401 reply (RFC 9110, section 11.6.1). */
export function challengeScheme (backends: ReadonlyMap<string, Backend>): string {
  for (const { transport } of backends.values()) if (!transport.ambient) return 'Bearer'
  return 'Cookie'
}
