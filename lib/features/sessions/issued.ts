import {
  FST_USERS_INVALID_OPTION,
  FST_USERS_UNAUTHENTICATED,
  type CreatedSession,
  type FeatureKit,
  type UserId
} from '../../feature/index.js'
import { sessionClientOf, type Activity } from './activity.js'
import { timesOfRow, timesOfSession, type BackendLifetimes, type SessionTimes } from './lifetimes.js'
import { ID_MAX_LENGTH } from './model.js'
import type { SessionStore } from './session-store.js'

/** The objects that the functions of the feature share. */
export interface SessionParts {
  readonly kit: FeatureKit
  readonly store: SessionStore
  readonly backends: ReadonlyMap<string, BackendLifetimes>
  readonly activity: Activity
}

/** Browsers keep cookies for 400 days at most (draft-ietf-httpbis-rfc6265bis, section 5.6.2). */
const MAX_COOKIE_SECONDS = 400 * 86_400

/**
 * Stores a session whose token was just created, and decides how long browsers keep its cookie. Throws
 * `FST_USERS_UNAUTHENTICATED` for a new token of a session that has ended because it was not used.
 */
export async function storeIssued (
  { kit: { clock }, store, backends, activity }: SessionParts,
  created: CreatedSession
): Promise<void> {
  const { user, backend, issued, continues, isRemembered } = created
  const { session, token } = issued
  const lifetimes = backends.get(backend)
  if (lifetimes === undefined) return // the backend of a feature, such as API keys
  if (session.id.length > ID_MAX_LENGTH) {
    throw FST_USERS_INVALID_OPTION([`backends["${backend}"].strategy`, 'creates session ids that are too long'])
  }
  const now = clock()
  const known = continues ? await store.find(user, session.id) : null
  const times = known === null ? timesOfSession(session, now, isRemembered) : timesOfRow(known)
  if (continues && now > lifetimes.endOf(times)) throw FST_USERS_UNAUTHENTICATED()
  const values = issuedValuesOf(created, lifetimes, times, now)
  if (known === null || !(await store.change(user, session.id, values))) {
    const origin = { id: session.id, user_id: user.id as UserId, backend, created_at: new Date(times.createdAt) }
    await store.add({ ...origin, is_remembered: times.isRemembered, ...values })
  }
  const absoluteMs = lifetimes.absoluteMs(times.isRemembered)
  activity.add(token, now, times.createdAt + (absoluteMs ?? Infinity))
  if (lifetimes.offersRememberMe) issued.cookieSeconds = cookieSecondsOf(times, absoluteMs, now)
}

/** Returns the stored values that each new token of a session changes. */
function issuedValuesOf (
  { stamp, issued: { session, lifetimeSeconds }, context }: CreatedSession,
  lifetimes: BackendLifetimes,
  { createdAt }: SessionTimes,
  now: number
) {
  return {
    methods: session.methods,
    stamp,
    ...sessionClientOf(context.request),
    last_seen_at: new Date(now),
    token_ends_at: lifetimeSeconds === null ? null : new Date(now + lifetimeSeconds * 1000),
    expires_at: lifetimes.keptUntil(createdAt, now)
  }
}

/** Returns how long a browser keeps the cookie; null until it closes. */
function cookieSecondsOf (times: SessionTimes, absoluteMs: number | null, now: number): number | null {
  if (!times.isRemembered) return null
  if (absoluteMs === null) return MAX_COOKIE_SECONDS
  return Math.max(0, Math.ceil((times.createdAt + absoluteMs - now) / 1000))
}
