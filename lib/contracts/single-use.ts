import type { UserId } from './user.js'

/** A value that JSON can represent. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined }

/** Options of `singleUse`. */
export interface SingleUseOptions {
  /** Seconds for which a value can be used. */
  lifetimeSeconds: number
  /** Number of calls of `attempt` that one value allows. Default: unlimited. */
  maxAttempts?: number
}

/** Values to which a new single-use value is bound. */
export interface SingleUseBinding {
  /** The user whom the value belongs to, for `deleteOf`. */
  userId?: UserId | null
  /** SHA-256 of the cookie of the browser that must present the token; null for any client. */
  browser?: string | null
  /** Seconds for which this value can be used. Default: that of the options. */
  lifetimeSeconds?: number
}

/** The proof that a client presents with the token: the SHA-256 of its cookie, or null if it has none. */
export interface SingleUseProof {
  browser?: string | null
}

/**
 * Values that the server keeps for one later request, such as a challenge, a state or a ticket. They are stored under
 * the digest of a random token, so any process can use a value that another process stored.
 */
export interface SingleUse<T> {
  /** Stores a value, which must be JSON, and returns its token. */
  create(value: T, binding?: SingleUseBinding): Promise<string>
  /**
   * Deletes the value and returns it. Of parallel calls only one gets it. Returns null if the token is unknown, used,
   * expired, or presented by another browser, which uses the value up too.
   */
  consume(token: string, proof?: SingleUseProof): Promise<T | null>
  /**
   * Deletes the value, runs `work` with it, and returns the result. If the work throws, the value is stored again, so
   * that the token can be used later, and the error is thrown. Returns null in the cases in which `consume` does.
   */
  use<R>(token: string, work: (value: T) => Promise<R>, proof?: SingleUseProof): Promise<R | null>
  /**
   * Returns the value and keeps it. Check with it what may refuse the request before you call `use`: while `use` runs,
   * `deleteOf` does not find the value, and a refusal stores it again. Returns null in the cases in which `consume`
   * does.
   */
  peek(token: string, proof?: SingleUseProof): Promise<T | null>
  /**
   * Counts an attempt and returns the value without deleting it. Call it before the check that may fail. Returns null
   * if the token is unknown, used, expired, presented by another browser, or has no attempts left.
   */
  attempt(token: string, proof?: SingleUseProof): Promise<T | null>
  /** Returns true if the browser has a value that can still be used. */
  hasOpen(browser: string): Promise<boolean>
  /** Returns the values of a user that can still be used, at most 1000. */
  valuesOf(userId: UserId): Promise<T[]>
  /**
   * Deletes the values of a user or of a browser, and returns their number. With `isSelected`, deletes only those for
   * which it returns true.
   */
  deleteOf(owner: { userId: UserId } | { browser: string }, isSelected?: (value: T) => boolean): Promise<number>
}
