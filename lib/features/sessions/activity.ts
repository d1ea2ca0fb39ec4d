import type { FastifyRequest } from 'fastify'
import {
  isRemembered,
  type Authentication,
  type FeatureKit,
  type MaybePromise,
  type Session,
  type SessionObserver,
  type User,
  type UserId
} from '../../feature/index.js'
import { cleanIp, cleanUserAgent } from './device.js'
import { loginTimeOf, timesOfRow, timesOfSession, type BackendLifetimes } from './lifetimes.js'
import type { SessionRow } from './model.js'
import { createRecentTokens } from './recent-tokens.js'
import { SEEN_INTERVAL_MS, type SessionStore } from './session-store.js'

/** A use of a session that is about to be stored. */
interface Use {
  readonly user: User
  readonly session: Session
  readonly token: string
  readonly backend: string
  readonly lifetimes: BackendLifetimes
  readonly now: number
  readonly client: ClientOfSession
}

/** The stored values of the client of a session. */
export type ClientOfSession = Pick<SessionRow, 'ip_address' | 'user_agent'>

/** Records the use of sessions, and refuses those that have ended. */
export interface Activity {
  readonly seen: NonNullable<SessionObserver['seen']>
  /** Remembers a token that was just created. */
  add(token: string, now: number, end: number): void
}

/**
 * Creates the check that runs with every guarded request. Most requests cost one look-up in memory. Once a minute per
 * token, the use is stored in the background; if the lifetime of the session is limited, its times are read and checked
 * first. Idle times are at least five minutes, so none can end within that minute.
 */
export function createActivity (
  kit: FeatureKit,
  store: SessionStore,
  backends: ReadonlyMap<string, BackendLifetimes>
): Activity {
  const { clock, background } = kit
  const open = createRecentTokens(SEEN_INTERVAL_MS)
  const ended = createRecentTokens(SEEN_INTERVAL_MS)

  function record (use: Use, end: number): void {
    if (open.has(use.token, use.now)) return // a parallel request has recorded this use
    open.add(use.token, use.now, end)
    background(() => recordUse(kit, store, use))
  }

  async function check (use: Use): Promise<boolean> {
    const { user, session, token, lifetimes, now } = use
    const row = await store.find(user, session.id)
    const times = row === null ? timesOfSession(session, now, isRemembered(session)) : timesOfRow(row)
    if (now <= lifetimes.endOf(times)) {
      record(use, times.createdAt + (lifetimes.absoluteMs(times.isRemembered) ?? Infinity))
      return true
    }
    ended.add(token, now, Infinity)
    background(() => kit.sessions.end(user, { id: session.id }))
    return false
  }

  return {
    add: open.add,

    seen (authentication, request): MaybePromise<boolean> {
      const now = clock()
      const { token, backend } = authentication
      if (open.has(token, now)) return true
      const lifetimes = backends.get(backend)
      if (lifetimes === undefined) return true // an API key
      if (ended.has(token, now)) return false
      const use = useOf(authentication, request, lifetimes, now)
      if (lifetimes.isLimited) return check(use)
      record(use, Infinity)
      return true
    }
  }
}

/** Returns what is stored about the client that sent a request. */
export function sessionClientOf (request: FastifyRequest | null): ClientOfSession {
  return { ip_address: cleanIp(request?.ip), user_agent: cleanUserAgent(request?.headers['user-agent']) }
}

function useOf (
  { user, session, token, backend }: Authentication,
  request: FastifyRequest,
  lifetimes: BackendLifetimes,
  now: number
): Use {
  return { user, session, token, backend, lifetimes, now, client: sessionClientOf(request) }
}

/** Stores the time of a use. The first use of a session that is older than the feature stores the session. */
async function recordUse (
  { rows, users }: FeatureKit,
  store: SessionStore,
  { user, session, token, backend, lifetimes, now, client }: Use
): Promise<void> {
  const used = { ...client, last_seen_at: new Date(now) }
  if (await store.recordUse(user, session.id, used)) return
  if ((await store.find(user, session.id)) !== null) return // another process has stored a use
  const strategy = users.backends.get(backend)?.strategy
  const subject = await strategy?.readToken(token, { request: null, users: rows })
  if (subject == null) return // the session has ended meanwhile
  const createdAt = loginTimeOf(session) ?? now
  const lifetime = strategy?.description?.lifetimeSeconds ?? null
  await store.add({
    id: session.id,
    user_id: user.id as UserId,
    backend,
    methods: session.methods,
    stamp: rows.stampOf(subject.row),
    is_remembered: isRemembered(session),
    created_at: new Date(createdAt),
    token_ends_at: lifetime === null ? null : new Date((session.createdAt?.getTime() ?? now) + lifetime * 1000),
    expires_at: lifetimes.keptUntil(createdAt, now),
    ...used
  })
}
