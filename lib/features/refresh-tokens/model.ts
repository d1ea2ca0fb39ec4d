import type { IdKind, Model } from '../../feature/index.js'

/** The longest id of a session that can have refresh tokens. */
export const ID_MAX_LENGTH = 64

/** Returns the model of sessions with refresh tokens: one row for each session, which all of its tokens share. */
export function refreshTokenModel (id: IdKind): Model {
  return {
    name: 'refresh_token',
    table: 'refresh_token',
    fields: {
      id: { type: 'text', maxLength: ID_MAX_LENGTH }, // the id of the session
      user_id: { type: 'id', id, references: 'user' },
      backend: { type: 'text', maxLength: 32 },
      generation: { type: 'integer' }, // number of the current token
      token: { type: 'text', maxLength: 43 }, // SHA-256 of the current token
      seed: { type: 'text', maxLength: 43 }, // random input of all tokens of the session
      stamp: { type: 'text', maxLength: 64 }, // the user's security stamp at the login
      data: { type: 'json' }, // methods, time and details of the login
      created_at: { type: 'time' },
      rotated_at: { type: 'time' },
      expires_at: { type: 'time' },
      ends_at: { type: 'time' }
    },
    index: [['user_id'], ['expires_at']],
    expires: 'expires_at'
  }
}
