import { hash } from 'node:crypto'
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Settings } from '../../contracts/settings.js'
import { generateOpaqueToken, isOpaqueToken } from '../../tokens/index.js'
import { readCookie } from '../../transports/cookie/cookie-header.js'

/** Browsers drop cookies of more than 4096 bytes with their attributes (RFC 6265, section 6.1). */
const PENDING_MAX_LENGTH = 3500

/** Attributes of the cookie that binds a login to its browser (RFC 6265, section 4.1.2). */
export interface BrowserCookieSettings {
  name: string
  path: string
  domain: string | null
  secure: boolean
  sameSite: 'lax' | 'none'
}

/** The cookie that binds a login to the browser that started it. */
export interface BrowserCookie {
  /** Its SHA-256; null without the cookie, or with one that is not ours. */
  digestOf(request: FastifyRequest): string | null
  /** Sets the cookie, again where the browser has it, so that several tabs can be under way; gives its SHA-256. */
  set(request: FastifyRequest, reply: FastifyReply): string
  clear(reply: FastifyReply): void
  /**
   * Hands the detail of a pending login to the page that the browser is sent to, in a cookie `<name>-pending` that
   * scripts
   * can read, as they can read the reply to a login without a redirect. A ticket in a URL would reach logs and
   * histories.
   */
  setPending(request: FastifyRequest, reply: FastifyReply, detail: unknown): void
}

export async function createBrowserCookie (
  scope: FastifyInstance,
  { duplicateCookies }: Settings,
  { name, domain, ...rest }: BrowserCookieSettings,
  maxAge: number
): Promise<BrowserCookie> {
  if (!scope.hasDecorator('serializeCookie')) await scope.register(fastifyCookie, { hook: false })
  const attributes = { ...rest, httpOnly: true, encode: String, ...(domain === null ? {} : { domain }) }

  function read ({ headers }: FastifyRequest): string | null {
    const value = readCookie(headers.cookie, name, duplicateCookies)
    return value !== null && isOpaqueToken(value) ? value : null
  }

  return {
    digestOf (request) {
      const value = read(request)
      return value && digest(value)
    },
    set (request, reply) {
      const value = read(request) ?? generateOpaqueToken()
      reply.header('set-cookie', scope.serializeCookie(name, value, { ...attributes, maxAge }))
      return digest(value)
    },
    clear: (reply) => {
      reply.header('set-cookie', scope.serializeCookie(name, '', { ...attributes, maxAge: 0 }))
    },
    setPending ({ log }, reply, detail) {
      const value = encodeURIComponent(JSON.stringify(detail))
      if (value.length > PENDING_MAX_LENGTH) {
        log.error('fastify-users: the body of a pending login is too large for a cookie')
      } else {
        reply.header(
          'set-cookie',
          scope.serializeCookie(`${name}-pending`, value, { ...attributes, httpOnly: false, maxAge })
        )
      }
    }
  }
}

/** The state carries this: a provider that reads the state never learns the cookie. */
function digest (value: string): string {
  return hash('sha256', value, 'base64url')
}
