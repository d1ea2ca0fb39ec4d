import { isObject } from '../../feature/index.js'

/** The client data of a ceremony, which the browser writes (WebAuthn Level 3, section 5.8.1). */
export interface ClientData {
  readonly challenge: string
  readonly crossOrigin: boolean
  readonly topOrigin: string | null
}

/** Returns the client data of a response; null for text of another form. The library checks the other values. */
export function readClientData (text: string): ClientData | null {
  const value = parseClientJson(Buffer.from(text, 'base64url').toString())
  if (!isObject(value)) return null
  const { challenge, crossOrigin = false, topOrigin = null } = value as Record<string, unknown>
  if (typeof challenge !== 'string' || typeof crossOrigin !== 'boolean') return null
  return topOrigin === null || typeof topOrigin === 'string' ? { challenge, crossOrigin, topOrigin } : null
}

/**
 * Returns true if the page is embedded in no other site, or in one of `topOrigins`. A browser that reports an embedding
 * without its origin is refused.
 */
export function isFrameAllowed ({ crossOrigin, topOrigin }: ClientData, topOrigins: readonly string[]): boolean {
  if (!crossOrigin) return topOrigin === null
  return topOrigin !== null && topOrigins.includes(topOrigin)
}

function parseClientJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
