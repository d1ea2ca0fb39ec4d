import { deleteExpired, digestToken, type FeatureKit } from '../../feature/index.js'
import { transactionModel as model } from './transaction-model.js'

/** A login or linking between its authorize step and its callback step. */
export interface Transaction {
  provider: string
  backend: string
  purpose: 'login' | 'link'
  /** Id of the user who links an account; null for a login. */
  userId: string | null
  /** SHA-256 of the browser's cookie. */
  browser: string
  /** PKCE verifier (RFC 7636); null without PKCE, or if the client keeps its own verifier. */
  verifier: string | null
  /** S256 challenge of the verifier that the client keeps; null otherwise. */
  challenge: string | null
  nonce: string | null
  /** URL that the browser is redirected to after the callback; null for replies in JSON. */
  redirect: string | null
}

/** Transactions in the database: any process can finish a login that another process started. */
export interface Transactions {
  /** Stores a transaction under the digest of its id. */
  open(id: string, transaction: Transaction): Promise<void>
  /**
   * Deletes a transaction and returns it. Of parallel calls only one gets it. Returns null if it is unknown, already
   * taken or expired.
   */
  take(id: string): Promise<Transaction | null>
  /** Checks whether the browser has another open transaction. */
  hasOpen(browser: string): Promise<boolean>
}

const LABEL = 'oauth-state'

export function createTransactions (
  { store, settings: { clock }, background }: FeatureKit,
  lifetimeSeconds: number
): Transactions {
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
