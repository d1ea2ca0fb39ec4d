import { randomBytes } from 'node:crypto'
import type { PasswordHelper } from '../contracts/password-helper.js'
import { FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import { createArgon2Hasher, type Argon2Options } from './argon2-hasher.js'
import { bcryptVerifier } from './bcrypt-verifier.js'
import { createHashQueue, type HashQueueOptions } from './hash-queue.js'

/** Options of `argon2Passwords`. */
export interface Argon2PasswordsOptions extends Argon2Options, HashQueueOptions {}

const OPTIONS: Record<keyof Argon2PasswordsOptions, true> = {
  memoryCost: true,
  timeCost: true,
  parallelism: true,
  insecureFastHashing: true,
  concurrency: true,
  maxQueued: true,
  maxWaitMs: true
}

// the width of the original's hashed_password column
const MAX_HASH_LENGTH = 1024

const GENERATED_BYTES = 32

/**
 * Password hashing with argon2id that also checks the argon2 and bcrypt hashes of other programs and replaces them at the next login.
 * Its calls throw `FST_USERS_PASSWORD_QUEUE_FULL` under overload. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function argon2Passwords (options: Argon2PasswordsOptions = {}): PasswordHelper {
  refuseUnknownOptions(options)
  const argon2 = createArgon2Hasher(options)
  const verifiers = [argon2, bcryptVerifier]
  const run = createHashQueue(options)
  const hash = (password: string) => run(() => argon2.hash(password))

  return {
    hash,
    async verifyAndUpdate (password, stored) {
      const verifier = isHashLike(stored) ? verifiers.find(({ canRead }) => canRead(stored)) : undefined
      if (verifier === undefined) {
        await hash(password) // as much work as for a readable hash
        return { ok: false, newHash: null }
      }
      if (!await run(() => verifier.verify(password, stored))) return { ok: false, newHash: null }
      // an upgrade that fails waits for the next login
      const newHash = verifier.needsUpgrade(stored) ? await hash(password).catch(() => null) : null
      return { ok: true, newHash }
    },
    generate: () => randomBytes(GENERATED_BYTES).toString('base64url')
  }
}

// unknown: a row of an adopted table may hold null
function isHashLike (stored: unknown): boolean {
  return typeof stored === 'string' && stored.length <= MAX_HASH_LENGTH
}

function refuseUnknownOptions (options: Argon2PasswordsOptions): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(OPTIONS, name))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([unknown, Object.keys(OPTIONS).join(', ')])
}
