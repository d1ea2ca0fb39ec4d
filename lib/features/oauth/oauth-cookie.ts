import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  createBrowserCookie,
  type BrowserCookie,
  type BrowserCookieSettings,
  type FeatureKit
} from '../../feature/index.js'
import type { SplitDetail } from './browser-reply.js'

/** Maximum characters of the pending cookie. Browsers drop cookies of more than 4096 bytes (RFC 6265, section 6.1). */
const PENDING_MAX_LENGTH = 3500

/** Attributes of the cookie (RFC 6265, section 4.1.2). */
export type OauthCookieSettings = Pick<BrowserCookieSettings, 'name' | 'path' | 'domain' | 'secure' | 'sameSite'>

/** The cookie that binds a login to the browser that started it. */
export interface OauthCookie extends BrowserCookie {
  /**
   * Sets the cookie `<name>-pending` with the detail of a pending login. Scripts of the target page can read it, as
   * they can read the JSON reply. In a URL, the detail would appear in logs and in the browser's history. If even the
   * short form is too long, the cookie of an earlier login is deleted, so that no page reads values of another ticket.
   */
  setPending(request: FastifyRequest, reply: FastifyReply, pending: Pick<SplitDetail, 'detail' | 'short'>): void
}

/** Creates the cookie. `maxAge` is its lifetime in seconds. */
export function createOauthCookie (
  { settings: { wire: { cookies } }, serializeCookie }: Pick<FeatureKit, 'settings' | 'serializeCookie'>,
  settings: OauthCookieSettings,
  maxAge: number
): OauthCookie {
  const { name, domain, ...rest } = settings
  const attributes = { ...rest, maxAge, encode: String, ...(domain === null ? {} : { domain }) }
  return {
    ...createBrowserCookie(
      { ...settings, partitioned: false, maxAge, duplicates: cookies.duplicates },
      serializeCookie
    ),
    setPending ({ log }, reply, { detail, short }) {
      const values = [detail, short].map((form) => encodeURIComponent(JSON.stringify(form)))
      const value = values.find(({ length }) => length <= PENDING_MAX_LENGTH)
      if (value === undefined) {
        log.error(`fastify-users: the detail of a pending login is not sent: encoded, it exceeds ${PENDING_MAX_LENGTH} characters of a cookie. Shorten the detail of onBeforeLogin or, for login steps, what their challenges send`)
      }
      const lifetime = value === undefined ? { maxAge: 0 } : {}
      reply.header('set-cookie', serializeCookie(`${name}-pending`, value ?? '', { ...attributes, ...lifetime }))
    }
  }
}
