import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { BearerReply, TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { Transport, TransportDefinition } from '../../contracts/transport.js'
import { defineTransport } from '../define.js'

/** The syntax `b64token` of RFC 6750, section 2.1. */
const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i

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
  extractToken,
  requestHeaders: (token) => ({ authorization: `Bearer ${token}` }),
  sendLogin (reply, { token, refresh_token: refresh, expires_in: expires }) {
    return reply.code(200).send({
      access_token: token,
      token_type: 'bearer',
      ...(expires === undefined ? {} : { expires_in: expires }),
      ...(refresh === undefined ? {} : { refresh_token: refresh })
    })
  }
}

function extractToken (request: FastifyRequest): string | null {
  const { authorization } = request.headers
  if (authorization === undefined || authorization.length > 'Bearer '.length + TOKEN_MAX_LENGTH) return null
  if (hasRepeatedAuthorization(request.raw.rawHeaders)) return null
  return BEARER.exec(authorization)?.[1] ?? null
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
