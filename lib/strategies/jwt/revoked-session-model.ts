import type { Model } from '../../contracts/models.js'

/** The model of revoked sessions. A row is kept until no token of its session can be valid. */
export const revokedSessionModel: Model = {
  name: 'revoked_session',
  table: 'revoked_session',
  fields: {
    id: { type: 'text', maxLength: 43 }, // digest of the user and the session
    expires_at: { type: 'time', nullable: true }
  },
  index: [['expires_at']],
  expires: 'expires_at'
}
