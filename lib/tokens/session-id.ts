import { randomBytes } from 'node:crypto'
import { digestToken } from './opaque-token.js'

const LENGTH = 22 // 132 bits in base64url

/** Creates the random id of a session: 16 bytes as 22 base64url characters. */
export function generateSessionId (): string {
  return randomBytes(16).toString('base64url')
}

/** Returns the id of a session that was stored without one: a digest of its token, or of the token's stored form. */
export function deriveSessionId (token: string): string {
  return digestToken(token, 'session-id').slice(0, LENGTH)
}
