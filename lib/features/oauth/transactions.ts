import type { FeatureKit } from '../../feature/index.js'

/** A login or linking between its authorize step and its callback step. */
export interface Transaction {
  provider: string
  backend: string
  purpose: 'login' | 'link'
  /** Id of the user who links an account; null for a login. */
  userId: string | null
  /** PKCE verifier (RFC 7636); null without PKCE, or if the client keeps its own verifier. */
  verifier: string | null
  /** S256 challenge of the verifier that the client keeps; null otherwise. */
  challenge: string | null
  nonce: string | null
  /** URL that the browser is redirected to after the callback; null for replies in JSON. */
  redirect: string | null
  /** The user asked for a longer session. Absent for false. */
  rememberMe?: true
}

/** Transactions in the database: any process can finish a login that another process started. */
export interface Transactions {
  /** Stores a transaction for a browser, which is the SHA-256 of its cookie. Returns the id of the transaction. */
  open(transaction: Transaction, browser: string): Promise<string>
  /**
   * Deletes a transaction and returns it. Of parallel calls only one gets it. Returns null if it is unknown, already
   * taken or expired, or if another browser started it.
   */
  take(id: string, browser: string | null): Promise<Transaction | null>
  /** Checks whether the browser has another open transaction. */
  hasOpen(browser: string): Promise<boolean>
}

/** Creates the transactions of a registration. All registrations share one purpose, because they may share a cookie. */
export function createTransactions (kit: FeatureKit, lifetimeSeconds: number): Transactions {
  const values = kit.singleUse<Transaction>('oauth-state', { lifetimeSeconds })
  return {
    open: (transaction, browser) => values.create(transaction, { browser }),
    take: (id, browser) => values.consume(id, { browser }),
    hasOpen: (browser) => values.hasOpen(browser)
  }
}
