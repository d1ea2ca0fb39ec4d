import { createHmac, generateKeyPairSync, sign, type JsonWebKey, type KeyObject } from 'node:crypto'

export type SigningAlgorithm = 'RS256' | 'ES256'

interface SigningKey {
  kid: string
  privateKey: KeyObject
  jwk: JsonWebKey
}

/** Signs valid and invalid ID tokens. */
export interface TokenSigner {
  /** The body of the JWKS endpoint's reply. */
  jwks: { keys: JsonWebKey[] }
  sign(claims: object, how?: SigningOptions): string
}

export interface SigningOptions {
  /** Attacks use `none` (no signature) and `HS256` (signed with `hmacSecret`). The default is RS256. */
  alg?: SigningAlgorithm | 'none' | 'HS256'
  /** Signs with a key that is missing in the JWKS, with the `kid` of a key of the JWKS. */
  foreignKey?: boolean
  /** The `kid` of the header. The default is that of the key. */
  kid?: string
  hmacSecret?: string
  header?: object
}

// creating an RSA key takes long: all servers of a test file share one set
const keys = { RS256: makeKey('RS256', 'rsa-1'), ES256: makeKey('ES256', 'ec-1') }

const foreignKeys = new Map<string, SigningKey>()

/** Creates a signer for both algorithms. */
export function makeSigner (): TokenSigner {
  return {
    jwks: { keys: [keys.RS256.jwk, keys.ES256.jwk] },
    sign (claims, { alg = 'RS256', foreignKey = false, kid, hmacSecret = '', header = {} } = {}) {
      if (alg === 'none') return `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}.`
      const known = alg === 'ES256' ? keys.ES256 : keys.RS256
      const input = `${encode({ alg, typ: 'JWT', kid: kid ?? known.kid, ...header })}.${encode(claims)}`
      if (alg === 'HS256') return `${input}.${createHmac('sha256', hmacSecret).update(input).digest('base64url')}`
      const { privateKey } = foreignKey ? findForeignKey(alg, known.kid) : known
      return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    }
  }
}

/** Returns a key that the JWKS does not contain. Creates one for each algorithm and key id. */
function findForeignKey (alg: SigningAlgorithm, kid: string): SigningKey {
  const key = foreignKeys.get(`${alg} ${kid}`) ?? makeKey(alg, kid)
  foreignKeys.set(`${alg} ${kid}`, key)
  return key
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
