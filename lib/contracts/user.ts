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
 * `request.user`, hooks, `app.users` and rows follow. A type without the fields of {@link BaseUser} does not compile.
 */
export interface UsersRegister {}

/** What `User` becomes when `UsersRegister.user` lacks a base field: nothing accepts it. */
export interface UsersRegisterMismatch {
  readonly 'UsersRegister.user must have every field of BaseUser': never
}

/** A user as the application sees it: never with the password hash. */
export type User = keyof UsersRegister extends never
  ? BaseUser
  : UsersRegister extends { user: infer U extends BaseUser }
    ? U
    : UsersRegisterMismatch

/** A user as it is stored, with the password hash. It never leaves the server. */
export type UserRow = User & {
  hashed_password: string
  /** Random text that every session of the user carries; absent on an adopted table without the column. */
  session_stamp?: string | null
}

/** The type of a user's id. */
export type UserId = User extends { id: infer I } ? I : never

type Own = Exclude<keyof User, keyof BaseUser>

/** What code may write when it creates a user. */
export type NewUser = {
  email: string
  password: string
  is_active?: boolean | null
  is_superuser?: boolean | null
  is_verified?: boolean | null
} & { [K in Own]?: User[K] }

/** What code may change of a user. `password: null` leaves it. */
export type UserChanges = {
  email?: string
  password?: string | null
  current_password?: string
  is_active?: boolean | null
  is_superuser?: boolean | null
  is_verified?: boolean | null
} & { [K in Own]?: User[K] }
