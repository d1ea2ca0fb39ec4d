import { createHmac, generateKeyPairSync, sign, type JsonWebKey, type KeyObject } from 'node:crypto'

export type SigningAlgorithm = 'RS256' | 'ES256'

interface SigningKey {
  kid: string
  privateKey: KeyObject
  jwk: JsonWebKey
}

/** Signs id_tokens, well or ill. */
export interface TokenSigner {
  /** What the JWKS endpoint gives. */
  jwks: { keys: JsonWebKey[] }
  sign(claims: object, how?: SigningOptions): string
}

export interface SigningOptions {
  /** `none` and `HS256` are for attacks: no signature, or one with the client secret's bytes. */
  alg?: SigningAlgorithm | 'none' | 'HS256'
  /** A key that the JWKS does not list, under the kid of one that it does. */
  foreignKey?: boolean
  /** Another key id. */
  kid?: string
  hmacSecret?: string
  header?: object
}

// RSA keys take long to make: one set serves all servers of a test file
const keys = { RS256: makeKey('RS256', 'rsa-1'), ES256: makeKey('ES256', 'ec-1') }

/** A signer of both algorithms. */
export function makeSigner (): TokenSigner {
  return {
    jwks: { keys: [keys.RS256.jwk, keys.ES256.jwk] },
    sign (claims, { alg = 'RS256', foreignKey = false, kid, hmacSecret = '', header = {} } = {}) {
      if (alg === 'none') return `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}.`
      const known = alg === 'ES256' ? keys.ES256 : keys.RS256
      const input = `${encode({ alg, typ: 'JWT', kid: kid ?? known.kid, ...header })}.${encode(claims)}`
      if (alg === 'HS256') return `${input}.${createHmac('sha256', hmacSecret).update(input).digest('base64url')}`
      const { privateKey } = foreignKey ? makeKey(alg, known.kid) : known
      return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    }
  }
}

function makeKey (alg: SigningAlgorithm, kid: string): SigningKey {
  const { privateKey, publicKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

function encode (value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
