import { randomBytes } from 'node:crypto'
import type { PasswordHelper } from '../contracts/password-helper.js'
import { FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import type { Argon2Options } from './argon2-cost.js'
import { createArgon2Hasher } from './argon2-hasher.js'
import { createBcryptVerifier } from './bcrypt-verifier.js'
import { nativeHashEngine, type HashEngine } from './hash-engine.js'
import { createHashQueue, type HashQueueOptions } from './hash-queue.js'
import { createLoginWork, type StoredFormat } from './stored-formats.js'
import type { StoredHash, Work } from './verifier.js'

/** Options of `argon2Passwords`. */
export interface Argon2PasswordsOptions extends Argon2Options, HashQueueOptions {
  /**
   * Formats of hashes that other programs stored in the user table. Every login attempt, also for an unknown e-mail,
   * costs as much as the most expensive format of each algorithm, so that its time does not reveal whether an account
   * exists. Default: none.
   */
  storedFormats?: readonly StoredFormat[]
}

const OPTIONS: Record<keyof Argon2PasswordsOptions, true> = {
  memoryCost: true,
  timeCost: true,
  parallelism: true,
  insecureFastHashing: true,
  concurrency: true,
  maxQueued: true,
  maxWaitMs: true,
  storedFormats: true
}

// width of the column hashed_password of FastAPI Users
const MAX_HASH_LENGTH = 1024

const GENERATED_BYTES = 32

const NO_WORK: Work = { argon2: 0, bcrypt: 0 }

/**
 * Creates a password helper that hashes with argon2id and also checks argon2 and bcrypt hashes of other programs. The
 * next login replaces a bcrypt hash and an argon2 hash that is weaker than new ones. The helper's methods throw
 * `FST_USERS_PASSWORD_QUEUE_FULL` under overload. Throws `FST_USERS_INVALID_OPTION` and `FST_USERS_UNKNOWN_OPTION`.
 */
export function argon2Passwords (options: Argon2PasswordsOptions = {}): PasswordHelper {
  return createPasswordHelper(options, nativeHashEngine)
}

/** Like `argon2Passwords`, but takes the hash functions as a parameter. */
export function createPasswordHelper (options: Argon2PasswordsOptions, engine: HashEngine): PasswordHelper {
  refuseUnknownKeys(options)
  const { storedFormats = [] } = options
  const argon2 = createArgon2Hasher(options, engine)
  const verifiers = [argon2, createBcryptVerifier(engine)]
  const { run, runInBackground } = createHashQueue(options)
  const loginWork = createLoginWork(argon2.cost, storedFormats, engine)
  const warnOnce = onlyOnce(warnAboutUnlistedFormat)

  /** Checks a password, then does the remaining work of a login in the same turn of the queue. */
  async function verifyPadded (password: string, { work, verify }: StoredHash): Promise<boolean> {
    const ok = await verify(password)
    await loginWork.pad(password, work)
    return ok
  }

  function read (text: string): StoredHash | null {
    for (const verifier of verifiers) {
      const stored = verifier.read(text)
      if (stored !== null) return stored
    }
    return null
  }

  const verifyUnknown = (password: string): Promise<void> => run(() => loginWork.pad(password, NO_WORK))

  return {
    description: { algorithm: 'argon2id', ...argon2.cost },
    hash: (password, { background = false } = {}) => (background ? runInBackground : run)(() => argon2.hash(password)),
    async verifyAndUpdate (password, text) {
      const stored = isHashLike(text) ? read(text) : null
      if (stored === null) {
        await verifyUnknown(password)
        return { ok: false, newHash: null }
      }
      if (loginWork.isExceededBy(stored.work)) warnOnce(text)
      if (!(await run(() => verifyPadded(password, stored)))) return { ok: false, newHash: null }
      // if the upgrade fails, the next login tries again
      const newHash = stored.needsUpgrade ? await run(() => argon2.hash(password)).catch(() => null) : null
      return { ok: true, newHash }
    },
    verifyUnknown,
    generate: () => randomBytes(GENERATED_BYTES).toString('base64url')
  }
}

// the type is unknown because a row of an existing table may contain null
function isHashLike (stored: unknown): boolean {
  return typeof stored === 'string' && stored.length <= MAX_HASH_LENGTH
}

function refuseUnknownKeys (options: Argon2PasswordsOptions): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(OPTIONS, name))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([unknown, Object.keys(OPTIONS).join(', ')])
}

/** Warns that logins with this hash take longer than logins with an unknown e-mail. */
function warnAboutUnlistedFormat (stored: string): void {
  const format = stored
    .split('$')
    .slice(1, stored.startsWith('$2') ? 3 : 4)
    .join(' ') // leaves out salt and digest, which must not appear in logs
  process.emitWarning(
    `a stored password hash (${format}) costs more than all formats in argon2Passwords({ storedFormats }), so the time of a login reveals that the account exists; add the format to storedFormats`,
    { code: 'FST_USERS_STORED_FORMAT_NOT_NAMED' }
  )
}

function onlyOnce (call: (text: string) => void): (text: string) => void {
  let done = false
  return (text) => {
    if (done) return
    done = true
    call(text)
  }
}
