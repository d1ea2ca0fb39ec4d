const VALUE = /^[A-Za-z0-9._~+/=-]+$/

/** What several cookies of one name mean: no cookie counts, or the last one does. */
export type Duplicates = 'refuse' | 'last'

/**
 * Returns the value of one cookie of a Cookie header; null without it, for a value that is no token, and for
 * duplicates.
 */
export function readCookie (header: string | undefined, name: string, duplicates: Duplicates): string | null {
  const values = readCookies(header, name)
  const value = values.at(-1)
  if (value === undefined || (values.length > 1 && duplicates === 'refuse')) return null
  return isToken(value) ? value : null
}

/**
 * Returns the values of all cookies of one name, in the order of the header. Names are compared byte for byte (RFC
 * 6265, section 5.4).
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
  return VALUE.test(value)
}
