import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import {
  BODY_ERRORS,
  describeRoute,
  errorReplies,
  refuseCrossSite,
  rememberableBody,
  replyOf,
  UNREAD_BODY_ERRORS,
  wantsToBeRemembered,
  type Backend,
  type FeatureKit
} from '../../feature/index.js'
import type { PasskeyLogins } from './login.js'
import { PasskeyLogin, RequestStart } from './schemas.js'

/** Options of the login routes of one backend. */
export interface LoginRoutesOptions {
  kit: FeatureKit
  backend: Backend
  logins: PasskeyLogins
}

/** Registers the routes with which users log in at a backend with a passkey and nothing else. */
export const passkeyLoginRoutes: FastifyPluginAsync<LoginRoutesOptions> = async (scope, options) => {
  addLoginOptionsRoute(scope, options)
  addPasskeyLoginRoute(scope, options)
}

function addLoginOptionsRoute (scope: FastifyInstance, options: LoginRoutesOptions): void {
  const { kit: { settings }, backend, logins } = options
  scope.post('/passkey/options', {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation: `passkeyOptions:${backend.name}`,
        attempt: 'passkeysOptions',
        summary: 'Begin a login with a passkey',
        description: 'The reply has the options of navigator.credentials.get() and a ticket, which works once. It is the same for everyone.'
      }),
      response: {
        200: replyOf(RequestStart, 'The options, and a ticket for the login.'),
        ...errorReplies(settings, ...UNREAD_BODY_ERRORS, ...crossSiteErrors(options), 'TOO_MANY_ATTEMPTS')
      }
    },
    onRequest: refuseCrossSite(settings, backend.transport)
  }, async (request, reply) => await logins.begin(backend, { request, reply }))
}

function addPasskeyLoginRoute (scope: FastifyInstance, options: LoginRoutesOptions): void {
  const { kit: { settings }, backend, logins } = options
  scope.post<{ Body: PasskeyLogin & { remember_me?: unknown } }>('/passkey', {
    schema: {
      ...describeRoute(settings, {
        tags: ['auth'],
        operation: `passkeyLogin:${backend.name}`,
        attempt: 'passkeysLogin',
        summary: 'Log in with a passkey'
      }),
      body: rememberableBody(settings, backend.name, PasskeyLogin),
      response: {
        ...backend.description.login,
        ...errorReplies(
          settings, ...BODY_ERRORS, ...crossSiteErrors(options), 'PASSKEY_CHALLENGE_INVALID', 'PASSKEY_INVALID',
          'LOGIN_BAD_CREDENTIALS', ...(settings.revealExistingAccounts ? ['LOGIN_USER_NOT_VERIFIED' as const] : []),
          'LOGIN_PENDING', 'TOO_MANY_ATTEMPTS'
        )
      }
    },
    onRequest: refuseCrossSite(settings, backend.transport)
  }, async (request, reply) => {
    const rememberMe = wantsToBeRemembered(request.body)
    const issued = await logins.finish(backend, request.body, { request, reply, rememberMe })
    return backend.transport.sendLogin(reply, issued)
  })
}

function crossSiteErrors ({ backend: { transport } }: LoginRoutesOptions): readonly 'CROSS_SITE_REQUEST'[] {
  return transport.ambient ? ['CROSS_SITE_REQUEST'] : []
}
