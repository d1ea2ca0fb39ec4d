import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import {
  authenticate,
  type AuthenticateOptions,
  currentUser,
  describeRoute,
  errorReplies,
  FST_USERS_BAD_REQUEST,
  replyOf,
  type User
} from '../../../feature/index.js'
import { CallbackQuery } from '../schemas.js'
import { formPostRoute } from './form-post.js'
import { CALLBACK_ERRORS, createProviderFlow, GUARD_ERRORS, type FlowRoutesOptions } from './provider-flow.js'
import { startLinkRoutes, type StartLinkOptions } from './start-link.js'

/** Registers the routes that link accounts of the providers to the user of the request. */
export const associateRoutes: FastifyPluginAsync<FlowRoutesOptions> = async (scope, parts) => {
  const { kit, settings: oauth, clients } = parts

  for (const client of clients.values()) {
    const { name, responseMode } = client.provider
    const { path, providerFlow } = createProviderFlow(scope, client, 'link', oauth)
    const upstream = `oauth-associate:${name}`
    const options: StartLinkOptions = { ...parts, providerFlow, path, upstream }
    await scope.register(startLinkRoutes, options)
    addLinkCallbackRoute(scope, options)
    if (responseMode === 'form_post') {
      await scope.register(formPostRoute, {
        settings: kit.settings,
        providerFlow,
        path,
        operation: `oauthAssociateFormPost:${name}`,
        upstream: `${upstream}.form_post`
      })
    }
  }
}

function addLinkCallbackRoute (scope: FastifyInstance, options: StartLinkOptions): void {
  const { kit, settings: oauth, flow, accounts, providerFlow, path, upstream } = options
  const { settings } = kit
  const { provider } = providerFlow.client
  const guard = { verified: oauth.requireVerification }

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
            : { 302: Type.Null({ description: 'Redirect to the target, with `error` if linking failed.' }) }),
          ...errorReplies(
            settings,
            ...GUARD_ERRORS,
            ...CALLBACK_ERRORS,
            'OAUTH_ACCOUNT_ALREADY_LINKED',
            ...(oauth.redirects === null ? [] : ['OAUTH_BAD_REDIRECT' as const])
          )
        }
      },
      onRequest: authenticate(guard),
      exposeHeadRoute: false
    },
    async (request, reply) => {
      const { id } = currentUser(request)
      return flow.finish(providerFlow, request.query, String(id), { request, reply }, async (identity) => {
        await authenticateAgain(request, reply, guard, id)
        return accounts.link(await kit.readActingUser(request), identity, { request, reply })
      })
    }
  )
}

/** Authenticates again: the session may have ended, or the user changed, during the calls to the provider. */
async function authenticateAgain (
  request: FastifyRequest,
  reply: FastifyReply,
  guard: AuthenticateOptions,
  id: User['id']
): Promise<void> {
  request.authentication = null
  await authenticate(request, reply, guard)
  // another credential of the same request may identify another user
  if (currentUser(request).id !== id) throw FST_USERS_BAD_REQUEST()
}
