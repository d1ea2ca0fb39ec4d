import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { JwtAlgorithm, KeyDescription, PublicJwk } from '../contracts/keys.js'
import { FST_USERS_INVALID_SECRET, FST_USERS_UNKNOWN_OPTION } from '../errors.js'
import { checkSecret } from './keys.js'
import { publicJwkOf } from './public-jwk.js'

export type { JwtAlgorithm }

/**
 * Key of signed tokens. An HS algorithm takes `secret`. The other algorithms take `privateKey`, `publicKey` or both; a
 * key without `privateKey` only verifies.
 */
export interface JwtKeyOptions {
  /**
   * Key id in the header of tokens. Required for several keys with an HS algorithm. Default for the other algorithms:
   * the thumbprint of the public key (RFC 7638).
   */
  kid?: string
  /** Signature algorithm. Default `HS256`. */
  algorithm?: JwtAlgorithm
  /** Shared secret of an HS algorithm. */
  secret?: string
  /** Private key in PEM form. */
  privateKey?: string
  /** Public key in PEM form. Default: derived from `privateKey`. */
  publicKey?: string
}

/** Key that was checked, in the form that `@fastify/jwt` expects. */
export interface JwtKey {
  /** Key id in the header of new tokens. */
  kid: string | undefined
  /** True for a key that was configured with a `kid`. */
  isNamed: boolean
  algorithm: JwtAlgorithm
  signKey: string | null
  verifyKey: string
  /** The public key; null for a shared secret. */
  publicJwk: PublicJwk | null
}

const HMAC_BYTES: ReadonlyMap<string, number> = new Map([
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64]
])
const MIN_RSA_BITS = 2048

/**
 * Checks that a key is suitable for its algorithm and returns it. Throws `FST_USERS_INVALID_SECRET`,
 * `FST_USERS_UNKNOWN_OPTION`.
 */
export function checkJwtKey (
  option: string,
  { kid, algorithm = 'HS256', secret, privateKey, publicKey, ...rest }: JwtKeyOptions
): JwtKey {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw FST_USERS_UNKNOWN_OPTION([`${option}.${unknown}`, 'kid, algorithm, secret, privateKey, publicKey'])
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw invalidKey(option, 'has a kid that is not a non-empty string')
  }
  const isNamed = kid !== undefined
  const bytes = HMAC_BYTES.get(algorithm)
  if (bytes === undefined) {
    const { publicJwk, ...key } = checkKeyPair(option, algorithm, { secret, privateKey, publicKey }, kid)
    return { kid: publicJwk.kid, isNamed, algorithm, ...key, publicJwk }
  }
  if (privateKey !== undefined || publicKey !== undefined) {
    throw invalidKey(
      option,
      `has privateKey or publicKey, but ${algorithm} needs secret; set \`algorithm\` to RS256, ES256 or EdDSA`
    )
  }
  const checked = checkHmacSecret(option, algorithm, bytes, secret)
  return { kid, isNamed, algorithm, signKey: checked, verifyKey: checked, publicJwk: null }
}

/** Returns a key without its secret parts. */
export function describeKey ({ kid, algorithm, signKey, publicJwk }: JwtKey): KeyDescription {
  return { kid: kid ?? null, algorithm, canSign: signKey !== null, publicJwk }
}

function checkKeyPair (
  option: string,
  algorithm: JwtAlgorithm,
  { secret, privateKey, publicKey }: Record<'secret' | 'privateKey' | 'publicKey', string | undefined>,
  kid: string | undefined
): Omit<JwtKey, 'kid' | 'isNamed' | 'algorithm'> & { publicJwk: PublicJwk } {
  if (!['RS256', 'ES256', 'EdDSA'].includes(algorithm)) {
    throw invalidKey(
      option,
      `has the unknown algorithm ${String(algorithm)}; use HS256, HS384, HS512, RS256, ES256 or EdDSA`
    )
  }
  if (secret !== undefined) throw invalidKey(option, `has a secret, but ${algorithm} needs privateKey or publicKey`)
  const pem = publicKey ?? privateKey
  if (pem === undefined) {
    throw invalidKey(option, `has neither privateKey nor publicKey; ${algorithm} needs one of them in PEM form`)
  }
  const verifyKey = publicPem(option, pem)
  const key = createPublicKey(verifyKey)
  checkAsymmetric(option, algorithm, key)
  if (privateKey !== undefined) {
    checkAsymmetric(option, algorithm, readPemKey(option, () => createPrivateKey(privateKey)))
    if (publicPem(option, privateKey) !== verifyKey) {
      throw invalidKey(option, 'has a publicKey that does not belong to its privateKey')
    }
  }
  return { signKey: privateKey ?? null, verifyKey, publicJwk: publicJwkOf(key, algorithm, kid) }
}

/** Refuses a PEM or JWK as an HMAC secret, also with white space around it (CVE-2023-48223, CVE-2026-34950). */
function checkHmacSecret (option: string, algorithm: string, bytes: number, secret: string | undefined): string {
  const checked = checkSecret(option, secret)
  if (/-----\s*BEGIN|^\s*\{|^\s*(?:ssh-|ecdsa-)/.test(checked)) {
    throw invalidKey(option, `is the content of a key file; ${algorithm} needs a random shared secret`)
  }
  if (Buffer.byteLength(checked) < bytes) {
    throw invalidKey(option, `has less than ${bytes} bytes, which ${algorithm} needs (RFC 7518, section 3.2)`)
  }
  return checked
}

function checkAsymmetric (option: string, algorithm: JwtAlgorithm, key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (algorithm === 'RS256' && (type !== 'rsa' || (details?.modulusLength ?? 0) < MIN_RSA_BITS)) {
    throw invalidKey(option, `needs an RSA key of at least ${MIN_RSA_BITS} bits with RS256`)
  }
  if (algorithm === 'ES256' && (type !== 'ec' || details?.namedCurve !== 'prime256v1')) {
    throw invalidKey(option, 'needs a P-256 key with ES256')
  }
  if (algorithm === 'EdDSA' && type !== 'ed25519') throw invalidKey(option, 'needs an Ed25519 key with EdDSA')
}

/** Returns the public key of a PEM in SPKI form, so that two keys can be compared. */
function publicPem (option: string, pem: string): string {
  return readPemKey(option, () => createPublicKey(pem))
    .export({ type: 'spki', format: 'pem' })
    .toString()
}

function readPemKey (option: string, read: () => KeyObject): KeyObject {
  try {
    return read()
  } catch {
    throw invalidKey(option, 'is not a key in PEM form')
  }
}

function invalidKey (option: string, reason: string): Error {
  return FST_USERS_INVALID_SECRET([option, reason])
}
