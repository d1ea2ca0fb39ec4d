import type { User } from './user.js'

/** The login methods that a feature stores for users, such as provider accounts. */
export interface LoginMethods {
  /** Returns the number of login methods that the feature stores for the user. */
  count(user: User): Promise<number>
  /**
   * Deletes the login methods that did not prove the mailbox `user.email` themselves, after the user proved it. Returns
   * their number.
   */
  removeUnproved?(user: User): Promise<number>
  /** Deletes all login methods of the user, before the user is deleted. Returns their number. */
  removeAll?(user: User): Promise<number>
}
