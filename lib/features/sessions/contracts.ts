import type { CallContext, User } from '../../feature/index.js'

/** The device of a session, as its `User-Agent` names it. */
export interface SessionDevice {
  /** Name of the browser, such as `Firefox`. Null for an unknown program. */
  browser: string | null
  /** Name of the operating system, such as `Android`. */
  system: string | null
  /** Kind of device, such as `desktop`, `mobile` or `tablet`. */
  kind: string | null
}

/** A session of a user. It contains neither its token nor a digest of it. */
export interface UserSession {
  /** Public id of the session. */
  id: string
  /** True for the session of the request. */
  is_current: boolean
  /** False if only all sessions of the user can be ended together, as with tokens that are not stored. */
  can_end: boolean
  /** Name of the backend. Null for a session that has not been used since the feature was added. */
  backend: string | null
  /** Methods of the login, such as `password`. */
  methods: string[]
  /** True if the user asked for a longer session. */
  is_remembered: boolean
  device: SessionDevice
  /** IP address of the last recorded use. */
  ip_address: string | null
  /** Time of the login in the form of RFC 3339. Null if it is unknown. */
  created_at: string | null
  /** Time of the last use, accurate to a minute. Null if none was recorded. */
  last_seen_at: string | null
}

/** A page of sessions. */
export interface SessionPage {
  /** Sessions, the newest first. */
  sessions: UserSession[]
  /** Value of `after` for the next page; null on the last page. */
  next: string | null
}

/** The query of `list`. */
export interface SessionQuery {
  /** Largest number of sessions, from 1 to 100. Default: 100. */
  limit?: number
  /** `next` of the previous page. */
  after?: string
  /** Id of the session that is marked as the current one. */
  current?: string
}

/** The result of `app.users.feature('sessions')`. */
export interface SessionsApi {
  /** Returns a page of the newest 1000 open sessions of a user. */
  list(user: User, query?: SessionQuery): Promise<SessionPage>
  /** Ends one session of a user. Throws `FST_USERS_SESSION_NOT_FOUND` and `FST_USERS_SESSION_NOT_ENDABLE`. */
  end(user: User, id: string): Promise<void>
  /**
   * Ends all sessions of a user but one. If a backend does not store its sessions, that one ends too; if it is the
   * cookie session of `context.request`, the reply renews it. Throws like `app.users.endSessions`.
   */
  endOthers(user: User, id: string, context?: CallContext): Promise<void>
  /** Ends all sessions of a user. Throws like `app.users.endSessions`. */
  endAll(user: User): Promise<void>
  /**
   * Ends all sessions of all users and returns the number of users. First, one statement gives all users another
   * security stamp; then the stored sessions are deleted user by user. A login during the call may be ended too.
   */
  endAllUsers(): Promise<number>
}
