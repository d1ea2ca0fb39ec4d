/** Work of checking one password. The time of each part is proportional to its number. */
export interface Work {
  /** Memory in KiB times passes. */
  argon2: number
  /** Rounds: 2 to the power of the cost. */
  bcrypt: number
}

/** A stored hash that passwords can be compared with. */
export interface StoredHash {
  /** The work of checking one password. */
  readonly work: Work
  /** True if the hash is weaker than new ones. */
  readonly needsUpgrade: boolean
  /** Returns true if the password matches. */
  verify(password: string): Promise<boolean>
}

/** Reads the hashes of one algorithm. */
export interface Verifier {
  /** Returns null for a hash of another algorithm, a malformed one, and one whose cost is not acceptable. */
  read(hash: string): StoredHash | null
}
