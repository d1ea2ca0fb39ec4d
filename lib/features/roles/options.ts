import {
  checkKnownKeys,
  checkObject,
  FST_USERS_INVALID_OPTION,
  isName,
  isObject,
  isScope,
  readRoute,
  Type,
  type FeatureKit,
  type RouteGroupOptions,
  type RouteSettings,
  type TSchema
} from '../../feature/index.js'

/** One role in the option `roles`. */
export interface RoleDefinition {
  /** Scopes that users with this role have, such as `posts:write`. `*` stands for all scopes. */
  readonly scopes: readonly string[]
}

/** The roles of an application, by name. */
export type RoleDefinitions = Readonly<Record<string, RoleDefinition>>

/** Options of {@link roles}. */
export interface RolesOptions<R extends RoleDefinitions = RoleDefinitions> {
  /**
   * The roles by name. A name begins with a lower-case letter, and has up to 32 lower-case letters, digits, `-` and
   * `_`.
   */
  roles: R
  /**
   * Role of users to whom no role was given. It is not stored, so a new value applies to all of them. Default: null, no
   * role.
   */
  defaultRole?: (keyof R & string) | null
  /** The route that gives a role to a user. `false` switches it off. Default: `{ prefix: '/users' }`. */
  route?: false | RouteGroupOptions
}

/** The checked roles. */
export interface RoleTable {
  readonly names: readonly string[]
  /** Returns the role for a stored value: the default role if it is empty; null for a role that does not exist. */
  read(stored: unknown): string | null
  /** Returns the scopes of a role; empty for null and for an unknown role. */
  scopesOf(role: string | null | undefined): readonly string[]
}

/** Checks the roles. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`. */
export function readRoles<R extends RoleDefinitions> ({ roles, defaultRole = null }: RolesOptions<R>): RoleTable {
  checkObject('roles.roles', roles)
  const scopes = new Map(Object.entries(roles).map(([name, role]) => [name, readScopes(name, role)] as const))
  if (scopes.size === 0) throw FST_USERS_INVALID_OPTION(['roles.roles', 'must contain at least one role'])
  if (defaultRole !== null && !scopes.has(defaultRole)) {
    throw FST_USERS_INVALID_OPTION(['roles.defaultRole', 'must be the name of a role'])
  }
  return {
    names: [...scopes.keys()],
    read (stored) {
      if (stored === null || stored === undefined) return defaultRole
      return typeof stored === 'string' && scopes.has(stored) ? stored : null
    },
    scopesOf: (role) => (typeof role === 'string' ? (scopes.get(role) ?? []) : [])
  }
}

function readScopes (name: string, role: RoleDefinition): readonly string[] {
  const option = `roles.roles.${name}`
  if (!isName(name)) {
    throw FST_USERS_INVALID_OPTION([option, 'must begin with a lower-case letter, and have up to 32 lower-case letters, digits, - and _'])
  }
  if (!isObject(role)) throw FST_USERS_INVALID_OPTION([option, 'must be an object with scopes'])
  checkKnownKeys(`${option}.`, role, ['scopes'])
  const { scopes } = role
  if (!Array.isArray(scopes) || !scopes.every(isScope)) {
    throw FST_USERS_INVALID_OPTION([`${option}.scopes`, 'must be a list of scopes: printable ASCII without space, " and \\'])
  }
  return Object.freeze([...scopes])
}

/** Returns the schema of a role or null. One list of names makes a useful type in generated clients. */
export function roleSchema ({ names }: RoleTable): TSchema {
  return Type.Union([Type.Unsafe({ type: 'string', enum: names }), Type.Null()], {
    description: 'The role of the user; null if there is none.'
  })
}

/** Returns the settings of the route. Throws `FST_USERS_INVALID_OPTION`. */
export function readRoleRoute ({ route }: Pick<RolesOptions, 'route'>, { settings }: FeatureKit): RouteSettings {
  const { prefix, requireVerification } = settings.routes.users
  return readRoute('roles.route', route, prefix, requireVerification)
}
