import type { Model } from '../../feature/index.js'

/** The model of transactions: the values of a login in progress that only the server may know. */
export const transactionModel: Model = {
  name: 'oauth_transaction',
  table: 'oauth_transaction',
  fields: {
    id: { type: 'text', maxLength: 43 }, // SHA-256 of the id in the state
    provider: { type: 'text', maxLength: 100 },
    backend: { type: 'text', maxLength: 32 },
    purpose: { type: 'text', maxLength: 8 },
    user_id: { type: 'text', maxLength: 64, nullable: true },
    browser: { type: 'text', maxLength: 43 }, // SHA-256 of the cookie
    verifier: { type: 'text', maxLength: 43, nullable: true },
    challenge: { type: 'text', maxLength: 43, nullable: true },
    nonce: { type: 'text', maxLength: 43, nullable: true },
    redirect: { type: 'text', maxLength: 2100, nullable: true },
    expires_at: { type: 'time' }
  },
  index: [['browser'], ['expires_at']],
  expires: 'expires_at'
}
