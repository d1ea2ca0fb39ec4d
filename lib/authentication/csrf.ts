import type { FastifyRequest } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import type { Transport } from '../contracts/transport.js'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']) // RFC 9110, section 9.2.1
/**
 * Browsers send `Secure` cookies to these over plain http too: nothing crosses a network (W3C Secure Contexts, section
 * 3.1).
 */
const LOOPBACK = /^http:\/\/(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/
/** A loopback origin with a port, split before the port. */
const LOOPBACK_PORT = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\d+$/

/** Returns true for a request that can change something: an unsafe method, or an upgrade to a WebSocket. */
export function isUnsafe ({ method, headers }: FastifyRequest): boolean {
  return !SAFE.has(method) || headers.upgrade !== undefined
}

/**
 * Returns true if a browser sent the request from a site that is not ours. Checks in this order:
 * 1. A trusted `Origin` passes.
 * 2. `Sec-Fetch-Site: same-origin` passes; `none` (typed or bookmarked) passes without `Origin` or with our own;
 *    every other value is refused (Fetch Metadata, section 2.3).
 * 3. Without `Sec-Fetch-Site`, `Origin` must be our own.
 * 4. Without both headers the sender is not a browser, and passes.
 */
export function isCrossSite (
  request: FastifyRequest,
  settings: Settings,
  transport: Pick<Transport, 'secure'>
): boolean {
  const { origin, 'sec-fetch-site': fetchSite } = request.headers
  if (origin !== undefined && isTrusted(origin, settings)) return false
  if (fetchSite !== undefined && fetchSite !== 'none') return fetchSite !== 'same-origin'
  return origin !== undefined && !isOwn(origin, request, settings, transport)
}

function isTrusted (origin: string, { trustedOrigins }: Settings): boolean {
  if (trustedOrigins.has(origin)) return true
  const loopback = LOOPBACK_PORT.exec(origin)?.[1]
  return loopback !== undefined && trustedOrigins.has(`${loopback}:*`)
}

/**
 * Our own origin is that of `publicUrl`. Without the option its host must be the host of the request, and it must be
 * https where the cookie is `Secure`: on plain http whoever is on the network can write pages in the name of our host.
 */
function isOwn (
  origin: string,
  request: FastifyRequest,
  { publicOrigin }: Settings,
  { secure = true }: Pick<Transport, 'secure'>
): boolean {
  if (publicOrigin !== null) return origin === publicOrigin
  const url = URL.canParse(origin) ? new URL(origin) : null
  // equal texts: no path, no user, no upper case
  if (url === null || url.origin !== origin || url.host !== hostOf(request)) return false
  return !secure || url.protocol === 'https:' || LOOPBACK.test(origin)
}

/** The host that the request is for: `:authority` of HTTP/2, which replaces `Host` there (RFC 9113, section 8.3.1). */
function hostOf ({ headers }: FastifyRequest): string | undefined {
  const host = headers[':authority'] ?? headers.host
  return typeof host === 'string' ? host.toLowerCase() : undefined
}
