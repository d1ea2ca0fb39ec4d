import type { MaybePromise } from './database-adapter.js'
import type { User } from './user.js'

/**
 * Returns what a feature stores about a user, as JSON values: no hashes, digests, secrets and tokens. An empty object
 * stands for nothing.
 */
export type ExportSource = (user: User) => MaybePromise<Record<string, unknown>>

/** A session in an account export. Times have the form of RFC 3339. */
export interface ExportedSession {
  readonly created_at: string | null
  readonly authenticated_at: string | null
  readonly methods: readonly string[]
}

/** The data of an account that its owner may read. It contains no hashes, digests, secrets and tokens. */
export interface AccountExport {
  /** Time of the export in the form of RFC 3339. */
  readonly exported_at: string
  readonly user: User
  /** Sessions that are stored. JWTs without refresh tokens are not. */
  readonly sessions: readonly ExportedSession[]
  /** Data of features, by the name of the feature. */
  readonly features: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}
