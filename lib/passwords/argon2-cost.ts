import { FST_USERS_INVALID_OPTION } from '../errors.js'
import type { Argon2Cost } from './hash-engine.js'
import { checkInteger } from './hash-queue.js'

/** Cost of new argon2id hashes (RFC 9106). */
export interface Argon2Options {
  /** Memory in KiB. Default 19456. */
  memoryCost?: number
  /** Number of passes over the memory. Default 2. */
  timeCost?: number
  /** Number of parallel lanes. Default 1. */
  parallelism?: number
  /** Allows a cost below OWASP's minimum, for tests. Refused when `NODE_ENV` is `production`. */
  insecureFastHashing?: boolean
}

// highest cost of a stored hash that is checked, so that one row cannot block the process
const MAX_COST: Argon2Cost = { memoryCost: 1024 * 1024, timeCost: 50, parallelism: 16 }

// OWASP Password Storage Cheat Sheet: pairs of memory in KiB and passes, each of which is sufficient
const OWASP_MINIMUM = [
  [47104, 1],
  [19456, 2],
  [12288, 3],
  [9216, 4],
  [7168, 5]
] as const

/** Returns memory in KiB times passes. The time of a hash is proportional to this number. */
export function argon2Work ({ memoryCost, timeCost }: Pick<Argon2Cost, 'memoryCost' | 'timeCost'>): number {
  return memoryCost * timeCost
}

/** Checks that the cost of a stored hash does not exceed the limits of this process. */
export function isAcceptableCost ({ memoryCost, timeCost, parallelism }: Argon2Cost): boolean {
  return memoryCost <= MAX_COST.memoryCost && timeCost <= MAX_COST.timeCost && parallelism <= MAX_COST.parallelism
}

/**
 * Throws `FST_USERS_INVALID_OPTION` for a cost that argon2 refuses or that exceeds the limits. `path` is the prefix of
 * the option names.
 */
export function checkCost ({ memoryCost, timeCost, parallelism }: Argon2Cost, path = ''): void {
  checkInteger(`${path}timeCost`, timeCost, 1, MAX_COST.timeCost)
  checkInteger(`${path}parallelism`, parallelism, 1, MAX_COST.parallelism)
  checkInteger(`${path}memoryCost`, memoryCost, 8 * parallelism, MAX_COST.memoryCost) // RFC 9106, section 3.1
}

/** Returns the cost of new hashes. Throws `FST_USERS_INVALID_OPTION`, also for a cost below OWASP's minimum. */
export function resolveCost (options: Argon2Options): Argon2Cost {
  const { memoryCost = 19456, timeCost = 2, parallelism = 1, insecureFastHashing = false } = options
  const cost = { memoryCost, timeCost, parallelism }
  checkCost(cost)
  checkStrength(cost, insecureFastHashing)
  if (insecureFastHashing) {
    process.emitWarning('insecureFastHashing is on: password hashes are weak; use it in tests only', {
      code: 'FST_USERS_INSECURE_HASHING'
    })
  }
  return cost
}

function checkStrength ({ memoryCost, timeCost }: Argon2Cost, insecureFastHashing: boolean): void {
  if (typeof insecureFastHashing !== 'boolean') {
    throw FST_USERS_INVALID_OPTION(['insecureFastHashing', 'must be true or false'])
  }
  if (insecureFastHashing && process.env.NODE_ENV === 'production') {
    throw FST_USERS_INVALID_OPTION(['insecureFastHashing', 'must not be set when NODE_ENV is production'])
  }
  if (!insecureFastHashing && !OWASP_MINIMUM.some(([memory, time]) => memoryCost >= memory && timeCost >= time)) {
    throw FST_USERS_INVALID_OPTION([
      'memoryCost',
      `${memoryCost} KiB with timeCost ${timeCost} is below OWASP's minimum; raise memoryCost or timeCost`
    ])
  }
}
