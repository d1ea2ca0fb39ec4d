import type { IdKind } from '../../../schemas/index.js'
import type { Row } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { Session } from '../../contracts/session.js'
import { parseJson } from '../../shared/json.js'
import { deriveSessionId } from '../../tokens/index.js'
import { encodeDetails, encodeMethods, readDetails, readMethods } from '../stored-session.js'

/**
 * Prefix of the stored security stamp of a token that is stored in plain text. It prevents that a plain token and a
 * digest are mistaken for each other.
 */
export const PLAIN_STAMP_PREFIX = 'plain:'

const OPTIONAL = { nullable: true, optional: true } as const

/**
 * Returns the model of stored tokens. `session_stamp` is the security stamp that the user had at login. `methods` and
 * `details` are JSON text, so that a guarded request does not decode them.
 */
export function accessTokenModel (id: IdKind): Model {
  return {
    name: 'accesstoken',
    table: 'accesstoken',
    fields: {
      token: { type: 'text', maxLength: 43 },
      user_id: { type: 'id', id, references: 'user' },
      created_at: { type: 'time' },
      session_stamp: { type: 'text', maxLength: 64, ...OPTIONAL },
      session_id: { type: 'text', maxLength: 64, ...OPTIONAL },
      authenticated_at: { type: 'time', ...OPTIONAL },
      methods: { type: 'text', ...OPTIONAL },
      details: { type: 'text', ...OPTIONAL }
    },
    index: [['user_id'], ['created_at']]
  }
}

/** Returns the values of a session for the row of its token. */
export function rowOfSession ({ id, authenticatedAt, methods, details }: Session): Row {
  return {
    session_id: id,
    authenticated_at: authenticatedAt,
    methods: encodeMethods(methods),
    details: encodeDetails(details)
  }
}

/**
 * Returns the session of a stored token. A token of an existing table has only the time of its creation. The dates are
 * copies, because the user cache keeps the row.
 */
export function sessionOfRow (row: Row): Session {
  const { session_id: id, created_at: createdAt, authenticated_at: authenticatedAt } = row
  return {
    id: typeof id === 'string' ? id : deriveSessionId(String(row['token'])),
    createdAt: new Date(createdAt as Date), // the model's fields
    authenticatedAt: authenticatedAt instanceof Date ? new Date(authenticatedAt) : null,
    methods: readMethods(parseJson(row['methods'])),
    details: readDetails(parseJson(row['details']))
  }
}
