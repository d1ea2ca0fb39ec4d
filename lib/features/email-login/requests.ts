import {
  deleteExpired,
  digestToken,
  isOpaqueToken,
  type EventContext,
  type FeatureKit,
  type User,
  type Where
} from '../../feature/index.js'
import { emailLoginModel as model, type RequestRow } from './model.js'

/** Number of codes that one ticket allows. */
const MAX_CODES = 5

/** The owner of a request, who is looked up after the reply. */
export type RequestOwner = Pick<RequestRow, 'user_id' | 'stamp' | 'signs_up'>

/** The stored requests for logins. */
export interface StoredRequests {
  /** Stores a request. Deletes expired ones after the reply. */
  add(row: RequestRow, context: EventContext): Promise<void>
  /** Stores the owner of a request. Returns false if the request is gone. */
  assign(id: string, owner: RequestOwner, email: string): Promise<boolean>
  /** Counts a code, and returns the request of a ticket; null if it does not exist or allows no further code. */
  countCode(ticket: string): Promise<RequestRow | null>
  /** Returns the request of the token of a link, or null. */
  ofLink(token: string): Promise<RequestRow | null>
  /** Uses a request up. Of parallel calls, one returns true. */
  take(row: RequestRow): Promise<boolean>
  /** Deletes all requests of a user. */
  removeOf(user: Pick<User, 'id'>): Promise<void>
}

/** Returns the digest that is stored for a ticket. */
export function digestTicket (ticket: string): string {
  return digestToken(ticket, 'email-login:ticket')
}

/** Returns the digest that is stored for the token of a link. */
export function digestLink (token: string): string {
  return digestToken(token, 'email-login:link')
}

/** Creates the functions that read and write requests. */
export function createStoredRequests ({ store, clock, background }: FeatureKit): StoredRequests {
  const isOpen = (row: RequestRow | null): boolean => row !== null && row.expires_at.getTime() > clock()

  async function find (where: Where): Promise<RequestRow | null> {
    const [row = null] = (await store.findMany(model, where, { limit: 1 })) as RequestRow[] // rows of the model
    return isOpen(row) ? row : null
  }

  return {
    async add (row, { reply }) {
      await store.create(model, row)
      background(() => deleteExpired(store, model, 'expires_at', new Date(clock())), reply)
    },
    assign: async (id, owner, email) => (await store.update(model, { id }, { ...owner, email })) === 1,
    async countCode (ticket) {
      if (!isOpaqueToken(ticket)) return null
      const id = digestTicket(ticket)
      const row = await find({ id })
      const open = { id, attempts: { lt: MAX_CODES } }
      return row !== null && (await store.update(model, open, { attempts: { increment: 1 } })) === 1 ? row : null
    },
    ofLink: async (token) => (isOpaqueToken(token) ? await find({ link: digestLink(token) }) : null),
    take: async ({ id }) => (await store.delete(model, { id })) === 1,
    async removeOf ({ id }) {
      await store.delete(model, { user_id: String(id) })
    }
  }
}
