import { ForgotPasswordBody, ResetPasswordBody } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { emptyReply, sendNothing } from './empty-reply.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, errorReplies } from './replies.js'

/** A new password for a lost one. */
export const resetPasswordRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.post<{ Body: ForgotPasswordBody }>(
    '/forgot-password',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'forgotPassword',
          upstream: 'reset:forgot_password',
          summary: 'Ask for a reset token',
          description: 'Replies the same for every address. The token goes to the address.'
        }),
        body: ForgotPasswordBody,
        response: {
          202: emptyReply(settings, 'Accepted, whoever the address belongs to.'),
          ...errorReplies(settings, ...BODY_ERRORS)
        }
      }
    },
    async (request, reply) => {
      await users.forgotPassword(request.body.email, { request, reply })
      return sendNothing(reply, 202, settings)
    }
  )

  scope.post<{ Body: ResetPasswordBody }>(
    '/reset-password',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'resetPassword',
          upstream: 'reset:reset_password',
          summary: 'Set a new password'
        }),
        body: ResetPasswordBody,
        response: {
          200: emptyReply(settings, 'The password is changed; all sessions have ended.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'RESET_PASSWORD_BAD_TOKEN',
            'RESET_PASSWORD_INVALID_PASSWORD',
            'PASSWORD_QUEUE_FULL'
          )
        }
      }
    },
    async (request, reply) => {
      await users.resetPassword(request.body.token, request.body.password, { request, reply })
      return sendNothing(reply, 200, settings)
    }
  )
}
