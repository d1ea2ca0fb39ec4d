import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'

const OPAQUE = /^[A-Za-z0-9_-]{43}$/

/** A random token: 32 bytes as 43 base64url characters. */
export function generateOpaqueToken (): string {
  return randomBytes(32).toString('base64url')
}

/** True for text that has the form of an opaque token. */
export function isOpaqueToken (text: string): boolean {
  return text.length === 43 && OPAQUE.test(text)
}

/** What is stored of an opaque token: its SHA-256 as 43 base64url characters, separate for each `label`. */
export function digestToken (token: string, label: string): string {
  return hash('sha256', `${label}\n${token}`, 'base64url')
}

/** A random stamp: 16 bytes as 22 base64url characters. */
export function generateStamp (): string {
  return randomBytes(16).toString('base64url')
}

/**
 * A keyed fingerprint of texts: 43 base64url characters. The parts are length-prefixed, so that they cannot run into
 * each other.
 */
export function fingerprint (key: string, ...parts: readonly string[]): string {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(`${part.length}:${part}`)
  return hmac.digest('base64url')
}

/** Compares texts of which one is secret: the time it takes tells nothing but their lengths. */
export function isSameSecret (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
