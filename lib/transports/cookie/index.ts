import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { Transport, TransportDefinition } from '../../contracts/transport.js'
import { loadCookieSerializer } from '../../shared/cookie-serializer.js'
import { checkSecureCookie } from '../../shared/limits.js'
import { defineTransport } from '../define.js'
import { isToken, readCookie, readCookies, type Duplicates } from '../../shared/cookie-header.js'
import { formerPlaces, type CookiePlace } from './former-cookies.js'
import { checkCookieOptions, cookieName, type CookieTransportOptions } from './options.js'
import { warnOfPlainHttp } from './plain-http.js'

export type { CookiePlace } from './former-cookies.js'
export type { CookieTransportOptions } from './options.js'

const MAX_DUPLICATES = 8 // limits the reads from the store, because each cookie costs one

/**
 * Creates a transport that keeps the token in a cookie (RFC 6265), by default with `Secure`, `HttpOnly`, `SameSite=Lax`
 * and `Path=/`. Login and logout reply 204. Requests that can change state get the cross-site check. Throws
 * `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function cookieTransport (options: CookieTransportOptions = {}): TransportDefinition {
  checkCookieOptions(options)
  return defineTransport({
    name: 'cookie',
    describe: (defaults) => ({
      scheme: { type: 'apiKey', in: 'cookie', name: cookieName(options, defaults) },
      login: { 204: Type.Null({ description: 'The cookie is set.' }) },
      logout: { 204: Type.Null({ description: 'The session is revoked and the cookie is cleared.' }) }
    }),
    async setup (scope, defaults) {
      const name = cookieName(options, defaults)
      checkSecureCookie('cookieTransport.secure', options.secure ?? true, defaults.settings)
      // the name may come from the option `compatibility` of the plugin, and its prefix may require certain attributes
      checkCookieOptions({ ...options, name })
      if (options.secure !== false) warnOfPlainHttp(scope, name)
      const serialize = await loadCookieSerializer(scope)
      return createCookieTransport(options, name, defaults.settings.wire.cookies.duplicates, serialize)
    }
  })
}

function createCookieTransport (
  options: CookieTransportOptions,
  name: string,
  duplicates: Duplicates,
  serialize: FastifyInstance['serializeCookie']
): Transport {
  const { secure = true, httpOnly = true, sameSite = 'lax', maxAge } = options
  const place = cookiePlaceOf(options)
  const attributes = { secure, httpOnly, sameSite, encode: String, ...place }
  const warnOfDuplicates = createDuplicateWarning(name, duplicates)
  const expired = formerPlaces(place, options.formerly ?? []).map((former) =>
    serialize(name, '', { secure, httpOnly, sameSite, encode: String, path: '/', ...former, maxAge: 0 })
  )

  /** Removes cookies that an earlier deployment set: together with the new cookie they would be duplicates. */
  function removeFormerCookies (reply: FastifyReply): void {
    const count = readCookies(reply.request.headers.cookie, name).length
    if (count === 0) return
    warnOfDuplicates(reply.request, count)
    for (const header of expired) reply.header('set-cookie', header)
  }

  const setCookie: NonNullable<Transport['renew']> = (reply, { token, lifetimeSeconds, cookieSeconds = maxAge }) => {
    const age = cookieSeconds == null ? {} : { maxAge: Math.min(cookieSeconds, lifetimeSeconds ?? cookieSeconds) }
    removeFormerCookies(reply)
    reply.header('set-cookie', serialize(name, token, { ...attributes, ...age }))
  }

  return {
    ambient: true,
    secure,
    sameSite,
    partitioned: place.partitioned ?? false,
    extractToken (request) {
      const token = readCookie(request.headers.cookie, name, duplicates)
      if (token === null) warnOfDuplicates(request, readCookies(request.headers.cookie, name).length)
      return token !== null && token.length <= TOKEN_MAX_LENGTH ? token : null
    },
    extractTokens: (request) => readCookieTokens(request, name, duplicates),
    requestHeaders: (token) => ({ cookie: `${name}=${token}` }),
    sendLogin (reply, issued) {
      setCookie(reply, issued)
      return reply.code(204).send()
    },
    sendLogout (reply) {
      removeFormerCookies(reply)
      const cleared = serialize(name, '', { ...attributes, maxAge: 0 })
      return reply.header('set-cookie', cleared).code(204).send()
    },
    renew: setCookie
  }
}

function cookiePlaceOf ({ path = '/', domain, partitioned = false }: CookieTransportOptions): CookiePlace {
  return { path, partitioned, ...(domain === undefined ? {} : { domain }) }
}

/** Returns the tokens of all cookies with the name, or none if there are too many. */
function readCookieTokens (request: FastifyRequest, name: string, duplicates: Duplicates): readonly string[] {
  const values = readCookies(request.headers.cookie, name)
  const accepted = duplicates === 'last' ? values.slice(-1) : values
  const tokens = new Set(accepted.filter((value) => isToken(value) && value.length <= TOKEN_MAX_LENGTH))
  return tokens.size <= MAX_DUPLICATES ? [...tokens] : []
}

/** Returns a function that logs a warning, once per request, if a browser sent several cookies with the name. */
function createDuplicateWarning (
  name: string,
  duplicates: Duplicates
): (request: FastifyRequest, count: number) => void {
  const reported = new WeakSet<FastifyRequest>()
  const effect = duplicates === 'last' ? 'the last one is used' : 'all of them are ignored'
  return (request, count) => {
    if (count < 2 || reported.has(request)) return
    reported.add(request)
    request.log.warn(
      { cookie: name, count },
      `fastify-users: the request has several cookies of one name; ${effect}. Login and logout remove cookies of an ` +
        'earlier `domain` or `path` if cookieTransport() knows them: list them in its option `formerly`'
    )
  }
}
