import type { Session, User, UserId } from '../../feature/index.js'
import type { SessionPage, SessionQuery, UserSession } from './contracts.js'
import type { DescribeDevice } from './device.js'
import type { SessionParts } from './issued.js'
import { loginTimeOf, timesOfRow } from './lifetimes.js'
import type { SessionRow } from './model.js'
import type { SessionStore } from './session-store.js'

/** A session that is valid, and what is stored about it. */
export interface OpenSession {
  readonly id: string
  readonly methods: readonly string[]
  /** Time of the login in milliseconds since 1970; null if it is unknown. */
  readonly createdAt: number | null
  readonly canEnd: boolean
  /** Null for a session that has not been used since the feature was added. */
  readonly row: SessionRow | null
}

/** Largest number of sessions that are listed. */
const MAX_LISTED = 1000
const MAX_IDS = 500
export const MAX_PAGE = 100

/** Returns the newest 1000 open sessions of a user, the newest first. */
export async function readOpenSessions (
  { kit, store, backends }: Pick<SessionParts, 'kit' | 'store' | 'backends'>,
  user: User
): Promise<OpenSession[]> {
  const current = await kit.rows.getRow(user.id as UserId)
  if (current === null) return []
  const listed = await kit.sessions.list(user)
  const rows = await rowsOf(store, user, listed)
  const unlisted = [...backends].filter(([, { isListed }]) => !isListed).map(([name]) => name)
  const known = new Set(listed.map(({ id }) => id))
  const others = (await store.findUnlisted(user, unlisted))
    .filter(({ id, stamp }) => !known.has(id) && kit.rows.hasStamp(current, stamp))
  const now = kit.clock()
  const isOpen = (row: SessionRow): boolean => now <= (backends.get(row.backend)?.endOf(timesOfRow(row)) ?? Infinity)
  return [
    ...listed.flatMap((session): OpenSession[] => {
      const row = rows.get(session.id) ?? null
      if (row !== null && !isOpen(row)) return [] // without a row, the guard checks it at its next use
      const createdAt = row?.created_at.getTime() ?? loginTimeOf(session)
      return [{ id: session.id, methods: session.methods, createdAt, canEnd: true, row }]
    }),
    ...others.filter(isOpen).map((row): OpenSession => {
      const canEnd = backends.get(row.backend)?.canEndOne ?? false
      return { id: row.id, methods: row.methods, createdAt: row.created_at.getTime(), canEnd, row }
    })
  ]
    .sort(compareNewestFirst)
    .slice(0, MAX_LISTED)
}

/** Returns a page of sessions as their user sees them. */
export function pageOf (
  sessions: readonly OpenSession[],
  { limit = MAX_PAGE, after, current }: SessionQuery,
  describe: DescribeDevice
): SessionPage {
  const last = after === undefined ? null : readCursor(after)
  const rest = last === null ? sessions : sessions.filter((session) => compareNewestFirst(session, last) > 0)
  const page = rest.slice(0, limit)
  const end = page.at(-1)
  return {
    sessions: page.map((session) => toUserSession(session, current, describe)),
    next: end === undefined || rest.length <= limit ? null : cursorOf(end)
  }
}

async function rowsOf (
  store: SessionStore,
  user: User,
  sessions: readonly Session[]
): Promise<ReadonlyMap<string, SessionRow>> {
  const rows = new Map<string, SessionRow>()
  for (let start = 0; start < sessions.length; start += MAX_IDS) {
    const ids = sessions.slice(start, start + MAX_IDS).map(({ id }) => id)
    for (const row of await store.findAll(user, ids)) rows.set(row.id, row)
  }
  return rows
}

function toUserSession (
  { id, methods, createdAt, canEnd, row }: OpenSession,
  current: string | undefined,
  describe: DescribeDevice
): UserSession {
  return {
    id,
    is_current: id === current,
    can_end: canEnd,
    backend: row?.backend ?? null,
    methods: [...(row?.methods ?? methods)],
    is_remembered: row?.is_remembered ?? false,
    device: describe(row?.user_agent ?? null),
    ip_address: row?.ip_address ?? null,
    created_at: createdAt === null ? null : new Date(createdAt).toISOString(),
    last_seen_at: row?.last_seen_at.toISOString() ?? null
  }
}

type Position = Pick<OpenSession, 'id' | 'createdAt'>

/** Sessions without a time come last. */
function compareNewestFirst (one: Position, other: Position): number {
  const difference = (other.createdAt ?? 0) - (one.createdAt ?? 0)
  if (difference !== 0) return difference
  return one.id < other.id ? -1 : Number(one.id > other.id)
}

function cursorOf ({ createdAt, id }: Position): string {
  return `${createdAt ?? 0}.${id}`
}

function readCursor (text: string): Position {
  const dot = text.indexOf('.')
  return { createdAt: Number(text.slice(0, dot)), id: text.slice(dot + 1) }
}
