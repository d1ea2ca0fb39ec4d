import type { ParsedHashOptions } from '@node-rs/argon2'
import packages from '../packages.cjs'
import { argon2Work, isAcceptableCost, resolveCost, type Argon2Options } from './argon2-cost.js'
import { DIGEST_BYTES, nativeHashEngine, type Argon2Cost, type HashEngine } from './hash-engine.js'
import type { Verifier } from './verifier.js'

/** Creates argon2id hashes and checks argon2 hashes of every variant. */
export interface Argon2Hasher extends Verifier {
  /** Cost of new hashes. */
  readonly cost: Argon2Cost
  hash(password: string): Promise<string>
}

// values of the library's enums, which cannot be imported because they are `const`
const ARGON2ID = 2
const VERSION_19 = 1

const SALT_BYTES = 16

/** Creates a hasher. Throws `FST_USERS_INVALID_OPTION`, also for a cost below OWASP's minimum. */
export function createArgon2Hasher (options: Argon2Options = {}, engine: HashEngine = nativeHashEngine): Argon2Hasher {
  const cost = resolveCost(options)
  return {
    cost,
    hash: (password) => engine.hashArgon2(password, cost),
    read (hash) {
      const parsed = parseArgon2Hash(hash)
      if (parsed === null) return null
      return {
        work: { argon2: argon2Work(parsed), bcrypt: 0 },
        needsUpgrade: isWeaker(parsed, cost),
        verify: (password) => engine.verifyArgon2(password, hash)
      }
    }
  }
}

/**
 * True for a stored hash that is weaker than new ones. A login replaces only weaker hashes. The first difference in
 * this order decides: work (memory times passes), memory, variant and version (argon2id with version 19 is the
 * strongest), then lengths of salt and digest and number of lanes.
 */
function isWeaker (stored: ParsedHashOptions, cost: Argon2Cost): boolean {
  const work = argon2Work(stored) - argon2Work(cost)
  if (work !== 0) return work < 0
  if (stored.memoryCost !== cost.memoryCost) return stored.memoryCost < cost.memoryCost
  if (stored.algorithm !== ARGON2ID || stored.version !== VERSION_19) return true
  return stored.saltLen < SALT_BYTES || stored.outputLen < DIGEST_BYTES || stored.parallelism < cost.parallelism
}

function parseArgon2Hash (hash: string): ParsedHashOptions | null {
  const { parseOptions } = packages.loadArgon2()
  try {
    const parsed = parseOptions(hash)
    return isAcceptableCost(parsed) ? parsed : null
  } catch {
    return null
  }
}
