import type { CallContext, User, UserId } from '../../feature/index.js'

/** The functions of `app.users.feature('account')`. */
export interface AccountApi {
  /**
   * Deletes the account of a user, or deactivates it until the delay is over. Returns the time of the deletion, or null
   * if the account is deleted. Throws `FST_USERS_NOT_FOUND` and `FST_USERS_LAST_SUPERUSER`. With a delay, an inactive
   * user who has not asked for a deletion counts as not found, because an undo would activate the user: call
   * `app.users.delete`.
   */
  delete(user: User | UserId, context?: CallContext): Promise<Date | null>
  /** Undoes a requested deletion with the mailed token. Throws `FST_USERS_UNDO_DELETION_BAD_TOKEN`. */
  undoDeletion(token: string, context?: CallContext): Promise<User>
  /** Undoes the requested deletion of a user. Returns false if there is none, or if the deletion has begun. */
  cancelDeletion(user: User | UserId): Promise<boolean>
  /**
   * Deletes the accounts whose delay is over, and returns their number. Every process calls it every ten minutes; a
   * script may call it too.
   */
  deleteDue(): Promise<number>
}
