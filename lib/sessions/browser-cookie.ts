import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import type { Transport } from '../contracts/transport.js'
import { readCookie, type Duplicates } from '../shared/cookie-header.js'
import type { SerializeCookie } from '../contracts/cookies.js'
import { generateOpaqueToken, isOpaqueToken } from '../tokens/index.js'

/** Attributes of a browser cookie (RFC 6265, section 4.1.2). It is always `HttpOnly`. */
export interface BrowserCookieSettings {
  name: string
  path: string
  domain: string | null
  secure: boolean
  sameSite: 'lax' | 'none'
  partitioned: boolean
  /** Lifetime in seconds. */
  maxAge: number
  /** The treatment of several cookies with this name. */
  duplicates: Duplicates
}

/** A cookie that binds single-use values to the browser for which they were created. */
export interface BrowserCookie {
  /** Returns the SHA-256 digest of the cookie; null if it is missing or has another form. */
  digestOf(request: FastifyRequest): string | null
  /** Sets the cookie and returns its SHA-256 digest. An existing value is kept, so several tabs can log in at once. */
  set(request: FastifyRequest, reply: FastifyReply): string
  /** Sets the cookie to a new value and returns its SHA-256 digest. */
  setNew(reply: FastifyReply): string
  /** Deletes the cookie. */
  clear(reply: FastifyReply): void
}

/** Creates a cookie with a random value. The server stores only its digest. */
export function createBrowserCookie (
  { name, domain, maxAge, duplicates, ...rest }: BrowserCookieSettings,
  serialize: SerializeCookie
): BrowserCookie {
  const attributes = { ...rest, httpOnly: true, encode: String, ...(domain === null ? {} : { domain }) }

  function read ({ headers }: FastifyRequest): string | null {
    const value = readCookie(headers.cookie, name, duplicates)
    return value !== null && isOpaqueToken(value) ? value : null
  }

  function write (reply: FastifyReply, value: string): string {
    reply.header('set-cookie', serialize(name, value, { ...attributes, maxAge }))
    return digestCookie(value)
  }

  return {
    digestOf (request) {
      const value = read(request)
      return value && digestCookie(value)
    },
    set: (request, reply) => write(reply, read(request) ?? generateOpaqueToken()),
    setNew: (reply) => write(reply, generateOpaqueToken()),
    clear (reply) {
      reply.header('set-cookie', serialize(name, '', { ...attributes, maxAge: 0 }))
    }
  }
}

/** The services that a cookie of the plugin needs. */
export interface HostCookieParts {
  readonly settings: Settings
  readonly serializeCookie: SerializeCookie
}

/**
 * Creates the cookie `__Host-<tenant>-<purpose>`, with the attributes that let the session cookie of a transport reach
 * its browser.
 */
export function createHostCookie (
  { settings: { name, wire }, serializeCookie }: HostCookieParts,
  { secure = true, sameSite, partitioned = false }: Pick<Transport, 'secure' | 'sameSite' | 'partitioned'>,
  purpose: string,
  maxAge: number
): BrowserCookie {
  return createBrowserCookie(
    {
      name: `${secure ? '__Host-' : ''}${name}-${purpose}`,
      path: '/',
      domain: null,
      secure,
      sameSite: sameSite === 'none' ? 'none' : 'lax',
      partitioned,
      maxAge,
      duplicates: wire.cookies.duplicates
    },
    serializeCookie
  )
}

/** Returns the digest that is stored. The cookie cannot be computed from it. */
function digestCookie (value: string): string {
  return hash('sha256', value, 'base64url')
}
