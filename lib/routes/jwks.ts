import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { JwkSet } from '../../schemas/jwks.js'
import type { PublicJwk } from '../contracts/keys.js'
import type { JwksSettings, Settings } from '../contracts/settings.js'
import { describeRoute } from './describe-route.js'
import { errorReplies, replyOf } from './replies.js'

interface JwksRouteOptions {
  settings: Settings
  jwks: JwksSettings
  keys: readonly PublicJwk[]
}

/** Registers the route with the public keys (RFC 7517), for programs that verify tokens of the backends. */
export const jwksRoute: FastifyPluginAsync<JwksRouteOptions> =
  async (scope, { settings, jwks: { path, maxAgeSeconds }, keys }) => {
    const tag = `"${createHash('sha256').update(JSON.stringify(keys)).digest('base64url')}"`
    const cacheControl = `public, max-age=${maxAgeSeconds}`
    scope.get(path, {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'jwks',
          summary: 'Get the public keys of tokens',
          description: 'The keys with which other programs verify access tokens (RFC 7517).'
        }),
        response: {
          200: replyOf(JwkSet, 'The public keys of all backends.'),
          304: Type.Null({ description: 'The keys have not changed.' }),
          ...errorReplies(settings)
        }
      }
    }, async (request, reply) => {
      reply.header('cache-control', cacheControl).header('etag', tag)
      return matchesTag(request.headers['if-none-match'], tag) ? reply.code(304).send() : { keys }
    })
  }

/** Compares the entity tag with those of `If-None-Match` (RFC 9110, section 13.1.2). */
function matchesTag (header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some((given) => given.trim().replace(/^W\//, '') === tag)
}
