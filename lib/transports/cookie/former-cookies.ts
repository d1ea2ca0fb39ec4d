/** The attributes that, with the name, tell one cookie of a browser from another (RFC 6265, section 5.3; CHIPS). */
export interface CookiePlace {
  /** Absent: the cookie belongs to the host that set it. */
  domain?: string
  /** (`/`) */
  path?: string
  /** The cookie was partitioned by top-level site (false). */
  partitioned?: boolean
}

/**
 * Returns the other places where browsers may keep a cookie of our name: the places that earlier deployments named in
 * `formerly`, and those from which the cookie comes by setting `domain`, `path` or `partitioned` for the first time.
 */
export function formerPlaces (current: CookiePlace, formerly: readonly CookiePlace[]): CookiePlace[] {
  const { domain, path } = current
  const likely = [{}, { path }, { domain }, { domain, path }].map(definedOf)
  const places = new Map([...likely, ...formerly].map((place) => [keyOf(place), place]))
  places.delete(keyOf(current))
  return [...places.values()]
}

function keyOf ({ domain = '', path = '/', partitioned = false }: CookiePlace): string {
  // a leading dot is ignored (RFC 6265, section 5.2.3)
  return `${domain.toLowerCase().replace(/^\./, '')};${path};${partitioned}`
}

function definedOf ({ domain, path }: { domain?: string | undefined; path?: string | undefined }): CookiePlace {
  return { ...(domain === undefined ? {} : { domain }), ...(path === undefined ? {} : { path }) }
}
