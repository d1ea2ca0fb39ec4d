import type { User } from '../../feature/index.js'

/** The recovery codes of a user, without the codes. */
export interface RecoveryCodesState {
  /** Number of codes that can still be used. */
  remaining: number
  /** Time at which the codes were created, in the form of RFC 3339; null without codes. */
  created_at: string | null
}

/** The result of `app.users.feature('recovery-codes')`. */
export interface RecoveryCodesApi {
  /** Returns the number of codes that a user has left. */
  state(user: User): Promise<RecoveryCodesState>
  /**
   * Creates ten codes, in place of those that the user has. Only the result contains them. Throws
   * `FST_USERS_RECOVERY_CODES_NOT_NEEDED` for a user without a second factor.
   */
  create(user: User): Promise<readonly string[]>
  /** Deletes the codes of a user. Returns false if there were none. */
  remove(user: User): Promise<boolean>
}
