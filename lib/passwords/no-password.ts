import { randomBytes } from 'node:crypto'
import type { PasswordHelper } from '../contracts/password-helper.js'

/** Salt of hashes that no password has: argon2 text that every program reads, and that we know again. */
const SALT = Buffer.from('no password here').toString('base64').replace(/=+$/, '')
const DIGEST_BYTES = 32
const ARGON2ID = /^(\$argon2id\$v=19\$[^$]+)\$[^$]+\$[^$]+$/
const DEFAULT_COST = '$argon2id$v=19$m=19456,t=2,p=1'

/** The cost of a helper's hashes, as their text says it. */
const costs = new WeakMap<PasswordHelper, string>()

/**
 * A stored hash that nobody knows a password of: argon2id text with a random digest, of the cost of the helper's own
 * hashes, so that a login attempt takes as long as for any user. The first one costs a hash, which may fail.
 */
export async function hashOfNoPassword (passwords: PasswordHelper): Promise<string> {
  const cost = costs.get(passwords) ?? (await readCost(passwords).catch(() => DEFAULT_COST))
  return `${cost}$${SALT}$${randomBytes(DIGEST_BYTES).toString('base64').replace(/=+$/, '')}`
}

async function readCost (passwords: PasswordHelper): Promise<string> {
  const [, cost = DEFAULT_COST] =
    ARGON2ID.exec(await passwords.hash(randomBytes(DIGEST_BYTES).toString('base64url'))) ?? []
  costs.set(passwords, cost)
  return cost
}

/** True for what `hashOfNoPassword` made. */
export function isHashOfNoPassword (hash: unknown): boolean {
  return typeof hash === 'string' && hash.startsWith('$argon2id$') && hash.split('$')[4] === SALT
}
