/**
 * Roles of users, each with scopes.
 *
 * @module fastify-users/roles
 */

import {
  checkKnownKeys,
  checkObject,
  contextOf,
  defineFeature,
  FST_USERS_NOT_FOUND,
  scopesFlag,
  type CallContext,
  type Feature,
  type FeatureKit,
  type FeatureParts,
  type GuardFlag,
  type ModelExtension,
  type User,
  type UserId
} from '../../feature/index.js'
import type { RoleName, RolesApi } from './contracts.js'
import { FST_USERS_UNKNOWN_ROLE, rolesErrors } from './errors.js'
import {
  readRoleRoute,
  readRoles,
  roleSchema,
  type RoleDefinitions,
  type RolesOptions,
  type RoleTable
} from './options.js'
import { roleRoute } from './route.js'

export type * from './contracts.js'
export { rolesErrors } from './errors.js'
export type { RoleDefinition, RoleDefinitions, RolesOptions } from './options.js'

/** Width of the column, which is also the maximum length of a role's name. */
const ROLE_LENGTH = 32
const roleColumn: ModelExtension = {
  extends: 'user',
  fields: { role: { type: 'text', maxLength: ROLE_LENGTH, nullable: true } }
}

/**
 * Creates the feature that stores a role with each user. Only superusers give roles to users, and never to themselves.
 * `request.user.role` is the role, and the guard has the flags `roles` and `scopes`. An invalid option stops the start
 * with a coded error.
 *
 * @example
 * await app.register(users, {
 *   adapter, secret, backends,
 *   features: [roles({ roles: { admin: { scopes: ['*'] }, editor: { scopes: ['posts:write'] } } })]
 * })
 * app.post('/posts', { preHandler: authenticate({ scopes: ['posts:write'] }) }, handler)
 */
export function roles<const R extends RoleDefinitions> (
  options: RolesOptions<R>
): Feature<RolesApi> {
  checkObject('roles', options)
  checkKnownKeys('roles.', options, ['roles', 'defaultRole', 'route'])
  const table = readRoles(options)
  return defineFeature<RolesApi>({
    name: 'roles',
    models: () => [roleColumn],
    userFields: () => ({ role: { schema: roleSchema(table), read: table.read } }),
    errors: rolesErrors.definitions,
    events: ['onAfterSetRole'],
    guardFlags: { roles: rolesFlag(table), scopes: scopesFlag },
    setup: (kit) => startRoles(kit, table, options)
  })
}
export default roles

function startRoles (
  kit: FeatureKit,
  table: RoleTable,
  options: Pick<RolesOptions, 'route'>
): FeatureParts<RolesApi> {
  const route = readRoleRoute(options, kit)
  const set = async (user: User | UserId, role: RoleName | null, context: CallContext = {}): Promise<User> =>
    await setRole(kit, table, user, role, context)
  const scopesOf = ({ role }: User): readonly string[] => table.scopesOf(role)
  return {
    scopes: ({ user }) => scopesOf(user),
    exportData: (user) => ({ role: user.role ?? null, scopes: scopesOf(user) }),
    api: { set, scopesOf },
    ...(route.enabled ? { routes: async (scope) => await scope.register(roleRoute, { kit, table, route, set }) } : {})
  }
}

/** Stores the role of a user. Throws `FST_USERS_UNKNOWN_ROLE` and `FST_USERS_NOT_FOUND`. */
async function setRole (
  { rows, store, model, fire, audit }: FeatureKit,
  { names }: RoleTable,
  user: User | UserId,
  role: string | null,
  context: CallContext
): Promise<User> {
  if (role !== null && !names.includes(role)) throw FST_USERS_UNKNOWN_ROLE([String(role), names.join(', ')])
  const id = typeof user === 'object' ? user.id : user
  const before = await rows.getRow(id as UserId)
  if (before === null || (await store.update(model('user'), { id }, { role })) !== 1) throw FST_USERS_NOT_FOUND()
  const after = await rows.getRow(id as UserId)
  if (after === null) throw FST_USERS_NOT_FOUND()
  const changed = rows.toUser(after)
  audit.emit({ event: 'user.update', user: changed, details: { fields: 'role', role } }, contextOf(context))
  await fire('onAfterSetRole', { user: changed, previous: rows.toUser(before).role ?? null }, contextOf(context))
  return changed
}

/** The guard flag `roles`: the user must have one of these roles. */
function rolesFlag ({ names }: RoleTable): GuardFlag<readonly string[]> {
  return {
    check: (value) =>
      Array.isArray(value) && value.length > 0 && value.every((name) => names.includes(name as string))
        ? null
        : `must be a list of roles. Roles are ${names.join(', ')}`,
    accepts: ({ user: { role } }, value) => typeof role === 'string' && value.includes(role)
  }
}
