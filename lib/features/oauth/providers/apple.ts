import { createPrivateKey, sign, type KeyObject } from 'node:crypto'
import { defineProvider, type PublicClientOptions } from './define-provider.js'
import { textMatching } from './option-checks.js'
import { objectOf, profileOf } from './profiles.js'

/** Options of `apple`. */
export interface AppleOptions extends Omit<PublicClientOptions, 'clientSecret'> {
  /** Team id of the developer account: ten characters. */
  teamId: string
  /** Id of the private key: ten characters. */
  keyId: string
  /** Private key: the content of the `.p8` file. */
  privateKey: string
}

const ISSUER = 'https://appleid.apple.com'
const SECRET_SECONDS = 300 // long enough for one token request; Apple allows six months

/** Apple. It sends the callback as a form post. The user's name, which Apple sends only once, is not read. */
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
    teamId: textMatching(/^[A-Z0-9]{10}$/, 'must be ten capital letters and digits'),
    keyId: textMatching(/^[A-Z0-9]{10}$/, 'must be ten capital letters and digits'),
    privateKey: (value) => (isP256Key(value) ? null : 'must be the content of a .p8 file: a P-256 private key in PEM')
  },
  responseMode: 'form_post',
  idToken: true,
  trustEmail: true, // Apple verifies the e-mail, or sends one of its own relay e-mails
  async profile ({ claims }) {
    const { sub, email, email_verified: verified } = objectOf(claims)
    // Apple sends the flag as a boolean or as a string
    return profileOf(sub, email, verified === 'true' || verified, { ...claims })
  }
})

/** Creates the signed JWT (RFC 7523, section 2.2) that Apple requires as the client secret. */
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

function isP256Key (value: unknown): boolean {
  try {
    return typeof value === 'string' && createPrivateKey(value).asymmetricKeyDetails?.namedCurve === 'prime256v1'
  } catch {
    return false
  }
}
