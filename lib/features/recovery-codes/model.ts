import type { IdKind, Model, Row } from '../../feature/index.js'

/** The stored codes of one user. */
export interface CodesRow extends Row {
  id: string
  /** SHA-256 of each code that is left, separated by spaces. */
  digests: string
  /** Random text that each change replaces, so that a change can depend on the codes that were read. */
  revision: string
  created_at: Date
}

/** Returns the model of recovery codes: one row for each user who has codes. */
export function recoveryCodeModel (id: IdKind): Model {
  return {
    name: 'recovery_codes',
    table: 'recovery_codes',
    fields: {
      id: { type: 'text', maxLength: 64 }, // the id of the user as text
      user_id: { type: 'id', id, references: 'user' },
      digests: { type: 'text', maxLength: 512 },
      revision: { type: 'text', maxLength: 43 },
      created_at: { type: 'time' }
    },
    index: [['user_id']]
  }
}
