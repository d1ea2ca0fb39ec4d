import type { IdKind } from '../../../schemas/index.js'
import type { Model } from '../../contracts/models.js'

/**
 * Begins the stamp of a token that is stored as it is, so that a plain token and a digest are never taken for each
 * other.
 */
export const PLAIN_MARK = 'plain:'

/** The model of stored tokens: the contract's columns, and the stamp that the user had. */
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
