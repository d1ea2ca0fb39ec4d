import fastifyCookie from '@fastify/cookie'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { DescriptionDefaults, Transport, TransportDefinition } from '../../contracts/transport.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_OPTION } from '../../errors.js'
import { defineTransport } from '../define.js'
import { readCookie } from './cookie-header.js'
import { warnOfPlainHttp } from './plain-http.js'

/** Options of `cookieTransport`. */
export interface CookieTransportOptions {
  /** Cookie name (`__Host-<users>-<backend>`; without the prefix when `secure`, `path` or `domain` rule it out). */
  name?: string
  /** Seconds that the browser keeps the cookie, never longer than the token lives (absent: until the browser closes). */
  maxAge?: number
  path?: string
  domain?: string
  secure?: boolean
  httpOnly?: boolean
  sameSite?: 'lax' | 'strict' | 'none'
}

const KEYS = ['name', 'maxAge', 'path', 'domain', 'secure', 'httpOnly', 'sameSite']
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/       // token of RFC 9110, section 5.6.2

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
      checkOptions({ ...options, name })     // the name may be the plugin's `cookieName`, and the prefixes ask for certain attributes
      if (options.secure !== false) warnOfPlainHttp(scope, name)
      return createTransport(options, name, defaults.settings.duplicateCookies, scope.serializeCookie)
    }
  })
}

function createTransport (options: CookieTransportOptions, name: string, duplicates: 'refuse' | 'last', serialize: FastifyInstance['serializeCookie']): Transport {
  const { maxAge, path = '/', domain, secure = true, httpOnly = true, sameSite = 'lax' } = options
  const attributes = { path, secure, httpOnly, sameSite, encode: String, ...(domain === undefined ? {} : { domain }) }

  const setCookie: NonNullable<Transport['renew']> = (reply, { token, lifetimeSeconds }) => {
    const age = maxAge === undefined ? {} : { maxAge: Math.min(maxAge, lifetimeSeconds ?? maxAge) }
    reply.header('set-cookie', serialize(name, token, { ...attributes, ...age }))
  }

  return {
    ambient: true,
    secure,
    extractToken (request) {
      const token = readCookie(request.headers.cookie, name, duplicates)
      return token !== null && token.length <= TOKEN_MAX_LENGTH ? token : null
    },
    requestHeaders: (token) => ({ cookie: `${name}=${token}` }),
    sendLogin (reply, issued) {
      setCookie(reply, issued)
      return reply.code(204).send()
    },
    sendLogout: (reply) => reply.header('set-cookie', serialize(name, '', { ...attributes, maxAge: 0 })).code(204).send(),
    renew: setCookie
  }
}

function cookieName ({ name, path = '/', domain, secure = true }: CookieTransportOptions, { backend, settings }: DescriptionDefaults): string {
  const base = name ?? settings.cookieName
  if (base !== null) return base
  return `${secure && path === '/' && domain === undefined ? '__Host-' : ''}${settings.name}-${backend}`
}

function checkOptions (options: CookieTransportOptions): void {
  const unknown = Object.keys(options).find((key) => !KEYS.includes(key))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([`cookieTransport.${unknown}`, KEYS.join(', ')])
  const { name, maxAge, path = '/', domain, secure = true, sameSite = 'lax' } = options
  if (name !== undefined && !(typeof name === 'string' && COOKIE_NAME.test(name))) throw refuse('name', 'is not a cookie name (RFC 6265, section 4.1.1)')
  if (maxAge !== undefined && !(Number.isInteger(maxAge) && maxAge > 0)) throw refuse('maxAge', 'must be a whole number of seconds above 0')
  for (const flag of ['secure', 'httpOnly'] as const) if (typeof (options[flag] ?? true) !== 'boolean') throw refuse(flag, 'must be true or false')
  if (!['lax', 'strict', 'none'].includes(sameSite)) throw refuse('sameSite', "must be 'lax', 'strict' or 'none'")
  if (sameSite === 'none' && !secure) throw refuse('sameSite', "'none' needs `secure`; browsers drop the cookie otherwise")
  if (name?.startsWith('__Host-') === true && (!secure || path !== '/' || domain !== undefined)) throw refuse('name', 'with the prefix __Host- needs secure, path / and no domain')
  if (name?.startsWith('__Secure-') === true && !secure) throw refuse('name', 'with the prefix __Secure- needs secure')
  if (typeof path !== 'string' || !/^\/[^;\s]*$/.test(path)) throw refuse('path', 'must start with / and hold no white space or semicolon')
  if (domain !== undefined && !(typeof domain === 'string' && /^[^;\s]+$/.test(domain))) throw refuse('domain', 'must be a domain without white space or semicolons')
}

function refuse (option: string, reason: string): Error {
  return FST_USERS_INVALID_OPTION([`cookieTransport.${option}`, reason])
}
