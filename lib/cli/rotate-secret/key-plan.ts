import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { BackendProfile, SecurityProfile } from '../../contracts/security-profile.js'
import { publicJwkOf } from '../../tokens/index.js'
import { formatTime, longestOf, timeAfter, type Lifetime, type RotationPlan } from './rotation-plan.js'

/** Algorithms of key pairs that `--keys` accepts. */
export const KEY_ALGORITHMS = ['ES256', 'EdDSA', 'RS256'] as const
/** One of these algorithms. */
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number]

const RSA_BITS = 3072 // NIST SP 800-57 part 1: 128 bits of security

/** Times of a rotation. */
export interface RotationTimes {
  readonly now: Date
  /** The time when the new key signs everywhere; null for the earliest one. */
  readonly switched: Date | null
}

/** Creates a key pair and plans how it replaces those of the JWT backends. */
export function planKeyPair (
  { backends, jwks }: SecurityProfile,
  algorithm: KeyAlgorithm,
  { now, switched }: RotationTimes
): RotationPlan {
  const { privateKey, kid, publicPem } = createKeyPair(algorithm)
  const rotated = backends.filter(({ keys }) => keys.some(({ algorithm }) => !algorithm.startsWith('HS')))
  const key = (part: 'privateKey' | 'publicKey'): string => `{ kid: '${kid}', algorithm: '${algorithm}', ${part} }`
  const list = (...keys: string[]): string => `keys: [${keys.join(', ')}]`
  const created = [
    { name: `A new private key for ${algorithm} with the kid ${kid}`, value: privateKey },
    { name: 'Its public key', value: publicPem }
  ]
  if (rotated.length === 0) return { created, ...planFirstKey(list(key('privateKey'))) }
  const lifetimes = rotated.map(({ name, lifetimeSeconds }): Lifetime => ({
    about: `tokens of the backend "${name}"`,
    seconds: lifetimeSeconds
  }))
  const published = timeAfter(now, jwks?.maxAgeSeconds ?? 0)
  const start = switched ?? published
  return {
    created,
    steps: [
      { text: 'Publish the public key and accept its tokens', option: list('PRESENT', key('publicKey')), notBefore: null },
      {
        text: 'Sign with the new key, and keep only the public part of the present one',
        option: list(key('privateKey'), 'PRESENT'),
        notBefore: jwks === null ? null : published
      },
      {
        text: 'Remove the present key',
        option: list(key('privateKey')),
        notBefore: timeAfter(start, longestOf(lifetimes))
      }
    ],
    lifetimes,
    notes: [
      `PRESENT stands for ${rotated.map(describePresent).join(' and for ')}.`,
      ...(jwks === null
        ? []
        : [`Other programs load the keys of ${jwks.path} again after ${jwks.maxAgeSeconds} seconds.`]),
      `The last step counts from the end of step 2, which is ${formatTime(start)} here. --at TIME sets another time.`
    ]
  }
}

function planFirstKey (option: string): Omit<RotationPlan, 'created'> {
  return {
    steps: [{ text: 'Set the key in jwtStrategy, in place of `secret`', option, notBefore: null }],
    lifetimes: [],
    notes: ['No backend has a key pair yet. Tokens that were signed with a secret end with the first step.']
  }
}

function describePresent ({ name, keys }: BackendProfile): string {
  return `the keys of the backend "${name}" (${keys.map(({ kid }) => `kid ${String(kid)}`).join(', ')})`
}

function createKeyPair (algorithm: KeyAlgorithm): { kid: string; privateKey: string; publicPem: string } {
  const key = generateKey(algorithm)
  const publicKey = createPublicKey(key)
  return {
    kid: publicJwkOf(publicKey, algorithm, undefined).kid,
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString()
  }
}

function generateKey (algorithm: KeyAlgorithm): KeyObject {
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: RSA_BITS }).privateKey
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519').privateKey
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}
