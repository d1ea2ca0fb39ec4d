import packages from '../packages.cjs'

/** Cost of an argon2 hash (RFC 9106, section 3.1). */
export interface Argon2Cost {
  /** Memory in KiB. */
  memoryCost: number
  /** Number of passes over the memory. */
  timeCost: number
  /** Number of parallel lanes. */
  parallelism: number
}

/** Functions that compute and verify hashes. Tests replace them to record the work of each call. */
export interface HashEngine {
  /** Returns a new argon2id hash. */
  hashArgon2(password: string, cost: Argon2Cost): Promise<string>
  verifyArgon2(password: string, hash: string): Promise<boolean>
  verifyBcrypt(password: Uint8Array, hash: string): Promise<boolean>
}

/** Length in bytes of the digest of new hashes. */
export const DIGEST_BYTES = 32

// the library declares its algorithms as a `const enum`, which cannot be imported
const ARGON2ID = 2

/** Hash functions of the native libraries, which run outside the event loop. */
export const nativeHashEngine: HashEngine = {
  hashArgon2: (password, cost) =>
    packages.loadArgon2().hash(password, { ...cost, algorithm: ARGON2ID, outputLen: DIGEST_BYTES }),
  verifyArgon2: (password, hash) => packages.loadArgon2().verify(hash, password),
  async verifyBcrypt (password, hash) {
    const { verify } = await import('@node-rs/bcrypt') // loaded when needed: most applications have no bcrypt hashes
    return await verify(password, hash)
  }
}
