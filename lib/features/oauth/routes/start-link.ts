import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import {
  acceptMissingBody,
  addFormParsers,
  authenticate,
  currentUser,
  describeRoute,
  errorReplies,
  type ErrorWord,
  FST_USERS_CROSS_SITE_REQUEST,
  hasErrorCode,
  replyOf,
  rereadSession,
  stepUpBody,
  type CurrentPasswordBody
} from '../../../feature/index.js'
import { sendBrowser, withError } from '../browser-reply.js'
import type { FlowStart, ProviderFlow } from '../flow.js'
import { AuthorizeQuery, AuthorizeReply, BrowserLoginQuery } from '../schemas.js'
import { readAuthorizeQuery, readBrowserQuery, wrapScopes } from './authorize-request.js'
import { AUTHORIZE_ERRORS, GUARD_ERRORS, type FlowRoutesOptions } from './provider-flow.js'

export interface StartLinkOptions extends FlowRoutesOptions {
  providerFlow: ProviderFlow
  path: string
  /** Prefix of the operation ids in the style of FastAPI Users. */
  upstream: string
}
type Body = CurrentPasswordBody | undefined

/** Codes with which the browser returns to the application, which then asks for a proof. */
const STEP_UP_WORDS = ['UPDATE_USER_BAD_CURRENT_PASSWORD', 'INSUFFICIENT_USER_AUTHENTICATION'] as const

/** An HTTP method that starts linking, with its hooks. */
interface StartMethod {
  method: 'GET' | 'POST'
  /** Suffix that makes the operation id unique. */
  suffix: string
  body: { body?: TSchema }
  hooks: Pick<RouteShorthandOptions, 'onRequest' | 'preHandler' | 'exposeHeadRoute'>
  errors: readonly ErrorWord[]
}

/**
 * Registers the routes that start linking: `authorize` replies with the provider's URL, `login` redirects the browser.
 * Both accept GET and POST. With `sensitiveChanges: 'confirm'`, the body of a POST may have the current password; a GET
 * needs a fresh session. A GET that a cookie authenticated must come from a page of the same origin.
 */
export const startLinkRoutes: FastifyPluginAsync<StartLinkOptions> = async (scope, options) => {
  await scope.register(authorizeRoutes, options)
  if (options.settings.redirects !== null) await scope.register(browserRoutes, options)
}

const authorizeRoutes: FastifyPluginAsync<StartLinkOptions> = async (scope, options) => {
  const { kit, flow, providerFlow, path, upstream } = options
  const { settings } = kit
  const { provider } = providerFlow.client

  for (const { method, suffix, body, hooks, errors } of methodsOf(scope, options)) {
    scope.route<{ Querystring: AuthorizeQuery; Body: Body }>({
      method,
      url: `${path}/authorize`,
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `oauthAssociateAuthorize${suffix}:${provider.name}`,
          upstream: `${upstream}.authorize`,
          summary: `Start to link an account of ${provider.title}`
        }),
        querystring: AuthorizeQuery,
        ...body,
        response: {
          200: replyOf(AuthorizeReply, 'The URL of the provider to open in the browser.'),
          ...errorReplies(settings, ...errors)
        }
      },
      ...hooks,
      preValidation: [wrapScopes, acceptMissingBody],
      async handler (request, reply) {
        await kit.requireStepUp(request, request.body)
        const start = startOfUser(request, readAuthorizeQuery(provider, request.query))
        return { authorization_url: await flow.start(providerFlow, start, { request, reply }) }
      }
    })
  }
}

const browserRoutes: FastifyPluginAsync<StartLinkOptions> = async (scope, options) => {
  const { kit, settings: oauth, flow, providerFlow, path, upstream } = options
  const { settings } = kit
  const { provider } = providerFlow.client
  addFormParsers(scope)

  for (const { method, suffix, body, hooks, errors } of methodsOf(scope, options)) {
    const status = method === 'POST' ? 303 : 302
    scope.route<{ Querystring: BrowserLoginQuery; Body: Body }>({
      method,
      url: `${path}/login`,
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `oauthAssociateLogin${suffix}:${provider.name}`,
          upstream: `${upstream}.login`,
          summary: `Redirect to ${provider.title} to link an account`,
          ...(method === 'POST' ? { consumes: ['application/x-www-form-urlencoded'] } : {})
        }),
        querystring: BrowserLoginQuery,
        ...body,
        response: {
          [status]: Type.Null({ description: 'Redirect to the provider.' }),
          ...errorReplies(settings, ...errors, 'OAUTH_BAD_REDIRECT')
        }
      },
      ...hooks,
      preValidation: acceptMissingBody,
      async handler (request, reply): Promise<FastifyReply> {
        const start = readBrowserQuery(provider, oauth, request.query.redirect)
        try {
          await kit.requireStepUp(request, request.body)
        } catch (error) {
          const word = STEP_UP_WORDS.find((each) => hasErrorCode(error, `FST_USERS_${each}`))
          if (word === undefined) throw error
          return sendBrowser(reply, withError(start.redirect, word), status)
        }
        const url = await flow.start(providerFlow, startOfUser(request, start), { request, reply })
        return sendBrowser(reply, url, status)
      }
    })
  }
}

/** Returns the HTTP methods that start linking, with the hooks that protect them. */
function methodsOf (scope: FastifyInstance, { kit, settings: oauth }: StartLinkOptions): StartMethod[] {
  const { body, errors: bodyErrors } = stepUpBody(kit.settings)
  const own = authenticate({ verified: oauth.requireVerification })
  const errors = [...GUARD_ERRORS, ...AUTHORIZE_ERRORS, 'CROSS_SITE_REQUEST'] as const
  const post: StartMethod = {
    method: 'POST',
    suffix: 'Post',
    body,
    hooks: { onRequest: own, preHandler: rereadSession(own) },
    errors: [...errors, ...bodyErrors]
  }
  const get: StartMethod = {
    method: 'GET',
    suffix: '',
    body: {},
    hooks: { onRequest: [own, refuseOtherOrigins(scope)], exposeHeadRoute: false },
    errors: kit.settings.sensitiveChanges === 'confirm' ? [...errors, 'INSUFFICIENT_USER_AUTHENTICATION'] : errors
  }
  return [get, post]
}

/**
 * Returns a hook that throws `FST_USERS_CROSS_SITE_REQUEST` if a cookie authenticated the request and the browser does
 * not state that a page of the same origin sent it (Fetch Metadata, `Sec-Fetch-Site`). Otherwise a link in a mail, a
 * bookmark or another site could link the account that the browser is logged in with at the provider.
 */
function refuseOtherOrigins (scope: FastifyInstance) {
  return async ({ authentication, headers }: FastifyRequest): Promise<void> => {
    const isAmbient = scope.users.backends.get(authentication?.backend ?? '')?.transport.ambient === true
    if (isAmbient && headers['sec-fetch-site'] !== 'same-origin') throw FST_USERS_CROSS_SITE_REQUEST()
  }
}

function startOfUser (
  request: FastifyRequest<{ Querystring: object; Body: Body }>,
  start: Omit<FlowStart, 'userId'>
): FlowStart {
  return { ...start, userId: String(currentUser(request).id) }
}
