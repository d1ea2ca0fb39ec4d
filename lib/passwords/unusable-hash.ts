import { randomBytes } from 'node:crypto'
import type { PasswordHelper } from '../contracts/password-helper.js'

/** Salt that marks an unusable hash. It is a valid argon2 salt, so other programs can read the hash too. */
const SALT = Buffer.from('no password here').toString('base64').replace(/=+$/, '')
const DIGEST_BYTES = 32
const ARGON2ID = /^(\$argon2id\$v=19\$[^$]+)\$[^$]+\$[^$]+$/
const DEFAULT_COST = '$argon2id$v=19$m=19456,t=2,p=1'

/** The encoded argon2 parameters of each helper's hashes. */
const costs = new WeakMap<PasswordHelper, string>()

/**
 * Creates a password hash that no known password matches, for users without a password. It is an argon2id hash with a
 * random digest. Its cost is the cost of the helper's hashes, so that a login attempt takes as long as for other users.
 * The first call for a helper computes a hash to find out that cost; if that fails, the default cost is used.
 */
export async function createUnusableHash (passwords: PasswordHelper): Promise<string> {
  const cost = costs.get(passwords) ?? (await readCost(passwords).catch(() => DEFAULT_COST))
  return `${cost}$${SALT}$${randomBytes(DIGEST_BYTES).toString('base64').replace(/=+$/, '')}`
}

async function readCost (passwords: PasswordHelper): Promise<string> {
  const [, cost = DEFAULT_COST] =
    ARGON2ID.exec(await passwords.hash(randomBytes(DIGEST_BYTES).toString('base64url'))) ?? []
  costs.set(passwords, cost)
  return cost
}

/** True for a hash that `createUnusableHash` created. */
export function isUnusableHash (hash: unknown): boolean {
  return typeof hash === 'string' && hash.startsWith('$argon2id$') && hash.split('$')[4] === SALT
}
