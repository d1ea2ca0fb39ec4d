import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { TrustedDeviceRead } from '../../schemas/index.js'
import { currentUser, type GuardHook } from '../authentication/index.js'
import type { RouteGroup } from '../contracts/route-group.js'
import type { TrustedDevice } from '../contracts/second-factors.js'
import type { Settings } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import type { UsersService } from '../users/index.js'
import { describeRoute } from './describe-route.js'
import { rereadSession } from './reread-session.js'
import { errorReplies, replyOf, UNREAD_BODY_ERRORS, type ErrorWord } from './replies.js'
import { createTargetLoader, targetDecorator, targetOf } from './user-by-id.js'
import { ownAccountGuard, superuserGuard } from './user-guards.js'

/** The routes of one kind of access: of users to their own devices, or of superusers to those of any user. */
interface Access {
  readonly path: string
  readonly guard: GuardHook
  readonly onRequest: GuardHook | [GuardHook, (request: FastifyRequest) => Promise<void>]
  readonly errors: readonly ErrorWord[]
  userOf(request: FastifyRequest): User
  describe(action: 'list' | 'end' | 'endAll'): FastifySchema
}

const OPERATIONS = { list: 'listTrustedDevices', end: 'endTrustedDevice', endAll: 'endTrustedDevices' } as const

/** Registers the routes that list and end trusted devices: for users their own, for superusers those of any user. */
export const trustedDeviceRoutes: RouteGroup<UsersService> = async (scope, { users, settings }) => {
  scope.decorateRequest(targetDecorator, null)
  for (const access of [ownAccess(settings), superuserAccess(users, settings)]) {
    addListDevicesRoute(scope, users, settings, access)
    addEndRoutes(scope, users, settings, access)
  }
}

function ownAccess (settings: Settings): Access {
  const guard = ownAccountGuard(settings)
  const summaries = { list: 'List your trusted devices', end: 'End a trusted device', endAll: 'End your trusted devices' }
  return {
    path: '/me/trusted-devices',
    guard,
    onRequest: guard,
    errors: ['UNAUTHENTICATED', 'FORBIDDEN'],
    userOf: currentUser,
    describe: (action) =>
      describeRoute(settings, { tags: ['users'], operation: OPERATIONS[action], summary: summaries[action] })
  }
}

function superuserAccess (users: UsersService, settings: Settings): Access {
  const guard = superuserGuard(settings)
  const summaries = {
    list: 'List the trusted devices of a user',
    end: 'End a trusted device of a user',
    endAll: 'End the trusted devices of a user'
  }
  return {
    path: '/:id/trusted-devices',
    guard,
    onRequest: [guard, createTargetLoader(users, settings)],
    errors: ['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND'],
    userOf: targetOf,
    describe: (action) =>
      describeRoute(settings, { tags: ['users'], operation: `${OPERATIONS[action]}OfUser`, summary: summaries[action] })
  }
}

function addListDevicesRoute (
  scope: FastifyInstance,
  users: UsersService,
  settings: Settings,
  { path, onRequest, errors, userOf, describe }: Access
): void {
  scope.get(path, {
    schema: {
      ...describe('list'),
      ...paramsOf(path),
      response: {
        200: replyOf(Type.Array(TrustedDeviceRead), 'The devices, the newest first.'),
        ...errorReplies(settings, ...errors)
      }
    },
    onRequest,
    exposeHeadRoute: false
  }, async (request) => (await users.trustedDevices(userOf(request), { request })).map(toTrustedDeviceRead))
}

function addEndRoutes (
  scope: FastifyInstance,
  users: UsersService,
  settings: Settings,
  { path, guard, onRequest, errors, userOf, describe }: Access
): void {
  const hooks = { onRequest, preHandler: rereadSession(guard) }
  const refused = ['CROSS_SITE_REQUEST', ...UNREAD_BODY_ERRORS] as const
  const end = async (request: FastifyRequest, reply: FastifyReply, id?: string): Promise<FastifyReply> => {
    const ended = await users.endTrustedDevices(userOf(request), id, { request, reply })
    if (ended === 0 && id !== undefined) throw FST_USERS_NOT_FOUND()
    return reply.code(204).send()
  }
  scope.delete(path, {
    schema: {
      ...describe('endAll'),
      ...paramsOf(path),
      response: {
        204: Type.Null({ description: 'No device skips the second factor now.' }),
        ...errorReplies(settings, ...errors, ...refused)
      }
    },
    ...hooks
  }, (request, reply) => end(request, reply))
  const one = `${path}/:device`
  scope.delete<{ Params: { device: string } }>(one, {
    schema: {
      ...describe('end'),
      ...paramsOf(one),
      response: {
        204: Type.Null({ description: 'The device no longer skips the second factor.' }),
        ...errorReplies(settings, ...new Set([...errors, 'NOT_FOUND' as const, ...refused]))
      }
    },
    ...hooks
  }, (request, reply) => end(request, reply, request.params.device))
}

/** Returns the schema of the parameters of a path, or nothing if it has none. */
function paramsOf (path: string): FastifySchema {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name)
  if (names.length === 0) return {}
  return { params: Type.Object(Object.fromEntries(names.map((name) => [name, Type.String({ maxLength: 256 })]))) }
}

function toTrustedDeviceRead (device: TrustedDevice): TrustedDeviceRead {
  const { id, createdAt, lastUsedAt, expiresAt, userAgent, isCurrent } = device
  return {
    id,
    created_at: createdAt.toISOString(),
    last_used_at: lastUsedAt.toISOString(),
    expires_at: expiresAt.toISOString(),
    user_agent: userAgent,
    is_current: isCurrent
  }
}
