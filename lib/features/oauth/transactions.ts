import { deleteExpired } from '../../adapters/shared/delete-expired.js'
import type { FeatureHost } from '../../contracts/feature-host.js'
import { digestToken } from '../../tokens/index.js'
import { transactionModel as model } from './transaction-model.js'

/** A login or a linking that was started and is not finished. */
export interface Transaction {
  provider: string
  backend: string
  purpose: 'login' | 'link'
  /** Who links; null for a login. */
  userId: string | null
  /** SHA-256 of the browser's cookie. */
  browser: string
  /** The PKCE verifier (RFC 7636); null without PKCE, and where the client has its own. */
  verifier: string | null
  /** S256 of the client's own verifier. */
  challenge: string | null
  nonce: string | null
  /** Where the browser goes afterwards; null for replies in JSON. */
  redirect: string | null
}

/** Transactions in the store: any process may finish what another one started. */
export interface Transactions {
  /** Stores it under the digest of its id. */
  open(id: string, transaction: Transaction): Promise<void>
  /** Removes it and gives it, once: of several takers one wins. Null for one that is unknown, taken or too old. */
  take(id: string): Promise<Transaction | null>
  /** Whether the browser has another one. */
  hasOpen(browser: string): Promise<boolean>
}

const LABEL = 'oauth-state'

export function createTransactions (
  { store, settings: { clock }, background }: FeatureHost,
  lifetimeSeconds: number
): Transactions {
  store.define(model)
  let purging = false

  return {
    async open (id, { userId, ...rest }) {
      if (!purging) {
        purging = true
        background(() =>
          deleteExpired(store, model, 'expires_at', new Date(clock())).finally(() => {
            purging = false
          })
        )
      }
      await store.create(model, {
        ...rest,
        id: digestToken(id, LABEL),
        user_id: userId,
        expires_at: new Date(clock() + lifetimeSeconds * 1000)
      })
    },

    async take (id) {
      const where = { id: digestToken(id, LABEL) }
      const row = await store.findOne(model, where)
      if (row === null || (await store.delete(model, where)) !== 1) return null
      const { user_id: userId, expires_at: end, id: _id, ...rest } = row
      return (end as Date).getTime() > clock() ? ({ ...rest, userId } as Transaction) : null // the model's fields
    },

    async hasOpen (browser) {
      const [other] = await store.findMany(model, { browser, expires_at: { gt: new Date(clock()) } }, { limit: 1 })
      return other !== undefined
    }
  }
}
