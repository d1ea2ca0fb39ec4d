import type { FastifyPluginAsync } from 'fastify'
import {
  authenticate,
  BODY_ERRORS,
  currentUser,
  describeRoute,
  errorReplies,
  FST_USERS_NOT_FOUND,
  replyOf,
  rereadSession,
  Type,
  type FeatureKit,
  type RouteSettings,
  type UserId
} from '../../feature/index.js'
import type { RoleName, RolesApi } from './contracts.js'
import { FST_USERS_OWN_ROLE } from './errors.js'
import { roleSchema, type RoleTable } from './options.js'

export interface RoleRouteOptions {
  kit: FeatureKit
  table: RoleTable
  route: RouteSettings
  set: RolesApi['set']
}

/** Registers the route with which superusers give a role to another user. */
export const roleRoute: FastifyPluginAsync<RoleRouteOptions> = async (scope, { kit, table, route, set }) => {
  const { settings, rows } = kit
  const superuser = authenticate({ superuser: true, verified: route.requireVerification })

  scope.put<{ Params: { id: string }; Body: { role: RoleName | null } }>(
    `${route.prefix}/:id/role`,
    {
      schema: {
        ...describeRoute(settings, { tags: ['users'], operation: 'setRole', summary: 'Give a role to a user' }),
        params: Type.Object({ id: Type.String() }),
        body: Type.Object({ role: roleSchema(table) }),
        response: {
          200: replyOf(settings.schemas.UserRead, 'The user with the new role.'),
          ...errorReplies(
            settings,
            'UNAUTHENTICATED',
            'FORBIDDEN',
            'OWN_ROLE',
            'CROSS_SITE_REQUEST',
            'NOT_FOUND',
            ...BODY_ERRORS
          )
        }
      },
      onRequest: superuser,
      preHandler: rereadSession(superuser)
    },
    async (request, reply) => {
      const id = settings.schemas.id.parse(request.params.id) as UserId | null
      const row = id === null ? null : await rows.getRow(id)
      if (row === null) throw FST_USERS_NOT_FOUND()
      if (row.id === currentUser(request).id) throw FST_USERS_OWN_ROLE()
      return await set(row.id as UserId, request.body.role, { request, reply })
    }
  )
}
