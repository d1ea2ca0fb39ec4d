const TOKEN = /^[A-Za-z0-9._~+/=-]+$/

/** Treatment of several cookies with one name: `refuse` ignores all of them, `last` uses the last one. */
export type Duplicates = 'refuse' | 'last'

/**
 * Returns the value of a cookie in a Cookie header. Returns null if the cookie is missing, if its value cannot be a
 * token, and for duplicates that are refused.
 */
export function readCookie (header: string | undefined, name: string, duplicates: Duplicates): string | null {
  const values = readCookies(header, name)
  const value = values.at(-1)
  if (value === undefined || (values.length > 1 && duplicates === 'refuse')) return null
  return isToken(value) ? value : null
}

/**
 * Returns the values of all cookies with a name, in the order of the header. Cookie names are case-sensitive (RFC 6265,
 * section 5.4).
 */
export function readCookies (header: string | undefined, name: string): string[] {
  const values: string[] = []
  if (header === undefined) return values
  for (let start = 0; start < header.length;) {
    const semicolon = header.indexOf(';', start)
    const end = semicolon === -1 ? header.length : semicolon
    while (header.charCodeAt(start) === 0x20) start++
    if (header.startsWith(name, start) && header.charCodeAt(start + name.length) === 0x3d) {
      values.push(header.slice(start + name.length + 1, end).trimEnd())
    }
    start = end + 1
  }
  return values
}

/** Returns true for a cookie value that can be a token. */
export function isToken (value: string): boolean {
  return TOKEN.test(value)
}
