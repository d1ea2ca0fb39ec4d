import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { PurposeKey } from '../contracts/definition.js'

const ALGORITHM = 'aes-256-gcm' // NIST SP 800-38D
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Prefix of every encrypted text, with the version of the format. */
const PREFIX = 'fastify-users:1:'

/** Encrypts and decrypts text for storage. */
export interface TextCipher {
  /** Encrypts a text with the first key. `place` names where it is stored: only the same `place` decrypts it. */
  seal(text: string, place: readonly string[]): string
  /** Decrypts a text. Returns null if it was changed, belongs to another place, or its key is no longer listed. */
  open(sealed: string, place: readonly string[]): string | null
  /** Returns true if the first key encrypted the text. If not, encrypt it again, so that the old key can be removed. */
  isCurrent(sealed: string): boolean
}

/** Returns true if a cipher encrypted the text, with any key. */
export function isSealed (text: string): boolean {
  return text.startsWith(PREFIX)
}

/**
 * Creates a cipher (AES-256-GCM) with the keys of one purpose: those of `kit.keysFor` or `deriveKeys`. The first
 * encrypts; all decrypt. An encrypted text consists of a prefix, the key id, and the base64url of nonce, ciphertext and
 * tag.
 */
export function createTextCipher (purposeKeys: readonly PurposeKey[]): TextCipher {
  const keys = purposeKeys.map(({ kid, secret }) => ({
    kid: String(kid),
    key: Buffer.from(secret, 'base64url').subarray(0, KEY_BYTES)
  }))
  const [first] = keys as [(typeof keys)[0], ...typeof keys] // one key per secret, and at least one secret

  return {
    seal (text, place) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, first.key, nonce, { authTagLength: TAG_BYTES }).setAAD(placeBytes(place))
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `${PREFIX}${first.kid}:${sealed.toString('base64url')}`
    },

    open (text, place) {
      const [kid = '', payload = ''] = text.slice(PREFIX.length).split(':')
      const key = keys.find((known) => known.kid === kid)?.key
      const sealed = Buffer.from(payload, 'base64url')
      if (!isSealed(text) || key === undefined || sealed.length < NONCE_BYTES + TAG_BYTES) return null
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
        .setAAD(placeBytes(place))
        .setAuthTag(sealed.subarray(-TAG_BYTES))
      try {
        return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      } catch {
        return null
      }
    },

    isCurrent: (text) => text.startsWith(`${PREFIX}${first.kid}:`)
  }
}

function placeBytes (place: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(place))
}
