import type { User } from './user.js'

/** A user and the account that the user deleted. */
export interface DeletedAccount {
  user: User
}

/** An account that will be deleted. */
export interface RequestedDeletion {
  user: User
  /** The token that undoes the request. */
  token: string
  /** Earliest time of the deletion. */
  deletesAt: Date
}

declare module './events.js' {
  interface UsersEvents {
    /** After an account was deleted because its user asked for it. `account()` fires it. */
    onAfterDeleteAccount: DeletedAccount
    /** After a user asked for a deletion that takes place later: send the token. `account()` fires it. */
    onAfterRequestDeletion: RequestedDeletion
    /** After a requested deletion was undone. `account()` fires it. */
    onAfterUndoDeletion: DeletedAccount
  }
}
