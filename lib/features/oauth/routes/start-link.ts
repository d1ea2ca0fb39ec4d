import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { AuthorizeQuery, AuthorizeReply, BrowserLoginQuery, CurrentPasswordBody } from '../../../../schemas/index.js'
import { authenticate, currentUser, isCrossSite } from '../../../authentication/index.js'
import { FST_USERS_CROSS_SITE_REQUEST, isUsersError } from '../../../errors.js'
import { addFormParsers, CONFIRM_ERRORS, describeRoute, errorReplies, forget, replyOf } from '../../../routes/index.js'
import { sendBrowser, type Leg, type Start } from '../flow.js'
import { withError } from '../redirects.js'
import { browserStartOf, GUARD_ERRORS, START_ERRORS, startOf, wrapScopes, type FlowRoutesOptions } from './legs.js'

interface StartLinkOptions extends FlowRoutesOptions { leg: Leg, path: string, upstream: string }

/**
 * Where linking starts, for a client and for the browser itself: by GET, as the contract has it. With `sensitiveChanges:
 * 'confirm'` by POST, whose body has the current password, which must not stand in an address.
 */
export const startLinkRoutes: FastifyPluginAsync<StartLinkOptions> = async (scope, { host, settings: oauth, flow, leg, path, upstream }) => {
  const { settings } = host
  const { provider } = leg.client
  const confirms = settings.sensitiveChanges === 'confirm'
  const own = authenticate({ verified: oauth.requireVerification })
  const preHandler = confirms ? [forget, own] : []
  const body = confirms ? { body: CurrentPasswordBody } : {}
  const errors = [...GUARD_ERRORS, ...START_ERRORS, ...(confirms ? ['CROSS_SITE_REQUEST' as const, ...CONFIRM_ERRORS] : [])]
  const startOfUser = (request: FastifyRequest, start: Omit<Start, 'userId'>): Start => ({ ...start, userId: String(currentUser(request).id) })

  scope.route<{ Querystring: AuthorizeQuery, Body: CurrentPasswordBody | undefined }>({
    method: confirms ? 'POST' : 'GET',
    url: `${path}/authorize`,
    schema: {
      ...describeRoute(settings, { tags: ['auth'], operation: `oauthAssociateAuthorize:${provider.name}`, upstream: `${upstream}.authorize`, summary: `Start to link an account of ${provider.title}` }),
      querystring: AuthorizeQuery,
      ...body,
      response: { 200: replyOf(AuthorizeReply, 'Where the browser goes.'), ...errorReplies(settings, ...errors) }
    },
    onRequest: own,
    preValidation: wrapScopes,
    preHandler,
    exposeHeadRoute: false,
    async handler (request, reply) {
      await host.confirm(request, request.body)
      return { authorization_url: await flow.start(leg, startOfUser(request, startOf(provider, request.query)), { request, reply }) }
    }
  })
  if (oauth.redirects === null) return

  const status = confirms ? 303 : 302
  if (confirms) addFormParsers(scope)
  scope.route<{ Querystring: BrowserLoginQuery, Body: CurrentPasswordBody | undefined }>({
    method: confirms ? 'POST' : 'GET',
    url: `${path}/login`,
    schema: {
      ...describeRoute(settings, { tags: ['auth'], operation: `oauthAssociateLogin:${provider.name}`, upstream: `${upstream}.login`, summary: `Go to ${provider.title} to link an account`, ...(confirms ? { consumes: ['application/x-www-form-urlencoded'] } : {}) }),
      querystring: BrowserLoginQuery,
      ...body,
      response: { [status]: Type.Null({ description: 'The provider.' }), ...errorReplies(settings, ...errors, 'CROSS_SITE_REQUEST', 'OAUTH_BAD_REDIRECT') }
    },
    onRequest: [own, async (request) => {
      if (isCrossSite(request, settings)) throw FST_USERS_CROSS_SITE_REQUEST()     // else another site could link the account that the browser has at the provider
    }],
    preHandler,
    exposeHeadRoute: false,
    async handler (request, reply) {
      const start = browserStartOf(provider, oauth, request.query.redirect)
      try {
        await host.confirm(request, request.body)
      } catch (error) {
        if (!isUsersError(error) || error.code !== 'FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD') throw error
        return sendBrowser(reply, withError(start.redirect, 'UPDATE_USER_BAD_CURRENT_PASSWORD'), status)
      }
      return sendBrowser(reply, await flow.start(leg, startOfUser(request, start), { request, reply }), status)
    }
  })
}
