import type { CallContext, User, UserId } from '../../feature/index.js'

/**
 * The names of the application's roles. Declare them once:
 * `declare module 'fastify-users/roles' { interface RolesRegister { roles: typeof appRoles } }`, where `appRoles` is
 * the value of the option `roles`. `request.user.role`, the guard flag `roles` and the API then have only these names.
 */
export interface RolesRegister {}

/** Name of a role: `string` unless the application has declared its roles in {@link RolesRegister}. */
export type RoleName = RolesRegister extends { roles: infer R } ? keyof R & string : string

/** The result of `app.users.feature('roles')`. */
export interface RolesApi {
  /**
   * Gives a role to a user, or removes it with null. The change applies from the user's next request on. Fires
   * `onAfterSetRole` and returns the changed user. Throws `FST_USERS_UNKNOWN_ROLE` and `FST_USERS_NOT_FOUND`.
   */
  set(user: User | UserId, role: RoleName | null, context?: CallContext): Promise<User>
  /** Returns the scopes of the user's role; empty for a user without a role. `*` stands for all scopes. */
  scopesOf(user: User): readonly string[]
}

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    roles: RolesApi
  }
}

declare module '../../contracts/user.js' {
  interface UserAdditions {
    /** The role of the user; null for none. */
    role?: RoleName | null
  }
}

declare module '../../contracts/authentication.js' {
  interface GuardFlags {
    /** The user must have one of these roles; otherwise the reply is 403. */
    roles?: readonly RoleName[]
    /** The request must have all these scopes, such as `['posts:write']`; otherwise the reply is 403. */
    scopes?: readonly string[]
  }
}

declare module '../../contracts/events.js' {
  interface UsersEvents {
    /** After the role of a user was set. `previous` is the role before. */
    onAfterSetRole: { user: User; previous: RoleName | null }
  }
}
