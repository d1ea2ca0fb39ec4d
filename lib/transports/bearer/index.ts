import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { BearerReply, TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { Transport, TransportDefinition } from '../../contracts/transport.js'
import { defineTransport } from '../define.js'

/** The scheme and the blank before the token. Schemes ignore case (RFC 9110, section 11.1). */
const SCHEME = 'Bearer '
/** The syntax `b64token` of RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/**
 * Creates a transport that reads the token from the header `Authorization: Bearer` (RFC 6750, section 2.1). Login
 * replies 200 with the token as JSON.
 */
export function bearerTransport (): TransportDefinition {
  return defineTransport({
    name: 'bearer',
    describe: () => ({
      scheme: { type: 'http', scheme: 'bearer' },
      login: { 200: { ...BearerReply, 'x-response-description': 'The token.' } },
      logout: { 204: Type.Null({ description: 'The session is revoked.' }) }
    }),
    setup: () => transport
  })
}

const transport: Transport = {
  ambient: false,
  extractToken: readBearerToken,
  requestHeaders: (token) => ({ authorization: SCHEME + token }),
  sendLogin (reply, { token, refresh_token: refresh, expires_in: expires }) {
    return reply.code(200).send({
      access_token: token,
      token_type: 'bearer',
      ...(expires === undefined ? {} : { expires_in: expires }),
      ...(refresh === undefined ? {} : { refresh_token: refresh })
    })
  }
}

/** Returns the token of the header `Authorization: Bearer` (RFC 6750, section 2.1), or null. */
export function readBearerToken (request: FastifyRequest): string | null {
  const { authorization } = request.headers
  if (authorization === undefined || authorization.length > SCHEME.length + TOKEN_MAX_LENGTH) return null
  if (!hasScheme(authorization) || hasRepeatedAuthorization(request.raw.rawHeaders)) return null
  const token = authorization.slice(SCHEME.length)
  return TOKEN.test(token) ? token : null
}

function hasScheme (authorization: string): boolean {
  return (
    authorization.startsWith(SCHEME) ||
    authorization.slice(0, SCHEME.length).toLowerCase() === SCHEME.toLowerCase()
  )
}

/**
 * Returns true for a request with several Authorization headers. Node.js keeps the first one, but a proxy may have
 * checked another one. `rawHeaders` may be undefined in simulated requests.
 */
function hasRepeatedAuthorization (rawHeaders: readonly string[] | undefined = []): boolean {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 'authorization'.length && name.toLowerCase() === 'authorization') count++
  }
  return count > 1
}
