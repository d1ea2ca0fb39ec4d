import {
  checkBoolean,
  checkKnownKeys,
  checkOption,
  checkSecureCookie,
  cookieDomainProblem,
  cookieNameProblem,
  cookiePathProblem,
  FST_USERS_INVALID_OPTION,
  hostPrefixOf,
  type CookieScope,
  type Settings
} from '../../feature/index.js'
import type { OauthCookieSettings } from './oauth-cookie.js'

/** Attributes of the cookie that binds a login to its browser. The cookie is always `HttpOnly`. */
export interface OauthCookieOptions {
  /** Default: `__Host-<users>-oauth`, without the prefix if `secure`, `path` or `domain` do not allow it. */
  name?: string
  /** Default: `/`. */
  path?: string
  /** Default: the host that sets the cookie. */
  domain?: string
  /** Default: true. */
  secure?: boolean
  /** Default: `lax`. */
  sameSite?: 'lax' | 'none'
}

/** Name of the cookie in FastAPI Users, used if the session cookie has its FastAPI Users name too. */
const FASTAPI_USERS_NAME = 'fastapiusersoauthcsrf'

/** Returns the attributes of the cookie. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function readOauthCookieOptions (given: OauthCookieOptions, settings: Settings): OauthCookieSettings {
  checkKnownKeys('oauth.cookie.', given, ['name', 'path', 'domain', 'secure', 'sameSite'])
  const { path = '/', domain = null, sameSite = 'lax' } = given
  const secure = checkBoolean('oauth.cookie.secure', given.secure, true)
  checkSecureCookie('oauth.cookie.secure', secure, settings)
  const scope = { secure, path, domain }
  const name = given.name ?? defaultName(settings, scope)
  refuseProblem('name', cookieNameProblem(name, scope))
  refuseProblem('path', cookiePathProblem(path))
  refuseProblem('domain', domain === null ? null : cookieDomainProblem(domain))
  checkOption(
    'oauth.cookie.sameSite',
    sameSite,
    (value) => value === 'lax' || (value === 'none' && secure),
    "must be 'lax', or 'none' with secure: true; browsers do not send a strict cookie when the provider redirects back"
  )
  return { name, path, domain, secure, sameSite }
}

function defaultName ({ name, wire }: Settings, scope: CookieScope): string {
  if (wire.cookies.name === 'fastapiusersauth') return FASTAPI_USERS_NAME
  return `${hostPrefixOf(scope)}${name}-oauth`
}

function refuseProblem (attribute: string, problem: string | null): void {
  if (problem !== null) throw FST_USERS_INVALID_OPTION([`oauth.cookie.${attribute}`, problem])
}
