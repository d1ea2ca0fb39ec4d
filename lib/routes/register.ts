import type { RouteGroup } from '../contracts/route-group.js'
import type { NewUser } from '../contracts/user.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, captchaErrors, errorReplies, replyOf } from './replies.js'

/** Registers the route for registration. */
export const registerRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  const {
    schemas: { UserCreate, UserRead },
    revealExistingAccounts
  } = settings

  scope.post<{ Body: NewUser }>(
    '/register',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'register',
          attempt: 'register',
          upstream: 'register:register',
          summary: 'Register'
        }),
        body: UserCreate,
        response: {
          ...(revealExistingAccounts
            ? { 201: replyOf(UserRead, 'The new user.') }
            : { 202: settings.wire.emptyReplies.schema('Accepted. The reply is the same for a new and a known e-mail.') }),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'INVALID_USER',
            'REGISTER_INVALID_PASSWORD',
            ...(revealExistingAccounts ? ['REGISTER_USER_ALREADY_EXISTS' as const] : []),
            'PASSWORD_QUEUE_FULL',
            ...captchaErrors(settings, 'register'),
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      const context = { request, reply }
      if (revealExistingAccounts) {
        return reply.code(201).send(await users.create(request.body, { ...context, by: 'self' }))
      }
      await users.registerWithoutReveal(request.body, context)
      return settings.wire.emptyReplies.send(reply, 202)
    }
  )
}
