import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AuthorizeQuery, AuthorizeReply, BrowserLoginQuery, CallbackQuery } from '../../../../schemas/index.js'
import { isCrossSite } from '../../../authentication/index.js'
import { FST_USERS_CROSS_SITE_REQUEST } from '../../../errors.js'
import { describeRoute, errorReplies, replyOf, type ErrorWord } from '../../../routes/index.js'
import type { Identity } from '../contracts.js'
import { enterWith, type EnterParts } from '../enter.js'
import { sendBrowser } from '../flow.js'
import { formPostRoute } from './form-post.js'
import {
  browserStartOf,
  CALLBACK_ERRORS,
  legOf,
  START_ERRORS,
  startOf,
  wrapScopes,
  type FlowRoutesOptions
} from './legs.js'

const LOGIN_ERRORS = [
  ...CALLBACK_ERRORS,
  'OAUTH_USER_ALREADY_EXISTS',
  'OAUTH_PROFILE_INCOMPLETE',
  'LOGIN_BAD_CREDENTIALS',
  'LOGIN_USER_NOT_VERIFIED',
  'LOGIN_PENDING'
] as const satisfies readonly ErrorWord[]

/** Login with each of the providers. The scope around it is one of ours. */
export const loginRoutes: FastifyPluginAsync<FlowRoutesOptions> = async (
  scope,
  { host, settings: oauth, flow, accounts, clients }
) => {
  const { settings } = host
  const { backend } = oauth
  const { transport, name, description } = backend
  const parts: EnterParts = {
    host,
    users: scope.users,
    accounts,
    backend,
    requireVerification: oauth.requireVerification
  }

  /** Logs in whom the provider vouches for; the reply is the backend's, or null and carries its cookie. */
  async function login (
    identity: Identity,
    request: FastifyRequest,
    reply: FastifyReply,
    inBrowser: boolean
  ): Promise<FastifyReply | null> {
    const issued = await enterWith(parts, identity, { request, reply })
    if (!inBrowser || transport.renew === undefined) return transport.sendLogin(reply, issued)
    transport.renew(reply, issued)
    return null // an unsent reply is a promise that waits for itself
  }

  for (const client of clients.values()) {
    const { provider } = client
    const { path, leg } = legOf(scope, client, 'login', oauth)
    const upstream = `oauth:${provider.name}.${name}`

    scope.get<{ Querystring: AuthorizeQuery }>(
      `${path}/authorize`,
      {
        schema: {
          ...describeRoute(settings, {
            tags: ['auth'],
            operation: `oauthAuthorize:${provider.name}.${name}`,
            upstream: `${upstream}.authorize`,
            summary: `Start a login with ${provider.title}`
          }),
          querystring: AuthorizeQuery,
          response: {
            200: replyOf(AuthorizeReply, 'Where the browser goes.'),
            ...errorReplies(settings, ...START_ERRORS, ...(transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []))
          }
        },
        onRequest: async (request) => {
          if (transport.ambient && isCrossSite(request, settings, transport)) throw FST_USERS_CROSS_SITE_REQUEST()
        },
        preValidation: wrapScopes,
        exposeHeadRoute: false
      },
      async (request, reply) => ({
        authorization_url: await flow.start(
          leg,
          { ...startOf(provider, request.query), userId: null },
          { request, reply }
        )
      })
    )

    scope.get<{ Querystring: CallbackQuery }>(
      `${path}/callback`,
      {
        schema: {
          ...describeRoute(settings, {
            tags: ['auth'],
            operation: `oauthCallback:${provider.name}.${name}`,
            upstream: `${upstream}.callback`,
            summary: `Finish a login with ${provider.title}`
          }),
          querystring: CallbackQuery,
          response: {
            ...description.login,
            ...(oauth.redirects === null
              ? {}
              : {
                  302: Type.Null({
                    description: 'The place that the login was started for, with `error` where it failed.'
                  })
                }),
            ...errorReplies(
              settings,
              ...LOGIN_ERRORS,
              ...(oauth.redirects === null ? [] : ['OAUTH_BAD_REDIRECT' as const])
            )
          }
        },
        exposeHeadRoute: false
      },
      async (request, reply) =>
        flow.finish(leg, request.query, null, { request, reply }, (identity, inBrowser) =>
          login(identity, request, reply, inBrowser)
        )
    )

    if (provider.responseMode === 'form_post') {
      await scope.register(formPostRoute, {
        settings,
        leg,
        path,
        operation: `oauthFormPost:${provider.name}.${name}`,
        upstream: `${upstream}.form_post`
      })
    }
    if (oauth.redirects === null) continue

    // also from other sites: a link that starts a login is only that, for the browser logs in as its own user
    scope.get<{ Querystring: BrowserLoginQuery }>(
      `${path}/login`,
      {
        schema: {
          ...describeRoute(settings, {
            tags: ['auth'],
            operation: `oauthLogin:${provider.name}.${name}`,
            upstream: `${upstream}.login`,
            summary: `Go to a login with ${provider.title}`
          }),
          querystring: BrowserLoginQuery,
          response: {
            302: Type.Null({ description: 'The provider.' }),
            ...errorReplies(settings, ...START_ERRORS, 'OAUTH_BAD_REDIRECT')
          }
        },
        exposeHeadRoute: false
      },
      async (request, reply) => {
        const start = browserStartOf(provider, oauth, request.query.redirect)
        return sendBrowser(reply, await flow.start(leg, { ...start, userId: null }, { request, reply }), 302)
      }
    )
  }
}
