/** The hashing of new passwords. Costs are those of argon2id (RFC 9106): memory in KiB, passes, and lanes. */
export interface PasswordHashDescription {
  readonly algorithm: string
  readonly memoryCost?: number
  readonly timeCost?: number
  readonly parallelism?: number
}

/** Creates and checks password hashes. The option `passwords` replaces it. */
export interface PasswordHelper {
  /** For `app.users.securityProfile()`. */
  readonly description?: PasswordHashDescription
  /**
   * Checks a password. `newHash` is set if the password is right and the stored hash should be replaced. For an
   * unreadable hash, `ok` is false; it is not an error.
   */
  verifyAndUpdate(password: string, hash: string): Promise<{ ok: boolean; newHash: string | null }>
  /** Returns a new hash. With `background`, no reply waits for the hash, so it must not delay other calls. */
  hash(password: string, options?: { background?: boolean }): Promise<string>
  /**
   * Does the work of `verifyAndUpdate` for an e-mail without a user, so that the time of a login does not tell whether
   * an account exists. Default: `hash` is called instead.
   */
  verifyUnknown?(password: string): Promise<void>
  /** Returns a random password, for accounts without a password login. */
  generate(): string
}
