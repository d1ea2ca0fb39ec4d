import { randomBytes } from 'node:crypto'

/** The digits and letters of Crockford's Base32: without I, L, O and U, which are mistaken for others. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** 16 characters with 5 bits each: 80 bits. */
const CODE_LENGTH = 16
const GROUP_LENGTH = 4
const CODE = /^[0-9A-HJKMNP-TV-Z]{16}$/
/** The longest accepted text of a code, with separators. */
export const CODE_MAX_LENGTH = 64

/** Returns a new code as it is shown: `9KQ2-…`, four groups of four characters. */
export function generateCode (): string {
  const characters = Array.from(randomBytes(CODE_LENGTH), (byte) => ALPHABET.charAt(byte % ALPHABET.length))
  const groups = Array.from({ length: CODE_LENGTH / GROUP_LENGTH }, (_none, group) =>
    characters.slice(group * GROUP_LENGTH, (group + 1) * GROUP_LENGTH).join('')
  )
  return groups.join('-')
}

/**
 * Returns the characters of a code in the form that is digested; null for any other text. Case, spaces and hyphens do
 * not matter, and `O`, `I` and `L` count as the digits that they resemble.
 */
export function readRecoveryCode (text: string): string | null {
  if (text.length > CODE_MAX_LENGTH) return null
  const plain = text.replace(/[ -]/g, '').toUpperCase().replace(/O/g, '0').replace(/[IL]/g, '1')
  return CODE.test(plain) ? plain : null
}
