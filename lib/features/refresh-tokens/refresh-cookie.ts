import type { FastifyReply, FastifyRequest } from 'fastify'
import { readCookie, type FeatureKit } from '../../feature/index.js'

/** Attributes of the cookie (RFC 6265, section 4.1.2) that differ between backends. */
export interface RefreshCookieSettings {
  readonly name: string
  readonly path: string
  readonly secure: boolean
  readonly partitioned: boolean
}

/** The cookie that contains the refresh token of a browser. */
export interface RefreshCookie {
  /** Browsers send the cookie only over https. */
  readonly secure: boolean
  /** Returns the token; null if the cookie is missing or exists several times. */
  read(request: FastifyRequest): string | null
  /** Sets the cookie. It expires with the token; null: when the browser closes. */
  set(reply: FastifyReply, token: string, lifetimeSeconds: number | null): void
  /** Deletes the cookie. */
  clear(reply: FastifyReply): void
}

/** Creates the cookie of a backend. */
export function createRefreshCookie (
  { name, ...rest }: RefreshCookieSettings,
  { settings, serializeCookie }: Pick<FeatureKit, 'settings' | 'serializeCookie'>
): RefreshCookie {
  const attributes = { ...rest, httpOnly: true, sameSite: 'strict', encode: String } as const
  const write = (reply: FastifyReply, value: string, maxAge: number | null): void => {
    reply.header('set-cookie', serializeCookie(name, value, { ...attributes, ...(maxAge === null ? {} : { maxAge }) }))
  }
  return {
    secure: rest.secure,
    read: ({ headers }) => readCookie(headers.cookie, name, settings.wire.cookies.duplicates),
    set: write,
    clear (reply) {
      write(reply, '', 0)
    }
  }
}
