import { RequestVerifyBody, VerifyBody } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { emptyReply, sendNothing } from './empty-reply.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, errorReplies, replyOf } from './replies.js'

/** Proof of an e-mail address. */
export const verifyRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.post<{ Body: RequestVerifyBody }>(
    '/request-verify-token',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'requestVerifyToken',
          upstream: 'verify:request-token',
          summary: 'Ask for a verify token',
          description: 'Replies the same for every address. The token goes to the address.'
        }),
        body: RequestVerifyBody,
        response: {
          202: emptyReply(settings, 'Accepted, whoever the address belongs to.'),
          ...errorReplies(settings, ...BODY_ERRORS)
        }
      }
    },
    async (request, reply) => {
      await users.requestVerify(request.body.email, { request, reply })
      return sendNothing(reply, 202, settings)
    }
  )

  scope.post<{ Body: VerifyBody }>(
    '/verify',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'verify',
          upstream: 'verify:verify',
          summary: 'Verify an e-mail address'
        }),
        body: VerifyBody,
        response: {
          200: replyOf(settings.schemas.UserRead, 'The user, verified.'),
          ...errorReplies(settings, ...BODY_ERRORS, 'VERIFY_USER_BAD_TOKEN', 'VERIFY_USER_ALREADY_VERIFIED')
        }
      }
    },
    async (request, reply) => users.verify(request.body.token, { request, reply })
  )
}
