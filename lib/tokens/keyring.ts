import type { PurposeKey } from '../contracts/definition.js'
import { deriveKeys } from './keys.js'

/** Derives keys from the secrets of one registration, and remembers how long each secret is needed. */
export interface Keyring {
  /** Returns the keys of a purpose. `lifetimeSeconds` is the longest lifetime of what they protect; null for no end. */
  keysFor(purpose: string, lifetimeSeconds?: number | null): readonly PurposeKey[]
  /** Number of secrets. */
  readonly count: number
  /** Like `keysFor`, but returns only the derived secrets. */
  secretsFor(purpose: string, lifetimeSeconds?: number | null): [string, ...string[]]
  /** Longest lifetime in seconds by purpose; null for no end, undefined if no caller named it. */
  readonly uses: ReadonlyMap<string, number | null | undefined>
}

/** Creates the keyring of a tenant. */
export function createKeyring (secrets: readonly string[], tenant: string): Keyring {
  const uses = new Map<string, number | null | undefined>()
  function keysFor (purpose: string, lifetimeSeconds?: number | null): PurposeKey[] {
    uses.set(purpose, longerOf(uses.get(purpose), lifetimeSeconds))
    return deriveKeys(secrets, `${tenant}:${purpose}`)
  }
  return {
    count: secrets.length,
    keysFor,
    // there is one key per secret, and at least one secret
    secretsFor: (...use) => keysFor(...use).map(({ secret }) => secret) as [string, ...string[]],
    uses
  }
}

function longerOf (a: number | null | undefined, b: number | null | undefined): number | null | undefined {
  if (a === undefined || b === null) return b
  return b === undefined || a === null ? a : Math.max(a, b)
}
