import type { IdKind } from '../../../schemas/index.js'
import type { Model } from '../../contracts/models.js'

/**
 * Prefix of the stored security stamp of a token that is stored in plain text. It prevents that a plain token and a
 * digest are mistaken for each other.
 */
export const PLAIN_STAMP_PREFIX = 'plain:'

/** Returns the model of stored tokens. `session_stamp` is the security stamp that the user had at login. */
export function accessTokenModel (id: IdKind): Model {
  return {
    name: 'accesstoken',
    table: 'accesstoken',
    fields: {
      token: { type: 'text', maxLength: 43 },
      user_id: { type: 'id', id, references: 'user' },
      created_at: { type: 'time' },
      session_stamp: { type: 'text', maxLength: 64, nullable: true, optional: true }
    },
    index: [['user_id'], ['created_at']]
  }
}
