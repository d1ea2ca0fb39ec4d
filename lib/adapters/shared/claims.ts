import { FST_USERS_INVALID_OPTION } from '../../errors.js'

/**
 * Symbol property of a client that holds its tables and keys in use. It is registered globally, so that two copies of
 * the package share it.
 */
const kClaims = Symbol.for('fastify-users.claims')

interface Claim {
  readonly tenant: string
  count: number
}
type Claimed = object & { [kClaims]?: Map<string, Claim> }

/** The name of a table, collection or key prefix, and the tenant that uses it. */
export type StorageName = readonly [place: string, tenant: string]

/**
 * Records which tables, collections or key prefixes each tenant uses through a client. Returns the function that
 * deletes these records. Throws `FST_USERS_INVALID_OPTION` if another tenant uses one of them through the same client
 * object.
 */
export function claimStorageNames (client: object, option: string, places: readonly StorageName[]): () => void {
  const claims = claimsOf(client)
  for (const [place, tenant] of places) {
    const other = claims.get(place)?.tenant
    if (other !== undefined && other !== tenant) throw sharedPlace(option, place, other, tenant)
  }
  for (const [place, tenant] of places) {
    const claim = claims.get(place) ?? { tenant, count: 0 }
    claim.count++
    claims.set(place, claim)
  }
  return () => {
    for (const [place] of places) {
      const claim = claims.get(place)
      if (claim !== undefined && --claim.count === 0) claims.delete(place)
    }
  }
}

/** Throws `FST_USERS_INVALID_OPTION` if two models of one adapter have the same table or collection. */
export function checkDistinctStorage (option: string, places: readonly StorageName[]): void {
  const known = new Map<string, string>()
  for (const [place, tenant] of places) {
    const other = known.get(place)
    if (other !== undefined) throw sharedPlace(option, place, other, tenant)
    known.set(place, tenant)
  }
}

function sharedPlace (option: string, place: string, one: string, other: string): Error {
  const users = one === other ? `two models of the users named "${one}"` : `the users named "${one}" and "${other}"`
  return FST_USERS_INVALID_OPTION([option, `${users} would share ${place}; configure a different name for each, or leave the option out`])
}

function claimsOf (client: Claimed): Map<string, Claim> {
  const known = client[kClaims]
  if (known !== undefined) return known
  const claims = new Map<string, Claim>()
  if (Object.isExtensible(client)) Object.defineProperty(client, kClaims, { value: claims })
  return claims
}
