import type { FastifyInstance } from 'fastify'
import { describeRoute, errorReplies, replyOf, Type, type Settings } from '../../feature/index.js'

/** Registers the route that lists the related origins (WebAuthn Level 3, section 5.11.1). */
export function addWellKnownRoute (scope: FastifyInstance, settings: Settings, origins: readonly string[]): void {
  scope.get('/.well-known/webauthn', {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation: 'relatedOrigins',
        summary: 'Get the origins that may use the passkeys',
        description: 'Browsers ask for it when a page with another domain uses the passkeys.'
      }),
      response: {
        200: replyOf(Type.Object({ origins: Type.Array(Type.String()) }), 'The origins.'),
        ...errorReplies(settings)
      }
    },
    exposeHeadRoute: false
  }, async () => ({ origins }))
}
