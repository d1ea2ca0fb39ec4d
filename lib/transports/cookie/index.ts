import fastifyCookie from '@fastify/cookie'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { Transport, TransportDefinition } from '../../contracts/transport.js'
import { checkSecureCookie } from '../../validation/limits.js'
import { defineTransport } from '../define.js'
import { isToken, readCookie, readCookies, type Duplicates } from './cookie-header.js'
import { formerPlaces } from './former-cookies.js'
import { checkOptions, cookieName, type CookieTransportOptions } from './options.js'
import { warnOfPlainHttp } from './plain-http.js'

export type { CookiePlace } from './former-cookies.js'
export type { CookieTransportOptions } from './options.js'

const MAX_DUPLICATES = 8 // each costs a look into the store

/**
 * The token travels in a cookie (RFC 6265): `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/` by default. Login and logout
 * reply 204. Unsafe requests get the cross-site check. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function cookieTransport (options: CookieTransportOptions = {}): TransportDefinition {
  checkOptions(options)
  return defineTransport({
    name: 'cookie',
    describe: (defaults) => ({
      scheme: { type: 'apiKey', in: 'cookie', name: cookieName(options, defaults) },
      login: { 204: Type.Null({ description: 'The cookie is set.' }) },
      logout: { 204: Type.Null({ description: 'The session has ended; the cookie is cleared.' }) }
    }),
    async setup (scope, defaults) {
      if (!scope.hasDecorator('serializeCookie')) await scope.register(fastifyCookie, { hook: false })
      const name = cookieName(options, defaults)
      checkSecureCookie('cookieTransport.secure', options.secure ?? true, defaults.settings)
      // the name may be the plugin's `cookieName`, and the prefixes ask for certain attributes
      checkOptions({ ...options, name })
      if (options.secure !== false) warnOfPlainHttp(scope, name)
      return createTransport(options, name, defaults.settings.duplicateCookies, scope.serializeCookie)
    }
  })
}

function createTransport (
  options: CookieTransportOptions,
  name: string,
  duplicates: Duplicates,
  serialize: FastifyInstance['serializeCookie']
): Transport {
  const {
    maxAge,
    path = '/',
    domain,
    secure = true,
    httpOnly = true,
    sameSite = 'lax',
    partitioned = false,
    formerly = []
  } = options
  const place = { path, partitioned, ...(domain === undefined ? {} : { domain }) }
  const attributes = { secure, httpOnly, sameSite, encode: String }
  const former = formerPlaces(place, formerly).map((old) =>
    serialize(name, '', { ...attributes, path: '/', ...old, maxAge: 0 })
  )
  const reported = new WeakSet<FastifyRequest>()

  /** Logs once per request that a browser sent several cookies of our name. */
  function report (request: FastifyRequest, count: number): void {
    if (count < 2 || reported.has(request)) return
    reported.add(request)
    const meaning = duplicates === 'last' ? 'the last one counts' : 'none counts'
    request.log.warn(
      { cookie: name, count },
      `fastify-users: the request has several cookies of one name, and ${meaning}. Login and logout ` +
        'remove those of an earlier `domain` or `path` that cookieTransport() knows of: see its option `formerly`'
    )
  }

  /**
   * Removes cookies of our name that an earlier deployment set: beside the new one they would make each request
   * anonymous.
   */
  function removeFormer (reply: FastifyReply): void {
    const count = readCookies(reply.request.headers.cookie, name).length
    if (count === 0) return
    report(reply.request, count)
    for (const header of former) reply.header('set-cookie', header)
  }

  const setCookie: NonNullable<Transport['renew']> = (reply, { token, lifetimeSeconds }) => {
    const age = maxAge === undefined ? {} : { maxAge: Math.min(maxAge, lifetimeSeconds ?? maxAge) }
    removeFormer(reply)
    reply.header('set-cookie', serialize(name, token, { ...attributes, ...place, ...age }))
  }

  return {
    ambient: true,
    secure,
    extractToken (request) {
      const token = readCookie(request.headers.cookie, name, duplicates)
      if (token === null) report(request, readCookies(request.headers.cookie, name).length)
      return token !== null && token.length <= TOKEN_MAX_LENGTH ? token : null
    },
    extractTokens (request) {
      const values = readCookies(request.headers.cookie, name)
      const tokens = new Set(
        (duplicates === 'last' ? values.slice(-1) : values).filter(
          (value) => isToken(value) && value.length <= TOKEN_MAX_LENGTH
        )
      )
      return tokens.size <= MAX_DUPLICATES ? [...tokens] : []
    },
    requestHeaders: (token) => ({ cookie: `${name}=${token}` }),
    sendLogin (reply, issued) {
      setCookie(reply, issued)
      return reply.code(204).send()
    },
    sendLogout (reply) {
      removeFormer(reply)
      return reply
        .header('set-cookie', serialize(name, '', { ...attributes, ...place, maxAge: 0 }))
        .code(204)
        .send()
    },
    renew: setCookie
  }
}
