import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SecondFactorRead } from '../../schemas/index.js'
import { currentUser } from '../authentication/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { UserSecondFactor } from '../contracts/second-factors.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_NOT_FOUND, FST_USERS_OWN_SECOND_FACTORS } from '../errors.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { rereadSession } from './reread-session.js'
import { errorReplies, replyOf, UNREAD_BODY_ERRORS } from './replies.js'
import { createTargetLoader, targetDecorator, targetOf } from './user-by-id.js'
import { superuserGuard } from './user-guards.js'

interface SecondFactorRoutesOptions {
  /** Names of the factors of all features. */
  names: ReadonlySet<string>
}
type Options = Parameters<RouteGroup<UsersService, SecondFactorRoutesOptions>>[1]

const PATH = '/:id/second-factors'
const Id = Type.String({ maxLength: 256 })

/** Registers the routes with which superusers see and remove the second factors of a user. */
export const secondFactorRoutes: RouteGroup<UsersService, SecondFactorRoutesOptions> = async (scope, options) => {
  scope.decorateRequest(targetDecorator, null)
  addListFactorsRoute(scope, options)
  addRemoveRoutes(scope, options)
}

function addListFactorsRoute (scope: FastifyInstance, { users, settings }: Options): void {
  const superuser = superuserGuard(settings)
  scope.get(PATH, {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'listSecondFactorsOfUser',
        summary: 'List the second factors of a user'
      }),
      params: Type.Object({ id: Id }),
      response: {
        200: replyOf(Type.Array(SecondFactorRead), 'The factors, without secrets.'),
        ...errorReplies(settings, 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND')
      }
    },
    onRequest: [superuser, createTargetLoader(users, settings)],
    exposeHeadRoute: false
  }, async (request) => (await users.secondFactors(targetOf(request).id)).map(toSecondFactorRead))
}

function addRemoveRoutes (scope: FastifyInstance, { users, settings, names }: Options): void {
  const superuser = superuserGuard(settings)
  const hooks = { onRequest: [superuser, createTargetLoader(users, settings)], preHandler: rereadSession(superuser) }
  const response = {
    204: Type.Null({ description: 'The factors are removed, and the sessions of the user have ended.' }),
    ...errorReplies(
      settings,
      'UNAUTHENTICATED',
      'FORBIDDEN',
      'NOT_FOUND',
      'OWN_SECOND_FACTORS',
      ...(settings.sensitiveChanges === 'confirm' ? ['INSUFFICIENT_USER_AUTHENTICATION' as const] : []),
      'CROSS_SITE_REQUEST',
      ...UNREAD_BODY_ERRORS
    )
  }
  const remove = async (request: FastifyRequest, reply: FastifyReply, name?: string): Promise<FastifyReply> => {
    const user = targetOf(request)
    if (String(user.id) === String(currentUser(request).id)) throw FST_USERS_OWN_SECOND_FACTORS()
    if (name !== undefined && !names.has(name)) throw FST_USERS_NOT_FOUND()
    await users.requireStepUp(request)
    await users.removeSecondFactors(user.id, { request, reply, ...(name === undefined ? {} : { name }) })
    return reply.code(204).send()
  }
  scope.delete(PATH, {
    schema: {
      ...describeFactorRoute(settings, 'removeSecondFactorsOfUser', 'Remove the second factors of a user'),
      params: Type.Object({ id: Id }),
      response
    },
    ...hooks
  }, (request, reply) => remove(request, reply))
  scope.delete<{ Params: { name: string } }>(`${PATH}/:name`, {
    schema: {
      ...describeFactorRoute(settings, 'removeSecondFactorOfUser', 'Remove one kind of second factor of a user'),
      params: Type.Object({ id: Id, name: Id }),
      response
    },
    ...hooks
  }, (request, reply) => remove(request, reply, request.params.name))
}

function describeFactorRoute (settings: Settings, operation: string, summary: string): object {
  return describeRoute(settings, { tags: ['users'], operation, summary })
}

function toSecondFactorRead ({ name, label, createdAt, lastUsedAt }: UserSecondFactor): SecondFactorRead {
  return {
    name,
    label,
    created_at: createdAt?.toISOString() ?? null,
    last_used_at: lastUsedAt?.toISOString() ?? null
  }
}
