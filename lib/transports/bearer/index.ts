import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { BearerReply, TOKEN_MAX_LENGTH } from '../../../schemas/index.js'
import type { Transport, TransportDefinition } from '../../contracts/transport.js'
import { defineTransport } from '../define.js'

/** The b64token form of RFC 6750, section 2.1. */
const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i

/**
 * The token travels in the header `Authorization: Bearer` (RFC 6750, section 2.1); login replies 200 with it as JSON.
 */
export function bearerTransport (): TransportDefinition {
  return defineTransport({
    name: 'bearer',
    describe: () => ({
      scheme: { type: 'http', scheme: 'bearer' },
      login: { 200: { ...BearerReply, 'x-response-description': 'The token.' } },
      logout: { 204: Type.Null({ description: 'The session has ended.' }) }
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
  if (
    authorization === undefined ||
    authorization.length > TOKEN_MAX_LENGTH + 7 ||
    isRepeated(request.raw.rawHeaders)
  ) {
    return null
  }
  return BEARER.exec(authorization)?.[1] ?? null
}

/**
 * Node keeps the first of two Authorization headers; a proxy may have looked at the other. Simulated requests may have
 * no raw headers.
 */
function isRepeated (rawHeaders: readonly string[] | undefined = []): boolean {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 13 && name.toLowerCase() === 'authorization') count++
  }
  return count > 1
}
