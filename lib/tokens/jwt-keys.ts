import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { FST_USERS_INVALID_SECRET, FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import { checkSecret } from './keys.js'

/** Algorithms that tokens may be signed with (RFC 7518, section 3.1; RFC 8037). */
export type JwtAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'RS256' | 'ES256' | 'EdDSA'

/**
 * One signing key. `secret` is the shared secret of an HS algorithm, else `privateKey` and `publicKey` are PEM; a key
 * without a private half only verifies.
 */
export interface JwtKeyOptions {
  /** Names the key in the token's header; needed when there are several. */
  kid?: string
  algorithm?: JwtAlgorithm
  secret?: string
  privateKey?: string
  publicKey?: string
}

/** A checked key: exactly one algorithm, and text that the engine takes. */
export interface JwtKey {
  kid: string | undefined
  algorithm: JwtAlgorithm
  signKey: string | null
  verifyKey: string
}

const HMAC_BYTES: ReadonlyMap<string, number> = new Map([
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64]
])
const MIN_RSA_BITS = 2048

/** Checks a key against its algorithm. Throws `FST_USERS_INVALID_SECRET`, `FST_USERS_UNKNOWN_OPTION`. */
export function checkJwtKey (
  option: string,
  { kid, algorithm = 'HS256', secret, privateKey, publicKey, ...rest }: JwtKeyOptions
): JwtKey {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw FST_USERS_UNKNOWN_OPTION([`${option}.${unknown}`, 'kid, algorithm, secret, privateKey, publicKey'])
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) throw refuse(option, 'has a kid that is no text')
  const bytes = HMAC_BYTES.get(algorithm)
  if (bytes !== undefined) {
    if (privateKey !== undefined || publicKey !== undefined) {
      throw refuse(option, `takes a secret with ${algorithm}, not privateKey and publicKey; set \`algorithm\``)
    }
    const checked = checkHmacSecret(option, algorithm, bytes, secret)
    return { kid, algorithm, signKey: checked, verifyKey: checked }
  }
  if (!['RS256', 'ES256', 'EdDSA'].includes(algorithm)) {
    throw refuse(option, `does not know the algorithm ${String(algorithm)}`)
  }
  if (secret !== undefined) throw refuse(option, `takes privateKey and publicKey with ${algorithm}, not secret`)
  const pem = publicKey ?? privateKey
  if (pem === undefined) throw refuse(option, `needs a privateKey or a publicKey (PEM) with ${algorithm}`)
  const verifyKey = publicPem(option, pem)
  checkAsymmetric(option, algorithm, createPublicKey(verifyKey))
  if (privateKey !== undefined) {
    checkAsymmetric(
      option,
      algorithm,
      readKey(option, () => createPrivateKey(privateKey))
    )
    if (publicPem(option, privateKey) !== verifyKey) {
      throw refuse(option, 'has a publicKey that does not belong to its privateKey')
    }
  }
  return { kid, algorithm, signKey: privateKey ?? null, verifyKey }
}

/** A PEM or JWK is never an HMAC secret, whatever white space is around it (CVE-2023-48223, CVE-2026-34950). */
function checkHmacSecret (option: string, algorithm: string, bytes: number, secret: string | undefined): string {
  const checked = checkSecret(option, secret)
  if (/-----\s*BEGIN|^\s*\{|^\s*(?:ssh-|ecdsa-)/.test(checked)) {
    throw refuse(option, `is a key file, not a shared secret; ${algorithm} needs random text`)
  }
  if (Buffer.byteLength(checked) < bytes) {
    throw refuse(option, `has less than ${bytes} bytes, which ${algorithm} needs (RFC 7518, section 3.2)`)
  }
  return checked
}

function checkAsymmetric (option: string, algorithm: JwtAlgorithm, key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (algorithm === 'RS256' && (type !== 'rsa' || (details?.modulusLength ?? 0) < MIN_RSA_BITS)) {
    throw refuse(option, `needs an RSA key of at least ${MIN_RSA_BITS} bits with RS256`)
  }
  if (algorithm === 'ES256' && (type !== 'ec' || details?.namedCurve !== 'prime256v1')) {
    throw refuse(option, 'needs a P-256 key with ES256')
  }
  if (algorithm === 'EdDSA' && type !== 'ed25519') throw refuse(option, 'needs an Ed25519 key with EdDSA')
}

/** The public half of a key, always in the same form. */
function publicPem (option: string, pem: string): string {
  return readKey(option, () => createPublicKey(pem))
    .export({ type: 'spki', format: 'pem' })
    .toString()
}

function readKey (option: string, read: () => KeyObject): KeyObject {
  try {
    return read()
  } catch {
    throw refuse(option, 'is not a key in PEM form')
  }
}

function refuse (option: string, reason: string): Error {
  return FST_USERS_INVALID_SECRET([option, reason])
}
