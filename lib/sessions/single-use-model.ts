import type { Model } from '../contracts/models.js'

/** The model of single-use values. The table exists if a feature uses it. */
export const singleUseModel: Model = {
  name: 'single_use',
  table: 'single_use',
  fields: {
    id: { type: 'text', maxLength: 43 }, // SHA-256 of the token
    purpose: { type: 'text', maxLength: 100 },
    user_id: { type: 'text', maxLength: 64, nullable: true },
    browser: { type: 'text', maxLength: 43, nullable: true }, // SHA-256 of a cookie
    attempts: { type: 'integer' },
    data: { type: 'json' },
    expires_at: { type: 'time' }
  },
  index: [['browser'], ['user_id'], ['expires_at']],
  expires: 'expires_at'
}
