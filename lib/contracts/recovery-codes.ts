import type { EventContext } from './events.js'
import type { User, UserRow } from './user.js'

declare module './events.js' {
  interface UsersEvents {
    /** After a user got recovery codes. `isReplacement` is true if they replaced others, which no longer work. */
    onAfterCreateRecoveryCodes: { user: User; isReplacement: boolean }
    /**
     * After a recovery code was used, which also happens before a login is complete. `remaining` is the number of codes
     * that are left.
     */
    onAfterUseRecoveryCode: { user: User; remaining: number }
  }
}

/** New recovery codes that work once they are stored. */
export interface PreparedRecoveryCodes {
  /** The codes, for the user. They cannot be read again. */
  readonly codes: readonly string[]
  /** Their digests, for `store`. */
  readonly digests: readonly string[]
}

/** The recovery codes of a registration, for features with a second factor. */
export interface RecoveryCodeSource {
  /**
   * Returns new codes, without storing them. Null if the user has codes, and further factors besides the one that is
   * being added: codes that are older than the first factor are replaced.
   */
  prepare(user: User | UserRow): Promise<PreparedRecoveryCodes | null>
  /**
   * Stores prepared codes after the factor was added. Returns false, and stores nothing, if the user has codes and
   * further factors. If it throws, the codes are not stored.
   */
  store(user: User | UserRow, digests: readonly string[], context: EventContext): Promise<boolean>
  /** Deletes the codes. Returns the number of deleted rows. */
  remove(user: User | UserRow): Promise<number>
  /** Uses a code up. Returns false for a wrong code. Of parallel calls with one code, one returns true. */
  use(user: User | UserRow, code: string, context: EventContext): Promise<boolean>
}
