import { createHash, type KeyObject } from 'node:crypto'
import type { JwtAlgorithm, PublicJwk } from '../contracts/keys.js'

type Members = Pick<PublicJwk, 'kty' | 'n' | 'e' | 'crv' | 'x' | 'y'>

/** Returns a public key as a JWK. Without a `kid`, it is the SHA-256 thumbprint of the key (RFC 7638). */
export function publicJwkOf (key: KeyObject, algorithm: JwtAlgorithm, kid: string | undefined): PublicJwk {
  const members = requiredMembers(key)
  return { ...members, use: 'sig', alg: algorithm, kid: kid ?? thumbprintOf(members) }
}

/** Returns the members that define a public key, in the order of their names (RFC 7638, section 3.2). */
function requiredMembers (key: KeyObject): Members {
  // the keys that `checkJwtKey` accepts have exactly the members of their type
  const { kty, n, e, crv, x, y } = key.export({ format: 'jwk' }) as Required<Members>
  if (kty === 'RSA') return { e, kty, n }
  return kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x }
}

function thumbprintOf (members: Members): string {
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}
