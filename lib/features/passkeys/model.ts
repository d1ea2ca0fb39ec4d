import { hash } from 'node:crypto'
import type { IdKind, Model } from '../../feature/index.js'
import type { Passkey } from './contracts.js'

export const NAME_MAX_LENGTH = 100
/** Largest id of a credential: 1023 bytes (WebAuthn Level 3, section 7.1), in characters of base64url. */
export const CREDENTIAL_ID_MAX_LENGTH = 1364
const TRANSPORTS_MAX_LENGTH = 255

/** A stored passkey. */
export type PasskeyRow = {
  id: string
  user_id: string | number
  /** Random id of the user for authenticators, equal for all passkeys of the user. */
  user_handle: string
  name: string
  credential_id: string
  /** Public key in the form of COSE (RFC 9052), in base64url. */
  public_key: string
  sign_count: number
  /** Separated by spaces. */
  transports: string
  backup_eligible: boolean
  backed_up: boolean
  verifies_user: boolean
  /** The user signed up with this passkey instead of a password. */
  is_first: boolean
  created_at: Date
  last_used_at: Date | null
}

/**
 * Returns the model of passkeys. The primary key is the digest of the credential id, so that a credential belongs to
 * one user, and ids of 1023 bytes need no index.
 */
export function passkeyModel (id: IdKind): Model {
  return {
    name: 'passkey',
    table: 'passkey',
    fields: {
      id: { type: 'text', maxLength: 43 },
      user_id: { type: 'id', id, references: 'user' },
      user_handle: { type: 'text', maxLength: 86 },
      name: { type: 'text', maxLength: NAME_MAX_LENGTH },
      credential_id: { type: 'text', maxLength: CREDENTIAL_ID_MAX_LENGTH },
      public_key: { type: 'text' },
      sign_count: { type: 'integer' },
      transports: { type: 'text', maxLength: TRANSPORTS_MAX_LENGTH },
      backup_eligible: { type: 'boolean' },
      backed_up: { type: 'boolean' },
      verifies_user: { type: 'boolean' },
      is_first: { type: 'boolean' },
      created_at: { type: 'time' },
      last_used_at: { type: 'time', nullable: true }
    },
    index: [['user_id']]
  }
}

/** Returns the id of the row of a credential. */
export function rowIdOf (credentialId: string): string {
  return hash('sha256', credentialId, 'base64url')
}

/** Returns the properties of a passkey that its owner sees. */
export function toPasskey (row: PasskeyRow): Passkey {
  return {
    id: row.id,
    name: row.name,
    credential_id: row.credential_id,
    device_type: row.backup_eligible ? 'multi_device' : 'single_device',
    backed_up: row.backed_up,
    transports: splitTransports(row.transports),
    verifies_user: row.verifies_user,
    created_at: row.created_at.toISOString(),
    last_used_at: row.last_used_at?.toISOString() ?? null
  }
}

/** Returns the transports of a stored passkey. */
export function splitTransports (text: string): string[] {
  return text === '' ? [] : text.split(' ')
}

/** Returns the stored form of the transports that a browser reported. Words of another form are left out. */
export function joinTransports (transports: readonly string[] = []): string {
  const known = [...new Set(transports)].filter((word) => /^[a-z-]{1,20}$/.test(word)).sort()
  return known.slice(0, 10).join(' ')
}
