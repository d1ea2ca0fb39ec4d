import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import {
  describeRoute,
  errorReplies,
  refuseCrossSite,
  replyOf,
  type ErrorWord
} from '../../../feature/index.js'
import { sendBrowser } from '../browser-reply.js'
import type { Identity } from '../contracts.js'
import { enterWith, type EnterParts } from '../enter.js'
import type { LoginStart, ProviderFlow } from '../flow.js'
import {
  AuthorizeQuery,
  AuthorizeReply,
  BrowserLoginQuery,
  CallbackQuery,
  loginQuery,
  type RememberMeQuery
} from '../schemas.js'
import { readAuthorizeQuery, readBrowserQuery, wrapScopes } from './authorize-request.js'
import { formPostRoute } from './form-post.js'
import { AUTHORIZE_ERRORS, CALLBACK_ERRORS, createProviderFlow, type FlowRoutesOptions } from './provider-flow.js'

const LOGIN_ERRORS = [
  ...CALLBACK_ERRORS,
  'OAUTH_USER_ALREADY_EXISTS',
  'OAUTH_PROFILE_INCOMPLETE',
  'LOGIN_BAD_CREDENTIALS',
  'LOGIN_USER_NOT_VERIFIED',
  'LOGIN_PENDING'
] as const satisfies readonly ErrorWord[]

interface LoginRouteOptions extends FlowRoutesOptions {
  providerFlow: ProviderFlow
  path: string
  /** Suffix of the operation ids: provider and backend. */
  id: string
}

/** Registers the login routes of every provider. */
export const oauthLoginRoutes: FastifyPluginAsync<FlowRoutesOptions> = async (scope, parts) => {
  const { kit, settings: oauth, clients } = parts

  for (const client of clients.values()) {
    const { path, providerFlow } = createProviderFlow(scope, client, 'login', oauth)
    const id = `${client.provider.name}.${oauth.backend.name}`
    const options: LoginRouteOptions = { ...parts, providerFlow, path, id }
    addAuthorizeRoute(scope, options)
    addLoginCallbackRoute(scope, options)
    if (client.provider.responseMode === 'form_post') {
      await scope.register(formPostRoute, {
        settings: kit.settings,
        providerFlow,
        path,
        operation: `oauthFormPost:${id}`,
        upstream: `oauth:${id}.form_post`
      })
    }
    if (oauth.redirects !== null) addBrowserLoginRoute(scope, options)
  }
}

function addAuthorizeRoute (scope: FastifyInstance, options: LoginRouteOptions): void {
  const { kit, settings: oauth, flow, providerFlow, path, id } = options
  const { settings } = kit
  const { transport } = oauth.backend
  const { provider } = providerFlow.client

  scope.get<{ Querystring: AuthorizeQuery & RememberMeQuery }>(
    `${path}/authorize`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `oauthAuthorize:${id}`,
          upstream: `oauth:${id}.authorize`,
          summary: `Start a login with ${provider.title}`
        }),
        querystring: loginQuery(AuthorizeQuery, settings.rememberMe(oauth.backend.name)),
        response: {
          200: replyOf(AuthorizeReply, 'The URL of the provider to open in the browser.'),
          ...errorReplies(settings, ...AUTHORIZE_ERRORS, ...(transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []))
        }
      },
      onRequest: refuseCrossSite(settings, transport),
      preValidation: wrapScopes,
      exposeHeadRoute: false
    },
    async (request, reply) => {
      const rememberMe = request.query.remember_me !== undefined
      const start = { ...readAuthorizeQuery(provider, request.query), userId: null, rememberMe }
      return { authorization_url: await flow.start(providerFlow, start, { request, reply }) }
    }
  )
}

function addLoginCallbackRoute (scope: FastifyInstance, options: LoginRouteOptions): void {
  const { kit, settings: oauth, flow, accounts, providerFlow, path, id } = options
  const { settings } = kit
  const { backend, redirects, requireVerification } = oauth
  const { provider } = providerFlow.client
  const parts: EnterParts = { kit, accounts, backend, requireVerification }

  scope.get<{ Querystring: CallbackQuery }>(
    `${path}/callback`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `oauthCallback:${id}`,
          upstream: `oauth:${id}.callback`,
          summary: `Finish a login with ${provider.title}`
        }),
        querystring: CallbackQuery,
        response: {
          ...backend.description.login,
          ...(redirects === null
            ? {}
            : { 302: Type.Null({ description: 'Redirect to the target of the login, with `error` if it failed.' }) }),
          ...errorReplies(settings, ...LOGIN_ERRORS, ...(redirects === null ? [] : ['OAUTH_BAD_REDIRECT' as const]))
        }
      },
      exposeHeadRoute: false
    },
    async (request, reply) =>
      flow.finish(providerFlow, request.query, null, { request, reply }, (identity, start) =>
        sendIdentityLogin(parts, identity, { request, reply }, start)
      )
  )
}

/** Cross-site requests are accepted: the link only starts a login, and the browser logs in as its own user. */
function addBrowserLoginRoute (scope: FastifyInstance, options: LoginRouteOptions): void {
  const { kit, settings: oauth, flow, providerFlow, path, id } = options
  const { settings } = kit
  const { provider } = providerFlow.client

  scope.get<{ Querystring: BrowserLoginQuery & RememberMeQuery }>(
    `${path}/login`,
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `oauthLogin:${id}`,
          upstream: `oauth:${id}.login`,
          summary: `Redirect to ${provider.title} for a login`
        }),
        querystring: loginQuery(BrowserLoginQuery, settings.rememberMe(oauth.backend.name)),
        response: {
          302: Type.Null({ description: 'Redirect to the provider.' }),
          ...errorReplies(settings, ...AUTHORIZE_ERRORS, 'OAUTH_BAD_REDIRECT')
        }
      },
      exposeHeadRoute: false
    },
    async (request, reply) => {
      const rememberMe = request.query.remember_me !== undefined
      const start = { ...readBrowserQuery(provider, oauth, request.query.redirect), userId: null, rememberMe }
      return sendBrowser(reply, await flow.start(providerFlow, start, { request, reply }), 302)
    }
  )
}

/** Logs the user in and returns the backend's reply; in browser mode it only sets the session cookie. */
async function sendIdentityLogin (
  parts: EnterParts,
  identity: Identity,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  { inBrowser, rememberMe }: LoginStart
): Promise<FastifyReply | null> {
  const { transport } = parts.backend
  const issued = await enterWith(parts, identity, { request, reply }, rememberMe)
  if (!inBrowser || transport.renew === undefined) return transport.sendLogin(reply, issued)
  transport.renew(reply, issued)
  return null // awaiting an unsent reply would never end
}
