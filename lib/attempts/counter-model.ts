import type { Model } from '../contracts/models.js'

/** The model of counters in the database. Its keys are digests: the table contains neither e-mails nor IP addresses. */
export const counterModel: Model = {
  name: 'attempt_counter',
  table: 'attempt_counter',
  fields: {
    id: { type: 'text', maxLength: 43 }, // HMAC-SHA256 of what is counted
    value: { type: 'text', maxLength: 255 },
    expires_at: { type: 'time' }
  },
  index: [['expires_at']],
  expires: 'expires_at'
}
