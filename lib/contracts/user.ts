import type { IdValue } from '../../schemas/index.js'

/** The fields that every user has. */
export interface BaseUser {
  id: IdValue
  email: string
  is_active: boolean
  is_superuser: boolean
  is_verified: boolean
}

/**
 * Tells the package the type of the application's users. Declare it once:
 * `declare module 'fastify-users' { interface UsersRegister { user: UserOf<typeof schemas> } }`.
 * It is then the type of `request.user` and of the users in hooks and `app.users`. A type without the fields of
 * {@link BaseUser} does not compile.
 */
export interface UsersRegister {}

/** Replaces `User` if `UsersRegister.user` lacks a base field, so that the application does not compile. */
export interface UsersRegisterMismatch {
  readonly 'UsersRegister.user must have every field of BaseUser': never
}

/**
 * The properties that features add to users, such as the role. They are optional: users of an application without the
 * feature do not have them. Features add members by interface merging.
 */
export interface UserAdditions {}

/** A user, without the password hash. */
export type User = keyof UserAdditions extends never ? RegisteredUser : RegisteredUser & UserAdditions

type RegisteredUser = keyof UsersRegister extends never
  ? BaseUser
  : UsersRegister extends { user: infer U extends BaseUser }
    ? U
    : UsersRegisterMismatch

/** A stored user, with the password hash. Never send it to a client. */
export type UserRow = User & {
  hashed_password: string
  /**
   * Security stamp: random text that all sessions of the user contain. Absent if an existing table lacks the column.
   */
  session_stamp?: string | null
}

/** The type of a user's id. */
export type UserId = User extends { id: infer I } ? I : never

type Own = Exclude<keyof User, keyof BaseUser | keyof UserAdditions>

/** Argument of `app.users.create`. */
export type NewUser = {
  email: string
  password: string
  is_active?: boolean | null
  is_superuser?: boolean | null
  is_verified?: boolean | null
} & { [K in Own]?: User[K] }

/** Changes for `app.users.update`. `password: null` does not change the password. */
export type UserChanges = {
  email?: string
  password?: string | null
  current_password?: string
  is_active?: boolean | null
  is_superuser?: boolean | null
  is_verified?: boolean | null
} & { [K in Own]?: User[K] }
