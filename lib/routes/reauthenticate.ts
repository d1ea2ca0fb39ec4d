import { Type, type Static } from '@sinclair/typebox'
import { component, Password } from '../../schemas/index.js'
import { authenticate } from '../authentication/index.js'
import type { Backend } from '../contracts/backend.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { optionalBody, acceptMissingBody } from './optional-body.js'
import { addFormParsers } from './parsers.js'
import { BODY_ERRORS, captchaErrors, errorReplies } from './replies.js'
import { rereadSession } from './reread-session.js'

const ReauthenticateBody = Type.Object({ password: Type.Optional(Password) }, component('Reauthenticate'))
/** Errors for users with a second factor. */
const STEP_ERRORS = ['LOGIN_PENDING', 'INSUFFICIENT_USER_AUTHENTICATION'] as const
type ReauthenticateBody = Static<typeof ReauthenticateBody>

/** Registers the route with which the user of a session authenticates again. */
export const reauthenticateRoute: RouteGroup<UsersService, { backend: Backend }> = async (scope, options) => {
  const { users, settings, backend } = options
  const { transport, description, name, requireVerification } = backend
  const own = authenticate({ backends: [name], verified: requireVerification })
  addFormParsers(scope)
  scope.post<{ Body: ReauthenticateBody }>(
    '/reauthenticate',
    {
      schema: {
        ...describeRoute(settings, {
          tags: ['auth'],
          operation: `reauthenticate:${name}`,
          attempt: 'currentPassword',
          upstream: `auth:${name}.reauthenticate`,
          summary: 'Authenticate again',
          description: 'The reply has a new token. The session that sent the request ends.',
          consumes: ['application/x-www-form-urlencoded', 'multipart/form-data', 'application/json']
        }),
        ...optionalBody(ReauthenticateBody),
        response: {
          ...description.login,
          ...errorReplies(
            settings,
            ...BODY_ERRORS,
            'UNAUTHENTICATED',
            'REAUTHENTICATE_BAD_PASSWORD',
            ...(requireVerification ? ['FORBIDDEN' as const] : []),
            ...(settings.loginSteps.length > 0 ? STEP_ERRORS : []),
            ...(transport.ambient ? ['CROSS_SITE_REQUEST' as const] : []),
            'PASSWORD_QUEUE_FULL',
            ...captchaErrors(settings, 'currentPassword'),
            'TOO_MANY_ATTEMPTS'
          )
        }
      },
      onRequest: own,
      preValidation: acceptMissingBody,
      preHandler: rereadSession(own)
    },
    async (request, reply) => {
      const { password } = request.body
      const proof = password === undefined ? {} : { password }
      const issued = await users.renewSession(proof, { request, reply })
      return transport.sendLogin(reply, issued)
    }
  )
}
