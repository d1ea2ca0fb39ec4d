import type { FastifyRequest } from 'fastify'
import type { Settings } from '../contracts/settings.js'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])     // RFC 9110, section 9.2.1

/** True for a request that can change something: an unsafe method, or an upgrade to a WebSocket. */
export function isUnsafe ({ method, headers }: FastifyRequest): boolean {
  return !SAFE.has(method) || headers.upgrade !== undefined
}

/**
 * True when a browser sent the request from a place that is not ours. In this order: a trusted `Origin` passes;
 * `Sec-Fetch-Site` must be `same-origin` or `none` (Fetch Metadata); `Origin` must be that of `publicUrl`, or else its
 * host the request's own; with neither header it was no browser.
 */
export function isCrossSite ({ headers }: FastifyRequest, { trustedOrigins, publicOrigin }: Settings): boolean {
  const { origin, 'sec-fetch-site': fetchSite } = headers
  if (origin !== undefined && trustedOrigins.has(origin)) return false
  if (fetchSite !== undefined) return fetchSite !== 'same-origin' && fetchSite !== 'none'
  if (origin === undefined) return false
  return publicOrigin === null ? !isOwnHost(origin, headers.host ?? String(headers[':authority'])) : origin !== publicOrigin
}

/** Byte for byte as browsers write it: no user, no path, no upper case. */
function isOwnHost (origin: string, host: string): boolean {
  const url = URL.canParse(origin) ? new URL(origin) : null
  return url !== null && url.origin === origin && url.host === host.toLowerCase()
}
