import type { IdKind, Model, Row } from '../../feature/index.js'

/** The longest id of a session that can be stored. */
export const ID_MAX_LENGTH = 64
export const USER_AGENT_MAX_LENGTH = 512
export const IP_MAX_LENGTH = 64

/** The stored values of a session, in addition to those of its strategy. */
export interface SessionRow extends Row {
  id: string
  user_id: string | number
  backend: string
  methods: readonly string[]
  /** Security stamp of the user when the session was created. */
  stamp: string
  is_remembered: boolean
  ip_address: string | null
  user_agent: string | null
  created_at: Date
  last_seen_at: Date
  /** End of the newest token; null for a token without end. */
  token_ends_at: Date | null
  /** Time after which no token of the session can be valid. */
  expires_at: Date
}

/** Returns the model of the sessions of users. The id is that of the session, not its token. */
export function userSessionModel (id: IdKind): Model {
  return {
    name: 'user_session',
    table: 'user_session',
    fields: {
      id: { type: 'text', maxLength: ID_MAX_LENGTH },
      user_id: { type: 'id', id, references: 'user' },
      backend: { type: 'text', maxLength: 32 },
      methods: { type: 'json' },
      stamp: { type: 'text', maxLength: 64 },
      is_remembered: { type: 'boolean' },
      ip_address: { type: 'text', maxLength: IP_MAX_LENGTH, nullable: true },
      user_agent: { type: 'text', maxLength: USER_AGENT_MAX_LENGTH, nullable: true },
      created_at: { type: 'time' },
      last_seen_at: { type: 'time' },
      token_ends_at: { type: 'time', nullable: true },
      expires_at: { type: 'time' }
    },
    index: [['user_id'], ['expires_at']],
    expires: 'expires_at'
  }
}
