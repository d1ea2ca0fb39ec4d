import { FST_USERS_INVALID_OPTION } from '../../feature/index.js'

/** The allowlist of URLs that a browser may be redirected to after a login. */
export interface Redirects {
  /**
   * Returns the normalized absolute URL if it is allowed, otherwise null. Without `text`, returns the first entry of
   * the list.
   */
  resolve(text: string | undefined): string | null
}

interface AllowedTarget {
  protocol: string
  hostname: string
  /** Null for a loopback host with any port (RFC 8252, section 7.3). */
  port: string | null
  path: string
}

const MAX_LENGTH = 2048
/**
 * Text that browsers and servers parse differently: white space, control characters, backslashes, and a host without a
 * scheme.
 */
const AMBIGUOUS = /[\p{Cc}\p{Z}\\]|^\/\//u
/**
 * A path, an http(s) URL, a page of Capacitor or Ionic, or a private-use scheme with a dot (RFC 8252, section 7.1).
 * Excludes `https:e` and `javascript:`.
 */
const ALLOWED_FORM =
  /^(?:\/|https?:\/\/|(?:capacitor|ionic):\/\/localhost(?![^/?#])|[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:\/)/i
/** A loopback host with any port, split before the port. */
const ANY_PORT = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\*(?=\/|$)/
/** Percent-encoded slashes, dots and control characters, also encoded repeatedly. */
const ENCODED = /%(?:25)*(?:2[ef]|5c|[01][0-9a-f]|7f)/i

/**
 * Creates the allowlist of `redirects`. A URL is allowed if its scheme, host and port equal those of an entry, and its
 * path is the entry's or below it. Paths are relative to `base`. Throws `FST_USERS_INVALID_OPTION`.
 */
export function createRedirects (targets: readonly string[], base: string): Redirects {
  const allowed = targets.map((text, i): AllowedTarget => {
    const anyPort = typeof text === 'string' && ANY_PORT.test(text)
    const url = parseRedirect(anyPort ? text.replace(ANY_PORT, '$1') : text, base)
    if (url === null || url.search + url.hash !== '') {
      throw FST_USERS_INVALID_OPTION([
        `oauth.redirects[${i}]`,
        'must be a path such as /app, or an absolute URL without query and fragment'
      ])
    }
    const { protocol, hostname, port, pathname } = url
    return { protocol, hostname, port: anyPort ? null : port, path: pathname }
  })

  const first = targets[0]?.replace(ANY_PORT, '$1')

  return {
    resolve (text = first) {
      const url = parseRedirect(text, base)
      return url !== null && allowed.some((target) => contains(target, url)) ? url.href : null
    }
  }
}

function parseRedirect (text: string | undefined, base: string): URL | null {
  if (
    typeof text !== 'string' ||
    text.length > MAX_LENGTH ||
    AMBIGUOUS.test(text) ||
    !ALLOWED_FORM.test(text) ||
    !URL.canParse(text, base)
  ) {
    return null
  }
  const url = new URL(text, base)
  const isPlain =
    url.username + url.password === '' &&
    !url.hostname.includes('*') &&
    !url.pathname.startsWith('//') &&
    !ENCODED.test(url.pathname)
  return isPlain ? url : null
}

function contains ({ protocol, hostname, port, path }: AllowedTarget, url: URL): boolean {
  if (url.protocol !== protocol || url.hostname !== hostname || (port !== null && url.port !== port)) return false
  return url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}
