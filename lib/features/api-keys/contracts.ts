import type { CallContext, User } from '../../feature/index.js'

/** An API key without its secret. */
export interface ApiKey {
  id: string
  name: string
  /** The last four characters of the key. */
  last_four: string
  scopes: string[]
  /** IP addresses and CIDR ranges that may use the key. Empty for all. */
  ip_ranges: string[]
  /** Times in the form of RFC 3339. */
  created_at: string
  expires_at: string | null
  /** Time of the last use, accurate to a minute. */
  last_used_at: string | null
}

/** A new key with its text, which cannot be read again. */
export interface CreatedApiKey extends ApiKey {
  key: string
}

/** A new key of a service account, which belongs to no person. */
export interface CreatedServiceKey extends CreatedApiKey {
  /** Id of the account. Deleting this user deletes the key. */
  user_id: string | number
}

/** A key of a service account. */
export interface ServiceKey extends ApiKey {
  user_id: string | number
}

/** Properties of a new key. */
export interface NewApiKey {
  name: string
  scopes: readonly string[]
  /** Time after which the key is refused. Default: the option `maxLifetimeSeconds`, or no end. */
  expires_at?: Date | null
  ip_ranges?: readonly string[]
}

/**
 * The result of `app.users.feature('api-keys')`. Audit events contain the request of the context, and its user as the
 * actor.
 */
export interface ApiKeysApi {
  /** Creates a key. Throws `FST_USERS_API_KEY_INVALID`, `FST_USERS_API_KEY_LIMIT_REACHED`. */
  create(user: User, values: NewApiKey, context?: CallContext): Promise<CreatedApiKey>
  /** Returns the keys of a user. */
  list(user: User): Promise<ApiKey[]>
  /** Changes the name of a key. Throws `FST_USERS_API_KEY_NOT_FOUND`, `FST_USERS_API_KEY_INVALID`. */
  rename(user: User, id: string, name: string): Promise<ApiKey>
  /** Revokes a key. Throws `FST_USERS_API_KEY_NOT_FOUND`. */
  revoke(user: User, id: string, context?: CallContext): Promise<void>
  /** Revokes all keys of a user and returns their number. */
  revokeAll(user: User): Promise<number>
  /**
   * Creates a service account with one key. `fields` are required custom fields of users. Throws
   * `FST_USERS_API_KEY_INVALID`, `FST_USERS_INVALID_USER`.
   */
  createService(
    values: NewApiKey,
    fields?: Readonly<Record<string, unknown>>,
    context?: CallContext
  ): Promise<CreatedServiceKey>
  /** Returns the keys of service accounts. */
  listServices(): Promise<ServiceKey[]>
  /** Deletes a service account with its key. Throws `FST_USERS_API_KEY_NOT_FOUND`. */
  removeService(keyId: string, context?: CallContext): Promise<void>
  /** Regular expression that finds keys in text, for secret scanners. */
  readonly pattern: string
}
