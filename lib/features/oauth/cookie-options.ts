import { checkBoolean, checkKnownKeys, checkOption, checkSecureCookie, type Settings } from '../../feature/index.js'
import type { OauthCookieSettings } from './oauth-cookie.js'

/** Attributes of the cookie that binds a login to its browser. The cookie is always `HttpOnly`. */
export interface OauthCookieOptions {
  /** (`__Host-<users>-oauth`; without the prefix if `secure`, `path` or `domain` do not allow it) */
  name?: string
  path?: string
  domain?: string
  secure?: boolean
  sameSite?: 'lax' | 'none'
}

const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/ // token of RFC 9110, section 5.6.2
/** Name of the cookie in FastAPI Users, used if the session cookie has its FastAPI Users name too. */
const FASTAPI_USERS_NAME = 'fastapiusersoauthcsrf'

/** Returns the attributes of the cookie. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function readCookieOptions (given: OauthCookieOptions, settings: Settings): OauthCookieSettings {
  checkKnownKeys('oauth.cookie.', given, ['name', 'path', 'domain', 'secure', 'sameSite'])
  const { path = '/', domain = null, sameSite = 'lax' } = given
  const secure = checkBoolean('oauth.cookie.secure', given.secure, true)
  checkSecureCookie('oauth.cookie.secure', secure, settings)
  const isHostOnly = secure && path === '/' && domain === null
  const name = given.name ?? defaultName(settings, isHostOnly)
  checkName(name, secure, isHostOnly)
  checkOption(
    'oauth.cookie.path',
    path,
    (value) => typeof value === 'string' && /^\/[^;\s]*$/.test(value),
    'must start with / and contain no white space or semicolon'
  )
  checkOption(
    'oauth.cookie.domain',
    domain,
    (value) => value === null || (typeof value === 'string' && /^[^;\s]+$/.test(value)),
    'must be a domain such as example.com'
  )
  checkOption(
    'oauth.cookie.sameSite',
    sameSite,
    (value) => value === 'lax' || (value === 'none' && secure),
    "must be 'lax', or 'none' with secure: true; browsers do not send a strict cookie when the provider redirects back"
  )
  return { name, path, domain, secure, sameSite }
}

function defaultName ({ name, wire }: Settings, isHostOnly: boolean): string {
  if (wire.cookies.name === 'fastapiusersauth') return FASTAPI_USERS_NAME
  return `${isHostOnly ? '__Host-' : ''}${name}-oauth`
}

/** Checks the name and its prefix (RFC 6265bis, section 4.1.3). */
function checkName (name: string, secure: boolean, isHostOnly: boolean): void {
  checkOption(
    'oauth.cookie.name',
    name,
    (value) => typeof value === 'string' && COOKIE_NAME.test(value),
    'must be a cookie name: letters, digits, - and _'
  )
  checkOption(
    'oauth.cookie.name',
    name,
    () => isHostOnly || !name.startsWith('__Host-'),
    'starts with __Host-, so it needs secure: true, path: / and no domain'
  )
  checkOption(
    'oauth.cookie.name',
    name,
    () => secure || !name.startsWith('__Secure-'),
    'starts with __Secure-, so it needs secure: true'
  )
}
