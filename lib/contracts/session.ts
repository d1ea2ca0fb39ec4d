/** A session of a user, with the values that the token of a request reveals. */
export interface Session {
  /** Identifies the session. It differs from the token, which cannot be computed from it. */
  readonly id: string
  /** Time of creation. Null if the token does not contain it. */
  readonly createdAt: Date | null
  /** Time at which the user last proved who they are. Null if that is unknown, or if no login created the session. */
  readonly authenticatedAt: Date | null
  /** Methods of the login, such as `password`. Empty if they are unknown. */
  readonly methods: readonly string[]
  /** Further values that the creator of the session stored with it. They must be JSON values. */
  readonly details: Readonly<Record<string, unknown>>
}

/** The values of a new session that its creator chooses. */
export type SessionValues = Pick<Session, 'authenticatedAt' | 'methods' | 'details'>
