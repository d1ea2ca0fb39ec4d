import { randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 16
/** 43 characters of 62 have more than 256 bits. */
const SECRET_LENGTH = 43
const CHECKSUM_LENGTH = 6
/** The form of a key after its prefix: `_`, id, `_`, secret with checksum. */
const AFTER_PREFIX = /^_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/

/** Creates and recognizes keys of the form `prefix_id_secret`. The secret ends with a checksum. */
export interface KeyFormat {
  /** Creates a key. The id is not secret. */
  generate(): { id: string; key: string }
  /** Returns the id of a key; null for a text of another form or with a wrong checksum. */
  idOf(key: string): string | null
  /** Finds keys in text, for secret scanners. It does not check the checksum. */
  readonly pattern: string
}

/** Creates the format of keys with this prefix. */
export function createKeyFormat (prefix: string): KeyFormat {
  const idStart = prefix.length + 1
  return {
    pattern: `\\b${prefix}${AFTER_PREFIX.source.slice(1, -1)}\\b`,
    generate () {
      const id = randomText(ID_LENGTH)
      const body = `${prefix}_${id}_${randomText(SECRET_LENGTH)}`
      return { id, key: body + checksumOf(body) }
    },
    idOf (key) {
      if (!key.startsWith(prefix) || !AFTER_PREFIX.test(key.slice(prefix.length))) return null
      if (checksumOf(key.slice(0, -CHECKSUM_LENGTH)) !== key.slice(-CHECKSUM_LENGTH)) return null
      return key.slice(idStart, idStart + ID_LENGTH)
    }
  }
}

function randomText (length: number): string {
  return Array.from({ length }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')
}

/** Returns the CRC-32 (ISO-HDLC) of a text as six base62 digits. */
function checksumOf (text: string): string {
  let digits = ''
  for (let rest = crc32(text); digits.length < CHECKSUM_LENGTH; rest = Math.floor(rest / ALPHABET.length)) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits
  }
  return digits
}
