import { FST_USERS_INVALID_OPTION, FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import { argon2Work, checkCost } from './argon2-cost.js'
import { BCRYPT_MAX_COST, BCRYPT_MIN_COST, createBcryptVerifier, unusableBcryptHash } from './bcrypt-verifier.js'
import type { Argon2Cost, HashEngine } from './hash-engine.js'
import { checkInteger } from './hash-queue.js'
import type { Work } from './verifier.js'

/** Format of password hashes that other programs stored. */
export type StoredFormat = StoredArgon2Format | StoredBcryptFormat

/** Cost of stored argon2 hashes (RFC 9106). */
export interface StoredArgon2Format {
  algorithm: 'argon2id' | 'argon2i' | 'argon2d'
  /** Memory in KiB. */
  memoryCost: number
  /** Number of passes over the memory. */
  timeCost: number
  /** Number of parallel lanes. Default 1. */
  parallelism?: number
}

/** Cost of stored bcrypt hashes. */
export interface StoredBcryptFormat {
  algorithm: 'bcrypt'
  /** Cost factor from 4 to 16. The number of rounds is 2 to the power of it. */
  cost: number
}

/** Work that every login attempt does, so that its time does not depend on the stored hash. */
export interface LoginWork {
  /** Does the remaining work of a login attempt. `done` is the work so far. */
  pad(password: string, done: Work): Promise<void>
  /** True if this work is more than every listed format needs. */
  isExceededBy(done: Work): boolean
}

const ALGORITHMS = ['argon2id', 'argon2i', 'argon2d', 'bcrypt']
const KEYS = { argon2: ['memoryCost', 'timeCost', 'parallelism'], bcrypt: ['cost'] }

/**
 * Returns the work of a login: the most expensive argon2 hash among new hashes and `formats`, and in addition the most
 * expensive bcrypt hash among `formats`. The work of each algorithm is padded separately, because the ratio of their
 * speeds differs between machines. Throws `FST_USERS_INVALID_OPTION`.
 */
export function createLoginWork (
  newHashCost: Argon2Cost,
  formats: readonly StoredFormat[],
  engine: HashEngine
): LoginWork {
  checkFormats(formats)
  const argon2 = [
    newHashCost,
    ...formats.flatMap((format) => (format.algorithm === 'bcrypt' ? [] : [{ parallelism: 1, ...format }]))
  ]
  const mostExpensive = argon2.reduce((highest, cost) => (argon2Work(cost) > argon2Work(highest) ? cost : highest))
  const rounds = Math.max(0, ...formats.flatMap((format) => (format.algorithm === 'bcrypt' ? [2 ** format.cost] : [])))
  const bcrypt = createBcryptVerifier(engine)

  return {
    async pad (password, done) {
      const memoryCost = Math.round((argon2Work(mostExpensive) - done.argon2) / mostExpensive.timeCost)
      const { timeCost, parallelism } = mostExpensive
      // a difference below argon2's minimum takes microseconds and is ignored
      if (memoryCost >= 8 * parallelism) await engine.hashArgon2(password, { memoryCost, timeCost, parallelism })
      for (const cost of bcryptCosts(rounds - done.bcrypt)) {
        await bcrypt.read(unusableBcryptHash(cost))?.verify(password)
      }
    },
    isExceededBy: (done) => done.argon2 > argon2Work(mostExpensive) || done.bcrypt > rounds
  }
}

/** Returns bcrypt costs whose rounds add up to this number. */
function bcryptCosts (rounds: number): number[] {
  const costs: number[] = []
  for (let cost = BCRYPT_MIN_COST; 2 ** cost <= rounds; cost++) {
    if ((rounds & (2 ** cost)) !== 0) costs.push(cost)
  }
  return costs
}

function checkFormats (formats: unknown): void {
  if (!Array.isArray(formats)) throw FST_USERS_INVALID_OPTION(['storedFormats', 'must be a list of formats'])
  for (const [i, format] of (formats as readonly unknown[]).entries()) checkFormat(`storedFormats[${i}].`, format)
}

function checkFormat (path: string, format: unknown): void {
  // callers in plain JavaScript may pass any value
  const { algorithm, ...given } = Object(format) as { algorithm?: unknown } & Record<string, unknown>
  if (!ALGORITHMS.includes(String(algorithm))) {
    throw FST_USERS_INVALID_OPTION([`${path}algorithm`, `must be one of ${ALGORITHMS.join(', ')}`])
  }
  const keys = algorithm === 'bcrypt' ? KEYS.bcrypt : KEYS.argon2
  const unknown = Object.keys(given).find((key) => !keys.includes(key))
  if (unknown !== undefined) throw FST_USERS_UNKNOWN_OPTION([path + unknown, ['algorithm', ...keys].join(', ')])
  const {
    memoryCost = NaN,
    timeCost = NaN,
    parallelism = 1,
    cost = NaN
  } = given as Partial<Argon2Cost & { cost: number }> // checkInteger refuses other types
  if (algorithm === 'bcrypt') checkInteger(`${path}cost`, cost, BCRYPT_MIN_COST, BCRYPT_MAX_COST)
  else checkCost({ memoryCost, timeCost, parallelism }, path)
}
