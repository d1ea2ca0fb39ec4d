import { hash } from 'node:crypto'
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { generateOpaqueToken, isOpaqueToken, readCookie, type Settings } from '../../feature/index.js'

/** Maximum characters of the pending cookie. Browsers drop cookies of more than 4096 bytes (RFC 6265, section 6.1). */
const PENDING_MAX_LENGTH = 3500

/** Attributes of the browser cookie (RFC 6265, section 4.1.2). */
export interface BrowserCookieSettings {
  name: string
  path: string
  domain: string | null
  secure: boolean
  sameSite: 'lax' | 'none'
}

/** The cookie that binds a login to the browser that started it. */
export interface BrowserCookie {
  /** Returns the SHA-256 digest of the cookie; null if it is missing or has another form. */
  digestOf(request: FastifyRequest): string | null
  /** Sets the cookie and returns its SHA-256 digest. An existing value is kept, so several tabs can log in at once. */
  set(request: FastifyRequest, reply: FastifyReply): string
  clear(reply: FastifyReply): void
  /**
   * Sets the cookie `<name>-pending` with the detail of a pending login. Scripts of the target page can read it, as
   * they can read the JSON reply. In a URL, the detail would appear in logs and in the browser's history.
   */
  setPending(request: FastifyRequest, reply: FastifyReply, detail: unknown): void
}

export async function createBrowserCookie (
  scope: FastifyInstance,
  { wire: { cookies } }: Settings,
  { name, domain, ...rest }: BrowserCookieSettings,
  maxAge: number
): Promise<BrowserCookie> {
  if (!scope.hasDecorator('serializeCookie')) await scope.register(fastifyCookie, { hook: false })
  const attributes = { ...rest, httpOnly: true, encode: String, ...(domain === null ? {} : { domain }) }

  function read ({ headers }: FastifyRequest): string | null {
    const value = readCookie(headers.cookie, name, cookies.duplicates)
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
        log.error(`fastify-users: the detail of a pending login is not sent: encoded, it exceeds ${PENDING_MAX_LENGTH} characters of a cookie. Shorten it in onBeforeLogin`)
      } else {
        reply.header(
          'set-cookie',
          scope.serializeCookie(`${name}-pending`, value, { ...attributes, httpOnly: false, maxAge })
        )
      }
    }
  }
}

/** The state contains the digest, so a provider that reads the state does not learn the cookie. */
function digest (value: string): string {
  return hash('sha256', value, 'base64url')
}
