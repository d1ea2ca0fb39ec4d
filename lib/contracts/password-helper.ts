/** Makes and checks password hashes. Replace it whole with the `passwords` option. */
export interface PasswordHelper {
  /** Checks a password; `newHash` is set when it was right and the stored hash should be replaced. A hash that cannot be read is a wrong password, never an error. */
  verifyAndUpdate(password: string, hash: string): Promise<{ ok: boolean, newHash: string | null }>
  hash(password: string): Promise<string>
  /** A random password for accounts that nobody logs in to by password. */
  generate(): string
}
