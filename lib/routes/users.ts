import { Type, type TObject, type TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { component, CurrentPasswordBody } from '../../schemas/index.js'
import { currentUser, type GuardHook } from '../authentication/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { Settings } from '../contracts/settings.js'
import type { User as AnyUser, UserChanges } from '../contracts/user.js'
import { parseNewEmail, type UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { ownAccountGuard, superuserGuard } from './user-guards.js'
import { rereadSession } from './reread-session.js'
import { createTargetLoader, targetDecorator, targetOf } from './user-by-id.js'
import { BODY_ERRORS, errorReplies, replyOf, UNREAD_BODY_ERRORS, type ErrorWord } from './replies.js'

const UPDATE_ERRORS: readonly ErrorWord[] = [
  ...BODY_ERRORS,
  'INVALID_USER',
  'UPDATE_USER_INVALID_PASSWORD',
  'CROSS_SITE_REQUEST',
  'PASSWORD_QUEUE_FULL'
]

/** Errors of sensitive changes by users to their own account. */
const CONFIRMED: readonly ErrorWord[] = [
  'UPDATE_USER_BAD_CURRENT_PASSWORD',
  'INSUFFICIENT_USER_AUTHENTICATION',
  'TOO_MANY_ATTEMPTS'
]

/** Values that the routes of the group share. */
interface RouteContext {
  users: UsersService
  settings: Settings
  /** Schema of the body of both PATCH routes. */
  UpdateBody: TObject
  /** Schema of a reply with a user. */
  UserReply: TSchema
  own: GuardHook
  superuser: GuardHook
  /** Hooks that accept superusers and load the user with the id in the URL. */
  byId: [GuardHook, (request: FastifyRequest) => Promise<void>]
}

const IdParams = Type.Object({ id: Type.String() })

/**
 * Registers the routes for the user's own profile, and those with which superusers manage users by id. They check in
 * this order: authentication and flags (401, 403), the id (404), the body (400), the rules.
 */
export const usersRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  const { schemas, sensitiveChanges } = settings
  const superuser = superuserGuard(settings)
  scope.decorateRequest(targetDecorator, null)
  const context: RouteContext = {
    users,
    settings,
    UpdateBody:
      sensitiveChanges === 'confirm'
        ? Type.Object(
          { ...schemas.UserUpdate.properties, ...CurrentPasswordBody.properties },
          component('UserUpdate')
        )
        : schemas.UserUpdate,
    UserReply: replyOf(schemas.UserRead, 'The user.'),
    own: ownAccountGuard(settings),
    superuser,
    byId: [superuser, createTargetLoader(users, settings)]
  }
  addGetOwnRoute(scope, context)
  addPatchOwnRoute(scope, context)
  addGetRoute(scope, context)
  addPatchRoute(scope, context)
  addDeleteUserRoute(scope, context)
}

function addGetOwnRoute (scope: FastifyInstance, { settings, UserReply, own }: RouteContext): void {
  scope.get(
    '/me',
    {
      schema: {
        ...describeUsersRoute(settings, 'currentUser', 'current_user', 'Read your profile'),
        response: { 200: UserReply, ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN') }
      },
      onRequest: own,
      exposeHeadRoute: false
    },
    async (request) => currentUser(request)
  )
}

function addPatchOwnRoute (
  scope: FastifyInstance,
  { users, settings, UpdateBody, UserReply, own }: RouteContext
): void {
  scope.patch<{ Body: UserChanges }>(
    '/me',
    {
      schema: {
        ...describeUsersRoute(settings, 'patchCurrentUser', 'patch_current_user', 'Change your profile'),
        body: UpdateBody,
        response: {
          200: UserReply,
          ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', ...UPDATE_ERRORS, ...ownUpdateErrors(settings))
        }
      },
      onRequest: own,
      preValidation: async (request) => {
        removeUnchangedEmail(request.body, currentUser(request), settings)
      },
      preHandler: rereadSession(own)
    },
    async (request, reply) => users.updateOwn(request.body, request, reply)
  )
}

function addGetRoute (scope: FastifyInstance, { settings, UserReply, byId }: RouteContext): void {
  scope.get(
    '/:id',
    {
      schema: {
        ...describeUsersRoute(settings, 'user', 'user', 'Read a user'),
        params: IdParams,
        response: { 200: UserReply, ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND') }
      },
      onRequest: byId,
      exposeHeadRoute: false
    },
    async (request) => targetOf(request)
  )
}

function addPatchRoute (
  scope: FastifyInstance,
  { users, settings, UpdateBody, UserReply, superuser, byId }: RouteContext
): void {
  scope.patch<{ Body: UserChanges }>(
    '/:id',
    {
      schema: {
        ...describeUsersRoute(settings, 'patchUser', 'patch_user', 'Change a user'),
        params: IdParams,
        body: UpdateBody,
        response: {
          200: UserReply,
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'NOT_FOUND',
            'UPDATE_USER_EMAIL_ALREADY_EXISTS',
            'LAST_SUPERUSER',
            ...(settings.sensitiveChanges === 'confirm' ? CONFIRMED : []),
            ...UPDATE_ERRORS
          )
        }
      },
      onRequest: byId,
      preValidation: async (request) => {
        removeUnchangedEmail(request.body, targetOf(request), settings)
      },
      preHandler: rereadSession(superuser)
    },
    async (request, reply) => users.update(targetOf(request), request.body, { request, reply, by: 'superuser' })
  )
}

function addDeleteUserRoute (scope: FastifyInstance, { users, settings, superuser, byId }: RouteContext): void {
  scope.delete(
    '/:id',
    {
      schema: {
        ...describeUsersRoute(settings, 'deleteUser', 'delete_user', 'Delete a user'),
        params: IdParams,
        response: {
          204: Type.Null({ description: 'The user is deleted.' }),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'NOT_FOUND',
            'LAST_SUPERUSER',
            'CROSS_SITE_REQUEST',
            ...(settings.sensitiveChanges === 'confirm' ? ['INSUFFICIENT_USER_AUTHENTICATION' as const] : []),
            ...UNREAD_BODY_ERRORS
          )
        }
      },
      onRequest: byId,
      preHandler: rereadSession(superuser)
    },
    async (request, reply) => {
      const isOwn = String(targetOf(request).id) === String(currentUser(request).id)
      if (isOwn) await users.requireStepUp(request)
      await users.delete(targetOf(request), { request, reply, by: 'superuser' })
      return reply.code(204).send()
    }
  )
}

function describeUsersRoute (settings: Settings, operation: string, upstream: string, summary: string): FastifySchema {
  return describeRoute(settings, { tags: ['users'], operation, upstream: `users:${upstream}`, summary })
}

function ownUpdateErrors ({ sensitiveChanges, revealExistingAccounts }: Settings): readonly ErrorWord[] {
  if (sensitiveChanges === 'confirm') return CONFIRMED
  return revealExistingAccounts ? ['UPDATE_USER_EMAIL_ALREADY_EXISTS'] : []
}

/**
 * Removes the e-mail from the body if it is unchanged and the rules for new e-mails refuse it. A form may send back
 * everything that it read, including an old e-mail.
 */
function removeUnchangedEmail (body: unknown, { email }: AnyUser, settings: Settings): void {
  if (typeof body !== 'object' || body === null || !('email' in body) || body.email !== email) return
  if (parseNewEmail(email, settings) === null) Reflect.deleteProperty(body, 'email')
}
