import {
  deleteExpired,
  hasErrorCode,
  type FeatureKit,
  type SessionSelection,
  type User,
  type UserId,
  type Where
} from '../../feature/index.js'
import { userSessionModel, type SessionRow } from './model.js'

/** Milliseconds between two writes of the last use of a session. */
export const SEEN_INTERVAL_MS = 60_000
/** Largest number of rows that are read at once. */
const MAX_ROWS = 1000
const PURGE_INTERVAL_MS = 3_600_000

type Owner = Pick<User, 'id'>

/** The stored values of sessions. */
export interface SessionStore {
  find(user: Owner, id: string): Promise<SessionRow | null>
  /** Returns the rows of these sessions. */
  findAll(user: Owner, ids: readonly string[]): Promise<SessionRow[]>
  /** Returns the sessions of backends that do not list theirs, as long as their newest token is valid. */
  findUnlisted(user: Owner, backends: readonly string[]): Promise<SessionRow[]>
  /** Stores a session. Does nothing if it is stored already. */
  add(row: SessionRow): Promise<void>
  /** Changes a session and returns true if it is stored. */
  change(user: Owner, id: string, changes: Partial<SessionRow>): Promise<boolean>
  /** Stores a use unless one was stored less than a minute before. Returns true if it changed the row. */
  recordUse(user: Owner, id: string, changes: Pick<SessionRow, 'last_seen_at'> & Partial<SessionRow>): Promise<boolean>
  /** Deletes sessions of a user. */
  remove(user: Owner, which: SessionSelection): Promise<void>
}

/** Creates the store. Expired rows are deleted once an hour, in the background of a login. */
export function createSessionStore ({ store, settings, clock, background }: FeatureKit): SessionStore {
  const model = userSessionModel(settings.schemas.id)
  let purgedAt = 0

  async function read (where: Where): Promise<SessionRow[]> {
    return (await store.findMany(model, where, { limit: MAX_ROWS })) as SessionRow[] // rows of the model
  }

  function purge (): void {
    if (clock() - purgedAt < PURGE_INTERVAL_MS) return
    purgedAt = clock()
    background(() => deleteExpired(store, model, 'expires_at', new Date(clock())))
  }

  return {
    find: async ({ id: owner }, id) =>
      (await store.findOne(model, { id, user_id: owner as UserId })) as SessionRow | null,
    findAll: async ({ id: owner }, ids) =>
      ids.length === 0 ? [] : await read({ user_id: owner as UserId, id: { in: ids } }),
    async findUnlisted ({ id: owner }, backends) {
      if (backends.length === 0) return []
      const mine = { user_id: owner as UserId, backend: { in: backends } }
      const endless = await read({ ...mine, token_ends_at: null })
      return [...endless, ...(await read({ ...mine, token_ends_at: { gt: new Date(clock()) } }))]
    },
    async add (row) {
      purge()
      try {
        await store.create(model, row)
      } catch (error) {
        if (!hasErrorCode(error, 'FST_USERS_UNIQUE_VIOLATION')) throw error // a parallel request stored it
      }
    },
    change: async ({ id: owner }, id, changes) =>
      (await store.update(model, { id, user_id: owner as UserId }, changes as Record<string, string>)) > 0,
    async recordUse ({ id: owner }, id, changes) {
      const before = new Date(changes.last_seen_at.getTime() - SEEN_INTERVAL_MS)
      const where = { id, user_id: owner as UserId, last_seen_at: { lte: before } }
      return (await store.update(model, where, changes as Record<string, string>)) > 0
    },
    async remove ({ id: owner }, which) {
      const mine = { user_id: owner as UserId }
      if (which === 'all') await store.delete(model, mine)
      else if ('id' in which) await store.delete(model, { ...mine, id: which.id })
      else {
        await store.delete(model, { ...mine, id: { lt: which.except } })
        await store.delete(model, { ...mine, id: { gt: which.except } })
      }
    }
  }
}
