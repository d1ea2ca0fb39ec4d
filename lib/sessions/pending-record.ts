import type { JsonValue } from '../contracts/single-use.js'
import type { UserId } from '../contracts/user.js'

/** The state of a user that a login depends on. */
export interface LoginState {
  /** Security stamp. */
  readonly stamp: string
  readonly email: string
  readonly isVerified: boolean
}

/** A login that waits for an answer, as it is stored. */
export interface PendingRecord {
  readonly user: UserId
  /** A change of this state ends the login. */
  readonly state: LoginState
  readonly backend: string
  readonly method: string
  readonly methods: readonly string[]
  /** The user asked for a longer session. Absent for false. */
  readonly remembered?: true
  /** The user asked to trust the device. Absent for false. */
  readonly trusts?: true
  /** Groups of which the user has answered a step. */
  readonly done: readonly string[]
  /** The offered steps, with the values that they keep. */
  readonly steps: readonly { readonly name: string; readonly keep: JsonValue }[]
  /**
   * The id of the session that a reauthentication renews, and the time of its authentication if that continues, in
   * milliseconds. Absent for a login.
   */
  readonly renews?: { readonly session: string; readonly since: number | null }
}
