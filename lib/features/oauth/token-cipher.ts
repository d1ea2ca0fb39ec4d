import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { deriveKeys } from '../../tokens/index.js'

const ALGORITHM = 'aes-256-gcm' // NIST SP 800-38D
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Begins every text that we encrypted, with the version of its form. */
const PREFIX = 'fastify-users:1:'

/** Encrypts text for storage. */
export interface TokenCipher {
  /** The text encrypted with the first key, good for this `place` alone. */
  seal(text: string, place: readonly string[]): string
  /** The text; null for one of another place or of a key that is gone, or that was changed. */
  open(sealed: string, place: readonly string[]): string | null
}

/** True for what a cipher made, under whichever key. */
export function isSealed (text: string): boolean {
  return text.startsWith(PREFIX)
}

/**
 * A cipher whose keys come from the secrets by HKDF. The form: prefix, id of the key, nonce with ciphertext and tag in
 * base64url.
 */
export function createTokenCipher (secrets: readonly [string, ...string[]], name: string): TokenCipher {
  const keys = deriveKeys(secrets, `${name}:oauth-tokens`).map(({ kid, secret }) => ({
    kid: String(kid),
    key: Buffer.from(secret, 'base64url').subarray(0, KEY_BYTES)
  }))
  const [first] = keys as [(typeof keys)[0], ...typeof keys] // as many as there are secrets

  return {
    seal (text, place) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, first.key, nonce, { authTagLength: TAG_BYTES }).setAAD(bytesOf(place))
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `${PREFIX}${first.kid}:${sealed.toString('base64url')}`
    },

    open (text, place) {
      const [kid = '', payload = ''] = text.slice(PREFIX.length).split(':')
      const key = keys.find((known) => known.kid === kid)?.key
      const sealed = Buffer.from(payload, 'base64url')
      if (!isSealed(text) || key === undefined || sealed.length < NONCE_BYTES + TAG_BYTES) return null
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
        .setAAD(bytesOf(place))
        .setAuthTag(sealed.subarray(-TAG_BYTES))
      try {
        return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      } catch {
        return null
      }
    }
  }
}

function bytesOf (place: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(place))
}
