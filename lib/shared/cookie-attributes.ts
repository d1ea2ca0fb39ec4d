const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // `token` of RFC 9110, section 5.6.2
const PATH = /^\/[^;\s]*$/
const DOMAIN = /^[^;\s]+$/

/** The attributes of a cookie on which its name depends. */
export interface CookieScope {
  secure?: boolean
  path?: string
  /** Undefined or null for the host of the request, without subdomains. */
  domain?: string | null | undefined
}

/** Returns true for the name of a cookie (RFC 6265, section 4.1.1). */
export function isCookieName (name: unknown): name is string {
  return typeof name === 'string' && COOKIE_NAME.test(name)
}

/** Returns the prefix for names of cookies that only this host can set; empty if the attributes do not allow it. */
export function hostPrefixOf (scope: CookieScope): '__Host-' | '' {
  return isHostOnly(scope) ? '__Host-' : ''
}

/** Returns why a cookie cannot have this name, or null. Prefixes: RFC 6265bis, section 4.1.3. */
export function cookieNameProblem (name: unknown, scope: CookieScope): string | null {
  if (!isCookieName(name)) return 'is not a valid cookie name (RFC 6265, section 4.1.1)'
  if (name.startsWith('__Host-') && !isHostOnly(scope)) {
    return 'starts with __Host-, which needs `secure: true`, the path / and no domain'
  }
  const { secure = true } = scope
  return name.startsWith('__Secure-') && !secure ? 'starts with __Secure-, which needs `secure: true`' : null
}

/** Returns why a cookie cannot have this path, or null. */
export function cookiePathProblem (path: unknown): string | null {
  const isPath = typeof path === 'string' && PATH.test(path)
  return isPath ? null : 'must start with / and contain no white space and no semicolon'
}

/** Returns why a cookie cannot have this domain, or null. */
export function cookieDomainProblem (domain: unknown): string | null {
  const isDomain = typeof domain === 'string' && DOMAIN.test(domain)
  return isDomain ? null : 'must be a domain name without white space and semicolons'
}

function isHostOnly ({ secure = true, path = '/', domain }: CookieScope): boolean {
  return secure && path === '/' && (domain === undefined || domain === null)
}
