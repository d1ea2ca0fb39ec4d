import type { IdKind, Model, Row } from '../../feature/index.js'
import type { ApiKey } from './contracts.js'

/** Label of the stored digests. */
export const DIGEST_LABEL = 'api-key'
export const NAME_MAX_LENGTH = 100
export const SCOPES_MAX_LENGTH = 1000
export const RANGES_MAX_LENGTH = 1000

/** A stored key. Lists are separated by spaces. */
export interface KeyRow extends Row {
  id: string
  user_id: string | number
  name: string
  digest: string
  last_four: string
  scopes: string
  ip_ranges: string | null
  is_service: boolean
  created_at: Date
  expires_at: Date | null
  last_used_at: Date | null
}

/** Returns the model of keys. The digest is that of the whole key. */
export function apiKeyModel (id: IdKind): Model {
  return {
    name: 'api_key',
    table: 'api_key',
    fields: {
      id: { type: 'text', maxLength: 32 },
      user_id: { type: 'id', id, references: 'user' },
      name: { type: 'text', maxLength: NAME_MAX_LENGTH },
      digest: { type: 'text', maxLength: 43 },
      last_four: { type: 'text', maxLength: 4 },
      scopes: { type: 'text', maxLength: SCOPES_MAX_LENGTH },
      ip_ranges: { type: 'text', maxLength: RANGES_MAX_LENGTH, nullable: true },
      is_service: { type: 'boolean' },
      created_at: { type: 'time' },
      expires_at: { type: 'time', nullable: true },
      last_used_at: { type: 'time', nullable: true }
    },
    index: [['user_id'], ['is_service']]
  }
}

/** Returns the properties of a key that its owner sees. */
export function toApiKey (row: KeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    last_four: row.last_four,
    scopes: splitList(row.scopes),
    ip_ranges: splitList(row.ip_ranges),
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at?.toISOString() ?? null,
    last_used_at: row.last_used_at?.toISOString() ?? null
  }
}

/** Returns the parts of a stored list. */
export function splitList (text: string | null): string[] {
  return text === null || text === '' ? [] : text.split(' ')
}
