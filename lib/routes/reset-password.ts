import { ForgotPasswordBody, ResetPasswordBody } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, captchaErrors, errorReplies } from './replies.js'

/** Registers the routes that reset a forgotten password. */
export const resetPasswordRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.post<{ Body: ForgotPasswordBody }>(
    '/forgot-password',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'forgotPassword',
          attempt: 'forgotPassword',
          upstream: 'reset:forgot_password',
          summary: 'Ask for a reset token',
          description: 'Sends a token to the e-mail if it belongs to a user. The reply is the same for every e-mail.'
        }),
        body: ForgotPasswordBody,
        response: {
          202: settings.wire.emptyReplies.schema('Accepted. The reply is the same for every e-mail.'),
          ...errorReplies(settings, ...BODY_ERRORS, ...captchaErrors(settings, 'forgotPassword'), 'TOO_MANY_ATTEMPTS')
        }
      }
    },
    async (request, reply) => {
      await users.forgotPassword(request.body.email, { request, reply })
      return settings.wire.emptyReplies.send(reply, 202)
    }
  )

  scope.post<{ Body: ResetPasswordBody }>(
    '/reset-password',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'resetPassword',
          attempt: 'resetPassword',
          upstream: 'reset:reset_password',
          summary: 'Set a new password'
        }),
        body: ResetPasswordBody,
        response: {
          200: settings.wire.emptyReplies.schema('The password is changed and all sessions are revoked.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'RESET_PASSWORD_BAD_TOKEN',
            'RESET_PASSWORD_INVALID_PASSWORD',
            'PASSWORD_QUEUE_FULL',
            ...captchaErrors(settings, 'resetPassword'),
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      await users.resetPassword(request.body.token, request.body.password, { request, reply })
      return settings.wire.emptyReplies.send(reply, 200)
    }
  )
}
