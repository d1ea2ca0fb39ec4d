import type { Backend } from '../contracts/backend.js'
import type { PublicJwk } from '../contracts/keys.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'

/**
 * Returns the public keys of backends, each once. Throws `FST_USERS_INVALID_OPTION` for different keys with one `kid`
 * (RFC 7517, section 4.5).
 */
export function collectPublicKeys (backends: Iterable<Pick<Backend, 'strategy'>>): PublicJwk[] {
  const found = new Map<string, PublicJwk>()
  for (const { strategy } of backends) {
    for (const { publicJwk } of strategy.description?.keys ?? []) {
      if (publicJwk === null) continue
      const other = found.get(publicJwk.kid)
      if (other !== undefined && !isSameKey(other, publicJwk)) {
        throw FST_USERS_INVALID_OPTION([
          'jwtStrategy.keys',
          `has different keys with the kid "${publicJwk.kid}"; give each its own kid, or set routes: { jwks: false }`
        ])
      }
      found.set(publicJwk.kid, publicJwk)
    }
  }
  return [...found.values()]
}

function isSameKey (a: PublicJwk, b: PublicJwk): boolean {
  return a.alg === b.alg && a.n === b.n && a.e === b.e && a.x === b.x && a.y === b.y
}
