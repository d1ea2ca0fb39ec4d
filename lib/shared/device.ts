import { isIP } from 'node:net'

/** Browsers by a part of their `User-Agent`. Several claim to be others too, so the first match counts. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari']
]

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux']
]

/**
 * Returns the names of a browser and a system, such as `Firefox, Linux`, or null. The text of the header itself is
 * never sent: the person who logs in writes it, and mail programs turn URLs in it into links.
 */
export function describeDevice (userAgent: string | null): string | null {
  if (userAgent === null) return null
  const nameIn = (list: typeof BROWSERS): string[] =>
    list.filter(([pattern]) => pattern.test(userAgent)).slice(0, 1).map(([, name]) => name)
  const names = [...nameIn(BROWSERS), ...nameIn(SYSTEMS)]
  return names.length > 0 ? names.join(', ') : null
}

/** Returns the value if it is an IP address, otherwise null. With `trustProxy: true`, clients write `request.ip`. */
export function knownIp (ip: string | null): string | null {
  return ip !== null && isIP(ip) !== 0 ? ip : null
}
