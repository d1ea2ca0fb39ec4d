import { randomInt } from 'node:crypto'
import { fingerprint, isSameSecret, type FeatureKit } from '../../feature/index.js'

/** Crockford's base 32: digits and letters without I, L, O and U, which people confuse or read as words. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Eight characters of 5 bits: one guess is right with a probability of 2^-40. */
const LENGTH = 8
const HALF = LENGTH / 2

/** Creates and checks the codes of mails. */
export interface Codes {
  /** Returns a new code, such as `7KQ2-M4XP`. */
  create(): string
  /** Returns the digest that is stored. It needs a key: 2^40 codes could be tried with a stolen table. */
  digest(code: string, request: string): string
  /** Returns true if a given text is the code of a digest. Case, spaces and hyphens are ignored. */
  isRight(given: string, request: string, digest: string): boolean
}

/** Creates the functions for codes that are valid for `lifetimeSeconds`. */
export function createCodes (kit: Pick<FeatureKit, 'keysFor'>, lifetimeSeconds: number): Codes {
  const keys = kit.keysFor('email-login', lifetimeSeconds).map(({ secret }) => secret)
  const digestWith = (key: string, code: string, request: string): string =>
    fingerprint(key, request, normalizeCode(code))
  return {
    create () {
      const code = Array.from({ length: LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')
      return `${code.slice(0, HALF)}-${code.slice(HALF)}`
    },
    digest: (code, request) => digestWith(String(keys[0]), code, request),
    isRight: (given, request, digest) => keys.some((key) => isSameSecret(digestWith(key, given, request), digest))
  }
}

/** Returns a code as it is digested. Letters that the alphabet lacks stand for the digits that they resemble. */
function normalizeCode (given: string): string {
  return given.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
}
