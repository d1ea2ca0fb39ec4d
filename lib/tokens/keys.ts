import { createHash, hkdfSync } from 'node:crypto'
import type { PurposeKey } from '../contracts/definition.js'
import { FST_USERS_INVALID_SECRET } from '../errors.js'

const MIN_SECRET_BYTES = 32
const KEY_BYTES = 64 // enough for HS512 (RFC 7518, section 3.2)
const PLACEHOLDERS =
  /secret|changeme|change[-_ ]me|password|keyboard cat|placeholder|example|your[-_ ]|replace[-_ ]|insert[-_ ]|xxxx|1234567890|abcdefgh/i

/**
 * Returns the secret. Throws `FST_USERS_INVALID_SECRET` if it is not a string, has less than 32 bytes, or is a
 * placeholder or a repeated pattern.
 */
export function checkSecret (option: string, secret: unknown): string {
  if (typeof secret !== 'string' || secret === '') {
    throw invalidSecret(option, 'is missing; set it to at least 32 random bytes, e.g. from `openssl rand -base64 48`')
  }
  if (Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    throw invalidSecret(option, `has less than ${MIN_SECRET_BYTES} bytes; create one with \`openssl rand -base64 48\``)
  }
  if (new Set(secret).size < 8 || isRepetition(secret)) {
    throw invalidSecret(option, 'is a repeated pattern; create a random one with `openssl rand -base64 48`')
  }
  if (isPlaceholder(secret)) throw invalidSecret(option, 'is a placeholder; create a random one with `openssl rand -base64 48`')
  return secret
}

/**
 * Derives one key per secret with HKDF-SHA256 (RFC 5869). Each purpose has different keys, so that a token that was
 * created for one purpose is refused for another.
 */
export function deriveKeys (secrets: readonly string[], purpose: string): PurposeKey[] {
  return secrets.map((secret) => {
    const key = Buffer.from(hkdfSync('sha256', secret, '', `fastify-users:${purpose}`, KEY_BYTES))
    return { kid: createHash('sha256').update(key).digest('base64url').slice(0, 8), secret: key.toString('base64url') }
  })
}

function isRepetition (secret: string): boolean {
  return (secret + secret).indexOf(secret, 1) < secret.length
}

/** True for a secret that contains a word of the list and, apart from such words, too few different characters. */
function isPlaceholder (secret: string): boolean {
  const rest = secret.replace(new RegExp(PLACEHOLDERS, 'gi'), '')
  return rest.length < secret.length && new Set(rest).size < 16
}

function invalidSecret (option: string, reason: string): Error {
  return FST_USERS_INVALID_SECRET([option, reason])
}
