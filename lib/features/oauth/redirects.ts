import { FST_USERS_INVALID_OPTION } from '../../errors.js'

/** Places of the application that a browser may be sent to after a login. */
export interface Redirects {
  /** The absolute address, written anew, when it is an allowed one; null for any other. Without text, the first place. */
  resolve(text: string | undefined): string | null
}

interface Place { origin: string, path: string }

const MAX_LENGTH = 2048
/** What browsers and servers read in different ways: white space, control characters, backslashes, a host without a scheme. */
const AMBIGUOUS = /[\p{Cc}\p{Z}\\]|^\/\//u
/** A path or a whole address: never `https:e` or `javascript:`. */
const FORM = /^(?:\/|https?:\/\/)/i
/** Slashes, dots and control characters that are encoded, also more than once. */
const ENCODED = /%(?:25)*(?:2[ef]|5c|[01][0-9a-f]|7f)/i

/**
 * The allowlist of `redirects`: an address fits when its origin is that of a place, and its path is the place's or below.
 * Paths are those of `base`. Throws `FST_USERS_INVALID_OPTION` for a place that is not plain.
 */
export function createRedirects (places: readonly string[], base: string): Redirects {
  const allowed = places.map((text, i): Place => {
    const url = parse(text, base)
    if (url === null || url.search + url.hash !== '') throw FST_USERS_INVALID_OPTION([`redirects[${i}]`, 'must be a path such as /app, or an absolute address without query and fragment'])
    return { origin: url.origin, path: url.pathname }
  })

  return {
    resolve (text = places[0]) {
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
  if (typeof text !== 'string' || text.length > MAX_LENGTH || AMBIGUOUS.test(text) || !FORM.test(text) || !URL.canParse(text, base)) return null
  const url = new URL(text, base)
  const plain = /^https?:$/.test(url.protocol) && url.username + url.password === '' && !url.pathname.startsWith('//') && !ENCODED.test(url.pathname)
  return plain ? url : null
}

function contains ({ origin, path }: Place, url: URL): boolean {
  return url.origin === origin && (url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`))
}
