import { hash as computeHash, parseOptions, verify as verifyHash, type ParsedHashOptions } from '@node-rs/argon2'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkInteger } from './hash-queue.js'

/** Cost of new argon2id hashes (RFC 9106). */
export interface Argon2Options {
  /** Memory in KiB. Default 19456. */
  memoryCost?: number
  /** Passes. Default 2. */
  timeCost?: number
  /** Lanes. Default 1. */
  parallelism?: number
  /** Allows a cost below OWASP's minimum, for tests. Refused when `NODE_ENV` is `production`. */
  insecureFastHashing?: boolean
}

/** Makes argon2id hashes and checks argon2 hashes of every variant. */
export interface Argon2Hasher {
  hash(password: string): Promise<string>
  /** True for an argon2 hash whose cost is not absurd. */
  canRead(hash: string): boolean
  /** False for a hash that cannot be read. */
  verify(password: string, hash: string): Promise<boolean>
  /** True when the hash is not what `hash` would make now. */
  needsUpgrade(hash: string): boolean
}

type Cost = Required<Pick<Argon2Options, 'memoryCost' | 'timeCost' | 'parallelism'>>

// values of the library's enums, which are `const` and so cannot be imported
const ARGON2ID = 2
const VERSION_19 = 1

const SALT_BYTES = 16
const HASH_BYTES = 32

// the most that a stored hash may ask for: a row must not be able to occupy the process
const MAX_COST: Cost = { memoryCost: 1024 * 1024, timeCost: 50, parallelism: 16 }

// OWASP Password Storage Cheat Sheet: memory in KiB and passes, any pair suffices
const OWASP_MINIMUM = [[47104, 1], [19456, 2], [12288, 3], [9216, 4], [7168, 5]] as const

/** Makes a hasher. Throws `FST_USERS_INVALID_OPTION`, also for a cost below OWASP's minimum. */
export function createArgon2Hasher (options: Argon2Options = {}): Argon2Hasher {
  const cost = resolveCost(options)
  return {
    hash: (password) => computeHash(password, { ...cost, algorithm: ARGON2ID, outputLen: HASH_BYTES }),
    canRead: (hash) => parse(hash) !== null,
    verify: async (password, hash) => parse(hash) !== null && verifyHash(hash, password),
    needsUpgrade (hash) {
      const parsed = parse(hash)
      return parsed === null || parsed.algorithm !== ARGON2ID || parsed.version !== VERSION_19 ||
        parsed.saltLen !== SALT_BYTES || parsed.outputLen !== HASH_BYTES || !hasCost(parsed, cost)
    }
  }
}

function parse (hash: string): ParsedHashOptions | null {
  try {
    const parsed = parseOptions(hash)
    return isWithin(parsed, MAX_COST) ? parsed : null
  } catch {
    return null
  }
}

function isWithin (cost: Cost, limit: Cost): boolean {
  return cost.memoryCost <= limit.memoryCost && cost.timeCost <= limit.timeCost && cost.parallelism <= limit.parallelism
}

function hasCost (parsed: Cost, cost: Cost): boolean {
  return parsed.memoryCost === cost.memoryCost && parsed.timeCost === cost.timeCost && parsed.parallelism === cost.parallelism
}

function resolveCost (options: Argon2Options): Cost {
  const { memoryCost = 19456, timeCost = 2, parallelism = 1, insecureFastHashing = false } = options
  const cost: Cost = { memoryCost, timeCost, parallelism }
  checkInteger('timeCost', timeCost, 1, MAX_COST.timeCost)
  checkInteger('parallelism', parallelism, 1, MAX_COST.parallelism)
  checkInteger('memoryCost', memoryCost, 8 * parallelism, MAX_COST.memoryCost) // RFC 9106, section 3.1
  checkStrength(cost, insecureFastHashing)
  if (insecureFastHashing) process.emitWarning('insecureFastHashing is on: password hashes are weak', { code: 'FST_USERS_INSECURE_HASHING' })
  return cost
}

function checkStrength ({ memoryCost, timeCost }: Cost, insecureFastHashing: boolean): void {
  if (typeof insecureFastHashing !== 'boolean') {
    throw FST_USERS_INVALID_OPTION(['insecureFastHashing', 'must be true or false.'])
  }
  if (insecureFastHashing && process.env.NODE_ENV === 'production') {
    throw FST_USERS_INVALID_OPTION(['insecureFastHashing', 'is for tests and is refused when NODE_ENV is production.'])
  }
  if (!insecureFastHashing && !OWASP_MINIMUM.some(([memory, time]) => memoryCost >= memory && timeCost >= time)) {
    throw FST_USERS_INVALID_OPTION(['memoryCost', `${memoryCost} KiB with timeCost ${timeCost} is below OWASP's minimum; raise one of them.`])
  }
}
