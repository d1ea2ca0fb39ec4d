import type { AuthenticateOptions } from './authentication.js'

/**
 * Why a watched connection must end. `ended`: the session was revoked or has expired, or the guard refuses it now.
 * `unavailable`: two checks in a row failed, for example because the database cannot be reached. `closing`: the
 * application closes.
 */
export type SessionEnd = 'ended' | 'unavailable' | 'closing'

/** Options of `watchSession`. */
export interface WatchSessionOptions {
  /** Seconds between two checks of the session, from 1 to 3600. Default: 30. */
  recheckSeconds?: number
  /**
   * Options of the guard of the route, such as `{ superuser: true }`. The connection ends when the guard would refuse
   * the request. Default: the user must be active. `optional` and `cached` are ignored.
   */
  guard?: AuthenticateOptions
}
