import type { FastifyRequest } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import type { Transport } from '../contracts/transport.js'
import { FST_USERS_CROSS_SITE_REQUEST } from '../errors.js'

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']) // RFC 9110, section 9.2.1
/**
 * Loopback origins. Browsers send `Secure` cookies to them over plain http too, because the request does not cross a
 * network (W3C Secure Contexts, section 3.1).
 */
const LOOPBACK = /^http:\/\/(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/
/** A loopback origin with a port; the group is the part before the port. */
const LOOPBACK_PORT = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\d+$/

/** Returns true for a request that can change state: an unsafe method, or an upgrade to a WebSocket. */
export function isUnsafe ({ method, headers }: FastifyRequest): boolean {
  return !SAFE_METHODS.has(method) || headers.upgrade !== undefined
}

/**
 * Returns true if a browser sent the request from another site. Checks in this order:
 * 1. A trusted `Origin` passes.
 * 2. `Sec-Fetch-Site: same-origin` passes; `none` (typed or bookmarked) passes without `Origin` or with the server's
 *    own; every other value is refused (Fetch Metadata, section 2.3).
 * 3. Without `Sec-Fetch-Site`, `Origin` must be the server's own.
 * 4. A request without both headers passes, because its sender is not a browser.
 */
export function isCrossSite (
  request: FastifyRequest,
  settings: Settings,
  transport: Pick<Transport, 'secure'>
): boolean {
  const { origin, 'sec-fetch-site': fetchSite } = request.headers
  if (origin !== undefined && isTrusted(origin, settings)) return false
  if (fetchSite !== undefined && fetchSite !== 'none') return fetchSite !== 'same-origin'
  return origin !== undefined && !isOwnOrigin(origin, request, settings, transport)
}

/**
 * Creates a hook that refuses requests of other sites with `FST_USERS_CROSS_SITE_REQUEST`, if browsers send the
 * credential of the transport by themselves.
 */
export function refuseCrossSite (
  settings: Settings,
  transport: Pick<Transport, 'ambient' | 'secure'>
): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    if (transport.ambient && isCrossSite(request, settings, transport)) throw FST_USERS_CROSS_SITE_REQUEST()
  }
}

function isTrusted (origin: string, { trustedOrigins }: Settings): boolean {
  if (trustedOrigins.has(origin)) return true
  const loopback = LOOPBACK_PORT.exec(origin)?.[1]
  return loopback !== undefined && trustedOrigins.has(`${loopback}:*`)
}

/**
 * Returns true for the server's own origin, which is the origin of `publicUrl`. Without that option, its host must be
 * the host of the request. If the cookie is `Secure`, the origin must also be https, because an attacker on the network
 * can serve pages under the same host over plain http.
 */
function isOwnOrigin (
  origin: string,
  request: FastifyRequest,
  { publicOrigin }: Settings,
  { secure = true }: Pick<Transport, 'secure'>
): boolean {
  if (publicOrigin !== null) return origin === publicOrigin
  const url = URL.canParse(origin) ? new URL(origin) : null
  // the origin must be in normal form: without path, user information and upper case
  if (url === null || url.origin !== origin || url.host !== hostOf(request)) return false
  return !secure || url.protocol === 'https:' || LOOPBACK.test(origin)
}

/** Returns the requested host: `Host`, or `:authority` in HTTP/2 (RFC 9113, section 8.3.1). */
function hostOf ({ headers }: FastifyRequest): string | undefined {
  const host = headers[':authority'] ?? headers.host
  return typeof host === 'string' ? host.toLowerCase() : undefined
}
