import { Type } from '@sinclair/typebox'
import type { FastifyRequest, FastifySchema } from 'fastify'
import { component, CurrentPasswordBody } from '../../schemas/index.js'
import { authenticate, currentUser } from '../authentication/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { Settings } from '../contracts/settings.js'
import type { User as AnyUser, UserChanges, UserId } from '../contracts/user.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import { parseNewEmail, type UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { rereadSession } from './reread-session.js'
import { BODY_ERRORS, errorReplies, replyOf, UNREAD_BODY_ERRORS, type ErrorWord } from './replies.js'

const kTarget = Symbol('fastify-users.target')
type TargetRequest = FastifyRequest & { [kTarget]: AnyUser }

const UPDATE_ERRORS: readonly ErrorWord[] = [
  ...BODY_ERRORS,
  'INVALID_USER',
  'UPDATE_USER_INVALID_PASSWORD',
  'CROSS_SITE_REQUEST',
  'PASSWORD_QUEUE_FULL'
]

/**
 * The user's own profile, and users by id for superusers. Order: who asks (401, 403), the id (404), the body, the
 * rules.
 */
export const usersRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  const {
    schemas,
    routes: {
      users: { requireVerification: verified }
    },
    sensitiveChanges,
    revealExistingAccounts
  } = settings
  const OwnUpdate =
    sensitiveChanges === 'confirm'
      ? Type.Object({ ...schemas.UserUpdate.properties, ...CurrentPasswordBody.properties }, component('OwnUserUpdate'))
      : schemas.UserUpdate
  const ownErrors: readonly ErrorWord[] =
    sensitiveChanges === 'confirm'
      ? ['UPDATE_USER_BAD_CURRENT_PASSWORD']
      : revealExistingAccounts
        ? ['UPDATE_USER_EMAIL_ALREADY_EXISTS']
        : []
  const User = replyOf(schemas.UserRead, 'The user.')
  const Params = Type.Object({ id: Type.String() })
  const describe = (operation: string, upstream: string, summary: string): FastifySchema =>
    describeRoute(settings, { tags: ['users'], operation, upstream: `users:${upstream}`, summary })

  scope.decorateRequest(kTarget, null)
  const own = authenticate({ verified })
  const superuser = authenticate({ superuser: true, verified })
  const byId = [
    superuser,
    async (request: FastifyRequest) => {
      const id = schemas.id.parse((request.params as { id: string }).id) as UserId | null
      const user = id === null ? null : await users.get(id)
      if (user === null) throw FST_USERS_NOT_FOUND()
      ;(request as TargetRequest)[kTarget] = user
    }
  ]

  scope.get(
    '/me',
    {
      schema: {
        ...describe('currentUser', 'current_user', 'Read your profile'),
        response: { 200: User, ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN') }
      },
      onRequest: own,
      exposeHeadRoute: false
    },
    async (request) => currentUser(request)
  )

  scope.patch<{ Body: UserChanges }>(
    '/me',
    {
      schema: {
        ...describe('patchCurrentUser', 'patch_current_user', 'Change your profile'),
        body: OwnUpdate,
        response: {
          200: User,
          ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', ...UPDATE_ERRORS, ...ownErrors)
        }
      },
      onRequest: own,
      preValidation: async (request) => {
        keepEmail(request.body, currentUser(request), settings)
      },
      preHandler: rereadSession(own)
    },
    async (request, reply) => users.updateOwn(request.body, request, reply)
  )

  scope.get(
    '/:id',
    {
      schema: {
        ...describe('user', 'user', 'Read a user'),
        params: Params,
        response: { 200: User, ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND') }
      },
      onRequest: byId,
      exposeHeadRoute: false
    },
    async (request) => targetOf(request)
  )

  scope.patch<{ Body: UserChanges }>(
    '/:id',
    {
      schema: {
        ...describe('patchUser', 'patch_user', 'Change a user'),
        params: Params,
        body: OwnUpdate,
        response: {
          200: User,
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'NOT_FOUND',
            'UPDATE_USER_EMAIL_ALREADY_EXISTS',
            'LAST_SUPERUSER',
            ...(sensitiveChanges === 'confirm' ? ['UPDATE_USER_BAD_CURRENT_PASSWORD' as const] : []),
            ...UPDATE_ERRORS
          )
        }
      },
      onRequest: byId,
      preValidation: async (request) => {
        keepEmail(request.body, targetOf(request), settings)
      },
      preHandler: rereadSession(superuser)
    },
    async (request, reply) => users.update(targetOf(request), request.body, { request, reply, by: 'superuser' })
  )

  scope.delete(
    '/:id',
    {
      schema: {
        ...describe('deleteUser', 'delete_user', 'Delete a user'),
        params: Params,
        response: {
          204: Type.Null({ description: 'The user is gone.' }),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'NOT_FOUND',
            'LAST_SUPERUSER',
            'CROSS_SITE_REQUEST',
            ...UNREAD_BODY_ERRORS
          )
        }
      },
      onRequest: byId,
      preHandler: rereadSession(superuser)
    },
    async (request, reply) => {
      await users.delete(targetOf(request), { request, reply, by: 'superuser' })
      return reply.code(204).send()
    }
  )
}

/**
 * Removes an unchanged e-mail that the rules for new ones refuse from a body: a form may send back all that it read.
 */
function keepEmail (body: unknown, { email }: AnyUser, settings: Settings): void {
  if (typeof body !== 'object' || body === null || !('email' in body) || body.email !== email) return
  if (parseNewEmail(email, settings) === null) Reflect.deleteProperty(body, 'email')
}

/** The user that `byId` found. */
function targetOf (request: object): AnyUser {
  return (request as TargetRequest)[kTarget]
}
