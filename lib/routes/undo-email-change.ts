import { UndoEmailChangeBody } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, captchaErrors, errorReplies } from './replies.js'

/** Registers the route that undoes an e-mail change. */
export const undoEmailChangeRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.post<{ Body: UndoEmailChangeBody }>(
    '/undo-email-change',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'undoEmailChange',
          attempt: 'undoEmailChange',
          summary: 'Undo an e-mail change',
          description:
            'Restores the e-mail to which the token was sent, revokes all sessions, makes the password unusable, and sends a reset token to the e-mail.'
        }),
        body: UndoEmailChangeBody,
        response: {
          200: settings.wire.emptyReplies.schema('The e-mail is restored, and all sessions are revoked.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            ...captchaErrors(settings, 'undoEmailChange'),
            'UNDO_EMAIL_CHANGE_BAD_TOKEN',
            'UNDO_EMAIL_CHANGE_EMAIL_TAKEN',
            'PASSWORD_QUEUE_FULL',
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      await users.undoEmailChange(request.body.token, { request, reply })
      return settings.wire.emptyReplies.send(reply, 200)
    }
  )
}
