import type { Model, Row } from '../../feature/index.js'

/** A stored request for a deletion. */
export interface DeletionRow extends Row {
  /** Id of the user as text. */
  id: string
  /** Digest of the token that undoes the request. */
  token: string
  /** Earliest time of the deletion. */
  due_at: Date
  /** Time until which a process works on the request. */
  claimed_until: Date
}

/** The model of requested deletions. A row stays until its user is deleted, so that a killed process loses none. */
export const deletionModel: Model = {
  name: 'account_deletion',
  table: 'account_deletion',
  fields: {
    id: { type: 'text', maxLength: 64 },
    token: { type: 'text', maxLength: 43 },
    due_at: { type: 'time' },
    claimed_until: { type: 'time' }
  },
  index: [['token'], ['due_at']]
}
