import type { DatabaseAdapter, Row, Where } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { StoredSession } from '../../contracts/strategy.js'
import type { User } from '../../contracts/user.js'
import { addNewest } from '../newest-sessions.js'
import { sessionOfRow } from './access-token-model.js'

const PAGE = 128

/** The stored sessions of users. */
export interface UserSessions {
  /** Returns the newest sessions of a user. `stampOf` returns undefined for a row that is not valid. */
  list(user: User, since: Where, stampOf: (row: Row) => StoredSession['stamp']): Promise<StoredSession[]>
  /** Deletes the tokens of one session. Returns true if there were any. */
  remove(user: User, id: string): Promise<boolean>
  /** Deletes the tokens of all sessions but one. */
  removeOthers(user: User, except: string): Promise<void>
}

/** Creates the functions for the rows of one model. */
export function createUserSessions (store: DatabaseAdapter, model: Model): UserSessions {
  /**
   * Yields the rows in pages, sorted by the token, which is unique. Sorting by the time could skip rows: another
   * program may have stored times that are more precise than a `Date`.
   */
  async function * pages (where: Where): AsyncGenerator<readonly Row[]> {
    let rows: Row[] = []
    do {
      const last = rows.at(-1)
      rows = await store.findMany(model, where, { limit: PAGE, ...(last === undefined ? {} : { after: last }) })
      yield rows
    } while (rows.length === PAGE)
  }

  async function removeAll (user: User, rows: readonly Row[]): Promise<number> {
    if (rows.length === 0) return 0
    return await store.delete(model, { user_id: user.id, token: { in: rows.map((row) => String(row['token'])) } })
  }

  return {
    async list (user, since, stampOf) {
      let sessions: StoredSession[] = []
      for await (const rows of pages({ user_id: user.id, ...since })) {
        const valid = rows.flatMap((row) => {
          const stamp = stampOf(row)
          return stamp === undefined ? [] : [{ session: sessionOfRow(row), stamp }]
        })
        sessions = addNewest(sessions, valid)
      }
      return sessions
    },

    async remove (user, id) {
      let removed = await store.delete(model, { user_id: user.id, session_id: id })
      if (removed > 0) return true
      for await (const rows of pages({ user_id: user.id, session_id: null })) {
        // a row without a stored id has an id that is derived from its token
        removed += await removeAll(user, rows.filter((row) => sessionOfRow(row).id === id))
      }
      return removed > 0
    },

    async removeOthers (user, except) {
      for await (const rows of pages({ user_id: user.id })) {
        await removeAll(user, rows.filter((row) => sessionOfRow(row).id !== except))
      }
    }
  }
}
