import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { OpaqueTokens } from '../contracts/definition.js'

const OPAQUE = /^[A-Za-z0-9_-]{43}$/

/** Creates a random token: 32 bytes as 43 base64url characters. */
export function generateOpaqueToken (): string {
  return randomBytes(32).toString('base64url')
}

/** True for text that has the form of an opaque token. */
export function isOpaqueToken (text: string): boolean {
  return text.length === 43 && OPAQUE.test(text)
}

/** Returns the SHA-256 digest that is stored instead of an opaque token. Each `label` has different digests. */
export function digestToken (token: string, label: string): string {
  return hash('sha256', `${label}\n${token}`, 'base64url')
}

const MARKER_LENGTH = 6
/**
 * Ends a marker. The random part and JWTs do not contain it, and it is allowed in headers (RFC 6750) and cookies (RFC
 * 6265).
 */
const MARKER_END = '~'

/**
 * Creates the tokens of a backend. With `isMarked`, a new token begins with a digest of the backend's label, so the
 * other backends need not look it up. The marker is not secret. The stored digest is that of the whole token, so a
 * token with a changed or removed marker is unknown to every backend.
 */
export function createOpaqueTokens (label: string, isMarked: boolean): OpaqueTokens {
  const marker = digestToken(label, 'backend').slice(0, MARKER_LENGTH) + MARKER_END
  return {
    generate: () => (isMarked ? marker : '') + generateOpaqueToken(),
    canBeOwn: (token) => isOpaqueToken(token.startsWith(marker) ? token.slice(marker.length) : token)
  }
}

/** Creates a random security stamp: 16 bytes as 22 base64url characters. */
export function generateStamp (): string {
  return randomBytes(16).toString('base64url')
}

/**
 * Returns the HMAC-SHA256 of texts as 43 base64url characters. Each part has its length in front, so that different
 * lists of parts never have the same input.
 */
export function fingerprint (key: string, ...parts: readonly string[]): string {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(`${part.length}:${part}`)
  return hmac.digest('base64url')
}

/** Compares a secret in constant time: the time reveals only whether the lengths are equal. */
export function isSameSecret (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
