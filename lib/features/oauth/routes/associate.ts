import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { CallbackQuery } from '../../../../schemas/index.js'
import { authenticate, currentUser, type AuthenticateOptions } from '../../../authentication/index.js'
import type { User } from '../../../contracts/user.js'
import { FST_USERS_BAD_REQUEST } from '../../../errors.js'
import { describeRoute, errorReplies, replyOf } from '../../../routes/index.js'
import { formPostRoute } from './form-post.js'
import { CALLBACK_ERRORS, GUARD_ERRORS, legOf, type FlowRoutesOptions } from './legs.js'
import { startLinkRoutes } from './start-link.js'

/** Adds accounts of the providers to the user whom the request comes from. The scope around it is one of ours. */
export const associateRoutes: FastifyPluginAsync<FlowRoutesOptions> = async (scope, parts) => {
  const { host, settings: oauth, flow, accounts, clients } = parts
  const { settings } = host
  const guard = { verified: oauth.requireVerification }
  const own = authenticate(guard)

  for (const client of clients.values()) {
    const { provider } = client
    const { path, leg } = legOf(scope, client, 'link', oauth)
    const upstream = `oauth-associate:${provider.name}`
    await scope.register(startLinkRoutes, { ...parts, leg, path, upstream })

    scope.get<{ Querystring: CallbackQuery }>(
      `${path}/callback`,
      {
        schema: {
          ...describeRoute(settings, {
            tags: ['auth'],
            operation: `oauthAssociateCallback:${provider.name}`,
            upstream: `${upstream}.callback`,
            summary: `Link an account of ${provider.title}`
          }),
          querystring: CallbackQuery,
          response: {
            200: replyOf(settings.schemas.UserRead, 'The user.'),
            ...(oauth.redirects === null
              ? {}
              : {
                  302: Type.Null({ description: 'The place that it was started for, with `error` where it failed.' })
                }),
            ...errorReplies(
              settings,
              ...GUARD_ERRORS,
              ...CALLBACK_ERRORS,
              'OAUTH_ACCOUNT_ALREADY_LINKED',
              ...(oauth.redirects === null ? [] : ['OAUTH_BAD_REDIRECT' as const])
            )
          }
        },
        onRequest: own,
        exposeHeadRoute: false
      },
      async (request, reply) => {
        const { id } = currentUser(request)
        return flow.finish(leg, request.query, String(id), { request, reply }, async (identity) => {
          await checkAgain(request, reply, guard, id)
          return accounts.link(await host.readActingUser(request), identity, { request, reply })
        })
      }
    )

    if (provider.responseMode === 'form_post') {
      await scope.register(formPostRoute, {
        settings,
        leg,
        path,
        operation: `oauthAssociateFormPost:${provider.name}`,
        upstream: `${upstream}.form_post`
      })
    }
  }
}

/** The session may have ended, or its user changed, while the provider was asked. */
async function checkAgain (
  request: FastifyRequest,
  reply: FastifyReply,
  guard: AuthenticateOptions,
  id: User['id']
): Promise<void> {
  request.authentication = null
  await authenticate(request, reply, guard)
  if (currentUser(request).id !== id) throw FST_USERS_BAD_REQUEST() // another session of the same request
}
