import { RequestVerifyBody, VerifyBody } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, captchaErrors, errorReplies, replyOf } from './replies.js'

/** Registers the routes that verify an e-mail. */
export const verifyRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.post<{ Body: RequestVerifyBody }>(
    '/request-verify-token',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'requestVerifyToken',
          attempt: 'requestVerify',
          upstream: 'verify:request-token',
          summary: 'Ask for a verify token',
          description: 'Sends a token to the e-mail if it belongs to a user. The reply is the same for every e-mail.'
        }),
        body: RequestVerifyBody,
        response: {
          202: settings.wire.emptyReplies.schema('Accepted. The reply is the same for every e-mail.'),
          ...errorReplies(settings, ...BODY_ERRORS, ...captchaErrors(settings, 'requestVerify'), 'TOO_MANY_ATTEMPTS')
        }
      }
    },
    async (request, reply) => {
      await users.requestVerify(request.body.email, { request, reply })
      return settings.wire.emptyReplies.send(reply, 202)
    }
  )

  scope.post<{ Body: VerifyBody }>(
    '/verify',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'verify',
          attempt: 'verify',
          upstream: 'verify:verify',
          summary: 'Verify an e-mail'
        }),
        body: VerifyBody,
        response: {
          200: replyOf(settings.schemas.UserRead, 'The verified user.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'VERIFY_USER_BAD_TOKEN',
            'VERIFY_USER_ALREADY_VERIFIED',
            ...captchaErrors(settings, 'verify'),
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => users.verify(request.body.token, { request, reply })
  )
}
