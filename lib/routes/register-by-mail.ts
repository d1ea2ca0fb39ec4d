import { Type, type TObject } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { component, MailedRegistrationBody, Token } from '../../schemas/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { Settings } from '../contracts/settings.js'
import type { RegistrationValues } from '../contracts/users-api.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { BODY_ERRORS, captchaErrors, errorReplies, replyOf } from './replies.js'

interface RoutesOptions {
  users: UsersService
  settings: Settings
}

/** Registers the routes for registration by mail: the request, and its completion with the mailed token. */
export const registerByMailRoutes: RouteGroup<UsersService> = async (scope, options) => {
  addRequestRegistrationRoute(scope, options)
  addCompletionRoute(scope, options)
}

function addRequestRegistrationRoute (scope: FastifyInstance, { users, settings }: RoutesOptions): void {
  scope.post<{ Body: MailedRegistrationBody }>(
    '/register',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'register',
          attempt: 'register',
          upstream: 'register:register',
          summary: 'Begin a registration',
          description: 'Sends a token to the e-mail. The reply is the same for a new and a known e-mail.'
        }),
        body: MailedRegistrationBody,
        response: {
          202: settings.wire.emptyReplies.schema('Accepted. The reply is the same for a new and a known e-mail.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            ...captchaErrors(settings, 'register'),
            'INVALID_USER',
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      await users.requestRegistration(request.body.email, { request, reply })
      return settings.wire.emptyReplies.send(reply, 202)
    }
  )
}

function addCompletionRoute (scope: FastifyInstance, { users, settings }: RoutesOptions): void {
  scope.post<{ Body: RegistrationValues & { token: string } }>(
    '/register/complete',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: 'completeRegistration',
          attempt: 'completeRegistration',
          summary: 'Complete a registration',
          description: 'Creates a user with the e-mail to which the token was sent. The user is verified, and not logged in.'
        }),
        body: completionBody(settings),
        response: {
          201: replyOf(settings.schemas.UserRead, 'The new user.'),
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            ...captchaErrors(settings, 'completeRegistration'),
            'REGISTER_BAD_TOKEN',
            'INVALID_USER',
            'REGISTER_INVALID_PASSWORD',
            'PASSWORD_QUEUE_FULL',
            'TOO_MANY_ATTEMPTS'
          )
        }
      }
    },
    async (request, reply) => {
      const { token, ...values } = request.body
      return reply.code(201).send(await users.completeRegistration(token, values, { request, reply }))
    }
  )
}

/** Returns the schema of the body: the token, and a new user without the e-mail and the flags. */
function completionBody ({ schemas: { UserCreate } }: Settings): TObject {
  const { email, is_active: active, is_superuser: superuser, is_verified: verified, ...rest } = UserCreate.properties
  return Type.Object({ token: Token, ...rest }, component('CompleteRegistration'))
}
