import type { FastifyInstance } from 'fastify'
import {
  BODY_ERRORS,
  captchaErrors,
  describeRoute,
  errorReplies,
  refuseCrossSite,
  rememberableBody,
  replyOf,
  wantsToBeRemembered,
  type Backend,
  type ErrorWord,
  type FeatureKit
} from '../../feature/index.js'
import type { EmailLoginApi } from './contracts.js'
import { EmailLoginBody, EmailLoginConfirmBody, EmailLoginTicketReply } from './schemas.js'

interface RoutesOptions {
  readonly kit: FeatureKit
  readonly backend: Backend
  readonly logins: EmailLoginApi
  /** A login can create a user. */
  readonly signsUp: boolean
}

/** Registers the routes of a backend that request and finish a login. */
export async function emailLoginRoutes (scope: FastifyInstance, options: RoutesOptions): Promise<void> {
  addRequestEmailLoginRoute(scope, options)
  addConfirmEmailLoginRoute(scope, options)
}

function addRequestEmailLoginRoute (scope: FastifyInstance, options: RoutesOptions): void {
  const { kit: { settings }, backend, logins } = options
  scope.post<{ Body: EmailLoginBody }>(
    '/email',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `requestEmailLogin:${backend.name}`,
          attempt: 'email-login',
          summary: 'Ask for a login by e-mail',
          description: 'Sends a link or a code to the e-mail. The reply is the same for every e-mail.'
        }),
        body: EmailLoginBody,
        response: {
          202: replyOf(EmailLoginTicketReply, 'Accepted. The reply is the same for every e-mail.'),
          ...errorReplies(settings, ...BODY_ERRORS, ...commonErrors(options, 'email-login'))
        }
      },
      onRequest: refuseCrossSite(settings, backend.transport)
    },
    async (request, reply) => {
      const ticket = await logins.request(request.body.email, { backend: backend.name, request, reply })
      return reply.code(202).send(ticket)
    }
  )
}

function addConfirmEmailLoginRoute (scope: FastifyInstance, options: RoutesOptions): void {
  const { kit: { settings, login }, backend, logins, signsUp } = options
  scope.post<{ Body: EmailLoginConfirmBody & { remember_me?: unknown } }>(
    '/email/confirm',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `confirmEmailLogin:${backend.name}`,
          attempt: 'email-login-confirm',
          summary: 'Finish a login by e-mail',
          description: 'Send the ticket and the code, or the token of the link.'
        }),
        body: rememberableBody(settings, backend.name, EmailLoginConfirmBody),
        response: {
          ...backend.description.login,
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'EMAIL_LOGIN_INVALID',
            'EMAIL_LOGIN_OTHER_BROWSER',
            'LOGIN_BAD_CREDENTIALS',
            'LOGIN_PENDING',
            ...(signsUp ? ['INVALID_USER' as const, 'PASSWORD_QUEUE_FULL' as const] : []),
            ...commonErrors(options, 'email-login-confirm')
          )
        }
      },
      onRequest: refuseCrossSite(settings, backend.transport)
    },
    async (request, reply) => {
      const context = { backend: backend.name, request, reply }
      const rememberMe = wantsToBeRemembered(request.body)
      return await login.send(await logins.confirm(request.body, { ...context, rememberMe }), context)
    }
  )
}

function commonErrors ({ kit: { settings }, backend }: RoutesOptions, kind: string): readonly ErrorWord[] {
  const crossSite = backend.transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []
  return [...captchaErrors(settings, kind), ...crossSite, 'TOO_MANY_ATTEMPTS']
}
