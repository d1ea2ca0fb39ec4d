import { createPrivateKey, sign, type KeyObject } from 'node:crypto'
import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { matches } from './option-checks.js'
import { objectOf, profileOf } from './profiles.js'

/** Options of `apple`. */
export interface AppleOptions extends Omit<PublicClientOptions, 'clientSecret'> {
  /** Ten characters, at the top of the developer account. */
  teamId: string
  /** The key's own ten characters. */
  keyId: string
  /** The text of the key's `.p8` file. */
  privateKey: string
}

const ISSUER = 'https://appleid.apple.com'
const SECRET_SECONDS = 300 // one exchange; Apple allows half a year

/** Apple. It posts its answer to the callback. A name, which it tells only once and only there, is not read. */
export const apple = defineProvider<AppleOptions>({
  name: 'apple',
  title: 'Apple',
  scopes: ['name', 'email'],
  server: {
    issuer: ISSUER,
    authorization_endpoint: `${ISSUER}/auth/authorize`,
    token_endpoint: `${ISSUER}/auth/token`,
    revocation_endpoint: `${ISSUER}/auth/revoke`,
    jwks_uri: `${ISSUER}/auth/keys`
  },
  clientSecret: ({ clientId, teamId, keyId, privateKey }) => {
    const key = createPrivateKey(privateKey)
    return () => signSecret(key, keyId, { iss: teamId, sub: clientId, aud: ISSUER })
  },
  options: {
    teamId: matches(/^[A-Z0-9]{10}$/, 'must be ten capital letters and digits'),
    keyId: matches(/^[A-Z0-9]{10}$/, 'must be ten capital letters and digits'),
    privateKey: (value) => (isKey(value) ? null : 'must be the text of a .p8 file: a P-256 private key in PEM')
  },
  responseMode: 'form_post',
  idToken: true,
  trustEmail: true, // Apple gives an address that it proved, or one of its own that forwards
  async profile ({ claims }) {
    const { sub, email, email_verified: verified } = objectOf(claims)
    // the flag is a boolean or, of old, text
    return profileOf(sub, email, verified === 'true' || verified, { ...claims })
  }
})

/** A client's proof of itself (RFC 7523, section 2.2), as Apple wants it in the place of a secret. */
function signSecret (key: KeyObject, kid: string, claims: { iss: string; sub: string; aud: string }): string {
  const iat = Math.floor(Date.now() / 1000)
  const input = [
    { alg: 'ES256', kid, typ: 'JWT' },
    { ...claims, iat, exp: iat + SECRET_SECONDS }
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

function isKey (value: unknown): boolean {
  try {
    return typeof value === 'string' && createPrivateKey(value).asymmetricKeyDetails?.namedCurve === 'prime256v1'
  } catch {
    return false
  }
}
