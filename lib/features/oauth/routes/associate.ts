import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AuthorizeQuery, AuthorizeReply, BrowserLoginQuery, CallbackQuery } from '../../../../schemas/index.js'
import { authenticate, currentUser, isCrossSite, type AuthenticateOptions } from '../../../authentication/index.js'
import type { User } from '../../../contracts/user.js'
import { FST_USERS_BAD_REQUEST, FST_USERS_CROSS_SITE_REQUEST } from '../../../errors.js'
import { describeRoute, errorReplies, replyOf, type ErrorWord } from '../../../routes/index.js'
import { sendBrowser } from '../flow.js'
import { formPostRoute } from './form-post.js'
import { browserStartOf, CALLBACK_ERRORS, legOf, START_ERRORS, startOf, wrapScopes, type FlowRoutesOptions } from './legs.js'

const GUARD_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const satisfies readonly ErrorWord[]

/** Adds accounts of the providers to the user whom the request comes from. The scope around it is one of ours. */
export const associateRoutes: FastifyPluginAsync<FlowRoutesOptions> = async (scope, { host, settings: oauth, flow, accounts, clients }) => {
  const { settings } = host
  const guard = { verified: oauth.requireVerification }
  const own = authenticate(guard)

  for (const client of clients.values()) {
    const { provider } = client
    const { path, leg } = legOf(scope, client, 'link', oauth)
    const upstream = `oauth-associate:${provider.name}`

    scope.get<{ Querystring: AuthorizeQuery }>(`${path}/authorize`, {
      schema: {
        ...describeRoute(settings, { tags: ['auth'], operation: `oauthAssociateAuthorize:${provider.name}`, upstream: `${upstream}.authorize`, summary: `Start to link an account of ${provider.title}` }),
        querystring: AuthorizeQuery,
        response: { 200: replyOf(AuthorizeReply, 'Where the browser goes.'), ...errorReplies(settings, ...GUARD_ERRORS, ...START_ERRORS) }
      },
      onRequest: own,
      preValidation: wrapScopes,
      exposeHeadRoute: false
    }, async (request, reply) => {
      const userId = String(currentUser(request).id)
      return { authorization_url: await flow.start(leg, { ...startOf(provider, request.query), userId }, { request, reply }) }
    })

    scope.get<{ Querystring: CallbackQuery }>(`${path}/callback`, {
      schema: {
        ...describeRoute(settings, { tags: ['auth'], operation: `oauthAssociateCallback:${provider.name}`, upstream: `${upstream}.callback`, summary: `Link an account of ${provider.title}` }),
        querystring: CallbackQuery,
        response: {
          200: replyOf(settings.schemas.UserRead, 'The user.'),
          ...(oauth.redirects === null ? {} : { 302: Type.Null({ description: 'The place that it was started for, with `error` where it failed.' }) }),
          ...errorReplies(settings, ...GUARD_ERRORS, ...CALLBACK_ERRORS, 'OAUTH_ACCOUNT_ALREADY_LINKED', ...(oauth.redirects === null ? [] : ['OAUTH_BAD_REDIRECT' as const]))
        }
      },
      onRequest: own,
      exposeHeadRoute: false
    }, async (request, reply) => {
      const { id } = currentUser(request)
      return flow.finish(leg, request.query, String(id), { request, reply }, async (identity) => {
        await checkAgain(request, reply, guard, id)
        return accounts.link(await host.actingRow(request), identity, { request, reply })
      })
    })

    if (provider.responseMode === 'form_post') await scope.register(formPostRoute, { settings, leg, path, operation: `oauthAssociateFormPost:${provider.name}`, upstream: `${upstream}.form_post` })
    if (oauth.redirects === null) continue

    scope.get<{ Querystring: BrowserLoginQuery }>(`${path}/login`, {
      schema: {
        ...describeRoute(settings, { tags: ['auth'], operation: `oauthAssociateLogin:${provider.name}`, upstream: `${upstream}.login`, summary: `Go to ${provider.title} to link an account` }),
        querystring: BrowserLoginQuery,
        response: { 302: Type.Null({ description: 'The provider.' }), ...errorReplies(settings, ...GUARD_ERRORS, 'CROSS_SITE_REQUEST', ...START_ERRORS, 'OAUTH_BAD_REDIRECT') }
      },
      onRequest: [own, async (request) => {
        if (isCrossSite(request, settings)) throw FST_USERS_CROSS_SITE_REQUEST()     // else another site could link the account that the browser has at the provider
      }],
      exposeHeadRoute: false
    }, async (request, reply) => {
      const start = browserStartOf(provider, oauth, request.query.redirect)
      return sendBrowser(reply, await flow.start(leg, { ...start, userId: String(currentUser(request).id) }, { request, reply }), 302)
    })
  }
}

/** The session may have ended, or its user changed, while the provider was asked. */
async function checkAgain (request: FastifyRequest, reply: FastifyReply, guard: AuthenticateOptions, id: User['id']): Promise<void> {
  request.authentication = null
  await authenticate(request, reply, guard)
  if (currentUser(request).id !== id) throw FST_USERS_BAD_REQUEST()     // another session of the same request
}
