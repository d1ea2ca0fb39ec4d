import type { IdKind, Model, Row, UserId } from '../../feature/index.js'

/** The authenticator app of a user. */
export interface TotpRow extends Row {
  id: string
  user_id: UserId
  /** Random text that identifies the enrolment, so that a later app of the user is another one. */
  enrolment: string
  /** The encrypted secret. */
  secret: string
  /** The last time step of which a code was accepted. */
  last_step: number
  created_at: Date
}

/** Returns the model of authenticator apps: at most one for each user. */
export function totpModel (id: IdKind): Model {
  return {
    name: 'totp',
    table: 'totp',
    fields: {
      id: { type: 'text', maxLength: 64 }, // the id of the user as text
      user_id: { type: 'id', id, references: 'user' },
      enrolment: { type: 'text', maxLength: 43 },
      secret: { type: 'text', maxLength: 512 },
      last_step: { type: 'integer' },
      created_at: { type: 'time' }
    },
    index: [['user_id']]
  }
}
