import { FST_USERS_INVALID_OPTION } from '../../errors.js'

/** Places of the application that a browser may be sent to after a login. */
export interface Redirects {
  /**
   * The absolute address, written anew, when it is an allowed one; null for any other. Without text, the first place.
   */
  resolve(text: string | undefined): string | null
}

interface Place {
  protocol: string
  hostname: string
  /** Null for a loopback host with any port (RFC 8252, section 7.3). */
  port: string | null
  path: string
}

const MAX_LENGTH = 2048
/**
 * What browsers and servers read in different ways: white space, control characters, backslashes, a host without a
 * scheme.
 */
const AMBIGUOUS = /[\p{Cc}\p{Z}\\]|^\/\//u
/**
 * A path, an http(s) URL, a page of Capacitor or Ionic, or a private-use scheme with a dot (RFC 8252, section 7.1):
 * never
 * `https:e` or `javascript:`.
 */
const FORM = /^(?:\/|https?:\/\/|(?:capacitor|ionic):\/\/localhost(?![^/?#])|[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:\/)/i
/** A loopback host with any port, split before the port. */
const ANY_PORT = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])):\*(?=\/|$)/
/** Slashes, dots and control characters that are encoded, also more than once. */
const ENCODED = /%(?:25)*(?:2[ef]|5c|[01][0-9a-f]|7f)/i

/**
 * Creates the allowlist of `redirects`: a URL is allowed when its scheme, host and port are those of a place, and its
 * path
 * is the place's or below. Paths are those of `base`. Throws `FST_USERS_INVALID_OPTION` for a place that is not plain.
 */
export function createRedirects (places: readonly string[], base: string): Redirects {
  const allowed = places.map((text, i): Place => {
    const anyPort = typeof text === 'string' && ANY_PORT.test(text)
    const url = parse(anyPort ? text.replace(ANY_PORT, '$1') : text, base)
    if (url === null || url.search + url.hash !== '') {
      throw FST_USERS_INVALID_OPTION([
        `redirects[${i}]`,
        'must be a path such as /app, or an absolute URL without query and fragment'
      ])
    }
    const { protocol, hostname, port, pathname } = url
    return { protocol, hostname, port: anyPort ? null : port, path: pathname }
  })

  const first = places[0]?.replace(ANY_PORT, '$1')

  return {
    resolve (text = first) {
      const url = parse(text, base)
      return url !== null && allowed.some((place) => contains(place, url)) ? url.href : null
    }
  }
}

/** The address with an error's word for the page to show. */
export function withError (address: string, word: string): string {
  const url = new URL(address)
  url.searchParams.set('error', word)
  return url.href
}

function parse (text: string | undefined, base: string): URL | null {
  if (
    typeof text !== 'string' ||
    text.length > MAX_LENGTH ||
    AMBIGUOUS.test(text) ||
    !FORM.test(text) ||
    !URL.canParse(text, base)
  ) {
    return null
  }
  const url = new URL(text, base)
  const plain =
    url.username + url.password === '' &&
    !url.hostname.includes('*') &&
    !url.pathname.startsWith('//') &&
    !ENCODED.test(url.pathname)
  return plain ? url : null
}

function contains ({ protocol, hostname, port, path }: Place, url: URL): boolean {
  if (url.protocol !== protocol || url.hostname !== hostname || (port !== null && url.port !== port)) return false
  return url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}
