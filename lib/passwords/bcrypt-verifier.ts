/** Checks bcrypt hashes (`$2a$`, `$2b$`, `$2x$`, `$2y$`) made by others; it makes none. */
export interface BcryptVerifier {
  /** True for a bcrypt hash whose cost is 16 at most. */
  canRead(hash: string): boolean
  /** False for a hash that cannot be read. Of a longer password the first 72 UTF-8 bytes count, as they did when the hash was made. */
  verify(password: string, hash: string): Promise<boolean>
  /** True: bcrypt hashes give way to argon2id. */
  needsUpgrade(hash: string): boolean
}

const MAX_BYTES = 72

const BCRYPT = /^\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}$/
const MIN_COST = 4

// 2 ** 16 rounds take seconds: a row must not be able to occupy the process
const MAX_COST = 16

/** Checks bcrypt hashes off the event loop. */
export const bcryptVerifier: BcryptVerifier = {
  canRead,
  async verify (password, hash) {
    if (!canRead(hash)) return false
    const { verify } = await import('@node-rs/bcrypt')     // only adopted tables have such hashes: not loaded at start
    return await verify(Buffer.from(password).subarray(0, MAX_BYTES), hash)     // bytes, not characters: the cut may fall inside a character
  },
  needsUpgrade: () => true
}

function canRead (hash: string): boolean {
  const cost = Number(BCRYPT.exec(hash)?.[1])
  return cost >= MIN_COST && cost <= MAX_COST
}
