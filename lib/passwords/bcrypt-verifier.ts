import { nativeHashEngine, type HashEngine } from './hash-engine.js'
import type { Verifier } from './verifier.js'

const MAX_BYTES = 72 // bcrypt ignores all further bytes

const BCRYPT = /^\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}$/

/** Lowest cost that bcrypt allows. */
export const BCRYPT_MIN_COST = 4

/** Highest cost that is checked. 2 ** 16 rounds take seconds, and one row must not block the process. */
export const BCRYPT_MAX_COST = 16

/**
 * Creates a verifier for bcrypt hashes (`$2a$`, `$2b$`, `$2x$`, `$2y$`) that other programs stored. Only the first 72
 * UTF-8 bytes of a password are used, as when the hash was created.
 */
export function createBcryptVerifier (engine: HashEngine = nativeHashEngine): Verifier {
  return {
    read (hash) {
      const cost = Number(BCRYPT.exec(hash)?.[1])
      if (!(cost >= BCRYPT_MIN_COST && cost <= BCRYPT_MAX_COST)) return null
      return {
        work: { argon2: 0, bcrypt: 2 ** cost },
        needsUpgrade: true,
        // bcrypt cuts bytes, so the cut may be inside a character
        verify: (password) => engine.verifyBcrypt(Buffer.from(password).subarray(0, MAX_BYTES), hash)
      }
    }
  }
}

/** Returns a bcrypt hash with this cost that no known password matches. */
export function unusableBcryptHash (cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
}
