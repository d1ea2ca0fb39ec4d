import {
  generateOpaqueToken,
  type FeatureKit,
  type Row,
  type SessionObserver,
  type User,
  type UserRow
} from '../../feature/index.js'
import { createActivity } from './activity.js'
import type { SessionsApi } from './contracts.js'
import type { DescribeDevice } from './device.js'
import { FST_USERS_SESSION_NOT_ENDABLE, FST_USERS_SESSION_NOT_FOUND } from './errors.js'
import { storeIssued, type SessionParts } from './issued.js'
import { readBackendLifetimes } from './lifetimes.js'
import { pageOf, readOpenSessions } from './open-sessions.js'
import type { SessionsSettings } from './options.js'
import { createSessionStore } from './session-store.js'

/** Ids of sessions. Databases may refuse other characters. */
const PRINTABLE = /^[\x21-\x7e]{1,64}$/
const USERS_PAGE = 200
const STAMP_LENGTH = 22

/** The functions for applications, and those that the core calls. */
export interface Sessions {
  readonly api: SessionsApi
  readonly observer: SessionObserver
  /** Ends the oldest sessions of a user who has logged in and has too many. */
  endSurplus(user: User, newest: string): Promise<void>
  /** Returns the open sessions of a user, for the export of the account. */
  exportData(user: User): Promise<{ sessions: object[] }>
}

/** Creates the functions of the feature. */
export function createSessions (kit: FeatureKit, settings: SessionsSettings, describe: DescribeDevice): Sessions {
  const { maxSessions } = settings
  const backends = readBackendLifetimes(settings, kit)
  const store = createSessionStore(kit)
  const parts: SessionParts = { kit, store, backends, activity: createActivity(kit, store, backends) }
  return {
    observer: {
      seen: parts.activity.seen,
      issued: (_session, created) => storeIssued(parts, created),
      ended: (user, which) => store.remove(user, which)
    },
    async endSurplus (user, newest) {
      if (maxSessions !== null) await endOldest(parts, user, newest, maxSessions)
    },
    async exportData (user) {
      const open = await readOpenSessions(parts, user)
      const { sessions } = pageOf(open, { limit: open.length }, describe)
      return { sessions: sessions.map(({ is_current: _current, can_end: _canEnd, ...rest }) => rest) }
    },
    api: {
      list: async (user, query = {}) => pageOf(await readOpenSessions(parts, user), query, describe),
      end: (user, id) => endOpenSession(parts, user, id),
      async endOthers (user, id, context = {}) {
        await kit.sessions.end(user, { except: id }, context)
      },
      async endAll (user) {
        await kit.sessions.end(user, 'all')
      },
      endAllUsers: () => endAllUsers(kit)
    }
  }
}

async function endOpenSession (parts: SessionParts, user: User, id: string): Promise<void> {
  const open = PRINTABLE.test(id) ? await readOpenSessions(parts, user) : []
  const session = open.find((one) => one.id === id)
  if (session === undefined) throw FST_USERS_SESSION_NOT_FOUND()
  if (!session.canEnd) throw FST_USERS_SESSION_NOT_ENDABLE()
  await parts.kit.sessions.end(user, { id })
}

/** Ends the oldest sessions of a user who has more than `max`. The newest one stays. */
async function endOldest (parts: SessionParts, user: User, newest: string, max: number): Promise<void> {
  const others = (await readOpenSessions(parts, user)).filter(({ canEnd, id }) => canEnd && id !== newest)
  for (const { id } of others.slice(max - 1)) await parts.kit.sessions.end(user, { id })
}

/** Gives all users another security stamp in one statement, and then deletes what is stored, user by user. */
async function endAllUsers ({ store, model, revokeSessions }: FeatureKit): Promise<number> {
  const users = model('user')
  const [first] = await store.findMany(users, {}, { limit: 1 })
  if (first?.['session_stamp'] !== undefined) { // an existing table may lack the column
    await store.update(users, {}, { session_stamp: generateOpaqueToken().slice(0, STAMP_LENGTH) })
  }
  let count = 0
  let rows: Row[] = []
  do {
    const last = rows.at(-1)
    rows = await store.findMany(users, {}, { limit: USERS_PAGE, ...(last === undefined ? {} : { after: last }) })
    for (const row of rows) await revokeSessions(row as unknown as UserRow) // a row of the user model
    count += rows.length
  } while (rows.length === USERS_PAGE)
  return count
}
