const VALUE = /^[A-Za-z0-9._~+/=-]+$/

/** What two cookies of one name mean: nobody, or the last one. */
export type Duplicates = 'refuse' | 'last'

/**
 * The value of one cookie in a Cookie header (RFC 6265, section 5.4): the name is compared byte for byte, and a value
 * that is not a token counts as none.
 */
export function readCookie (header: string | undefined, name: string, duplicates: Duplicates): string | null {
  if (header === undefined) return null
  let found: string | null = null
  for (let start = 0; start < header.length;) {
    const semicolon = header.indexOf(';', start)
    const end = semicolon === -1 ? header.length : semicolon
    while (header.charCodeAt(start) === 0x20) start++
    if (header.startsWith(name, start) && header.charCodeAt(start + name.length) === 0x3d) {
      if (found !== null && duplicates === 'refuse') return null
      found = header.slice(start + name.length + 1, end).trimEnd()
    }
    start = end + 1
  }
  return found !== null && VALUE.test(found) ? found : null
}
