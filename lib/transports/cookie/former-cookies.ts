/** The attributes that identify a cookie in a browser together with its name (RFC 6265, section 5.3; CHIPS). */
export interface CookiePlace {
  /** Domain of the cookie. Default: the host that set it, without subdomains. */
  domain?: string
  /** Path of the cookie. Default: `/`. */
  path?: string
  /** True if the cookie has the attribute `Partitioned`. Default: false. */
  partitioned?: boolean
}

/**
 * Returns the places where browsers may keep a cookie that an earlier deployment set under the same name: the places in
 * the option `formerly`, and the places before `domain`, `path` or `partitioned` was set for the first time.
 */
export function formerPlaces (current: CookiePlace, formerly: readonly CookiePlace[]): CookiePlace[] {
  const { domain, path } = current
  const likely = [{}, { path }, { domain }, { domain, path }].map(withoutUndefinedPlace)
  const places = new Map([...likely, ...formerly].map((place) => [cookiePlaceKeyOf(place), place]))
  places.delete(cookiePlaceKeyOf(current))
  return [...places.values()]
}

function cookiePlaceKeyOf ({ domain = '', path = '/', partitioned = false }: CookiePlace): string {
  // browsers ignore a leading dot (RFC 6265, section 5.2.3)
  return `${domain.toLowerCase().replace(/^\./, '')};${path};${partitioned}`
}

function withoutUndefinedPlace ({
  domain,
  path
}: {
  domain?: string | undefined
  path?: string | undefined
}): CookiePlace {
  return { ...(domain === undefined ? {} : { domain }), ...(path === undefined ? {} : { path }) }
}
