/** Work of checking one password. The time of each part is proportional to its number. */
export interface Work {
  /** Memory in KiB times passes. */
  argon2: number
  /** Rounds: 2 to the power of the cost. */
  bcrypt: number
}

/** Checks the hashes of one algorithm. */
export interface Verifier {
  /** True for a hash of this algorithm whose cost is acceptable. */
  canRead(hash: string): boolean
  /** Returns true if the password matches, and false also for a hash that cannot be read. */
  verify(password: string, hash: string): Promise<boolean>
  /** Returns the work of checking a password against this hash. */
  workOf(hash: string): Work
  /** True for a hash that is weaker than new ones. */
  needsUpgrade(hash: string): boolean
}
