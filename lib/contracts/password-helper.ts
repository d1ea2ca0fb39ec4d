/** Makes and checks password hashes. Replace it whole with the `passwords` option. */
export interface PasswordHelper {
  /**
   * Checks a password. `newHash` is set when the password was right and the stored hash should be replaced. A hash that
   * cannot be read is a wrong password, never an error.
   */
  verifyAndUpdate(password: string, hash: string): Promise<{ ok: boolean; newHash: string | null }>
  /** Returns a new hash. With `background` no reply waits for it: it must not delay other calls. */
  hash(password: string, options?: { background?: boolean }): Promise<string>
  /**
   * Does the work of `verifyAndUpdate` for an e-mail without a user, so that the time of a login does not tell whether
   * an account exists. Default: `hash` is called instead.
   */
  verifyUnknown?(password: string): Promise<void>
  /** A random password for accounts that nobody logs in to by password. */
  generate(): string
}
