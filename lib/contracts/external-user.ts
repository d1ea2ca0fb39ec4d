import type { NewRow, Row } from './database-adapter.js'
import type { UserRow } from './user.js'

/**
 * Values of a user who registers through a provider: without a password, with custom fields from the provider's
 * profile.
 */
export interface ExternalUser {
  email: string
  is_verified: boolean
  [field: string]: unknown
}

/** A stored user, followed by its dependent rows. */
export type StoredUserRows = [user: UserRow, ...dependents: Row[]]

/** The rows that are stored together with a new user. In these rows, `idOf(0)` stands for the id of that user. */
export interface UserDependents {
  readonly rows: readonly NewRow[]
  /** Rows for an existing table whose columns are too narrow for `rows`. */
  readonly shorter?: readonly NewRow[] | undefined
}
