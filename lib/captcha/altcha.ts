import { Type } from '@sinclair/typebox'
import type { CaptchaKit, CaptchaProvider } from '../contracts/captcha.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'
import { isObject } from '../shared/values.js'

/** Options of `altcha`. */
export interface AltchaOptions {
  /** Iterations of PBKDF2 per guess, from 1 to 1,000,000. The server needs the same for each check. Default 5000. */
  cost?: number
  /**
   * Leading zeros of the wanted key in hexadecimal digits, from 1 to 6. Each further zero means 16 times the guesses.
   * Default 2.
   */
  zeros?: number
  /** Seconds in which a challenge must be solved and sent, from 10 to 3600. Default 300. */
  lifetimeSeconds?: number
}

type Library = typeof import('altcha-lib')
type DeriveKey = Parameters<Library['verifySolution']>[0]['deriveKey']
type Payload = Pick<Parameters<Library['verifySolution']>[0], 'challenge' | 'solution'>

const ALGORITHM = 'PBKDF2/SHA-256'

const Challenge = Type.Object({
  parameters: Type.Object(
    {
      algorithm: Type.String(),
      cost: Type.Integer(),
      expiresAt: Type.Integer({ description: 'Seconds since 1970.' }),
      keyLength: Type.Integer(),
      keyPrefix: Type.String(),
      nonce: Type.String(),
      salt: Type.String()
    },
    { additionalProperties: true }
  ),
  signature: Type.String()
}, { description: 'A challenge for the widget of ALTCHA.' })

/**
 * Creates the provider for ALTCHA (https://altcha.org), which needs no service: the browser solves a challenge of
 * `GET /auth/captcha` by work, and each solution is accepted once. Its widget sends the body field `altcha`. It needs
 * the package `altcha-lib` 2 and the table `single_use`. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function altcha (options: AltchaOptions = {}): CaptchaProvider {
  checkKnownKeys('altcha.', options, ['cost', 'zeros', 'lifetimeSeconds'])
  const cost = readNumber('cost', options.cost ?? 5000, 1, 1_000_000)
  const zeros = readNumber('zeros', options.zeros ?? 2, 1, 6)
  const lifetimeSeconds = readNumber('lifetimeSeconds', options.lifetimeSeconds ?? 300, 10, 3600)

  return {
    name: 'altcha',
    field: 'altcha',
    usesStore: true,
    challengeSchema: Challenge,
    async open (kit) {
      const { createChallenge, verifySolution } = await loadAltcha()
      const { deriveKey } = await loadAlgorithm()
      return {
        createChallenge: () => createChallenge({
          algorithm: ALGORITHM,
          cost,
          deriveKey,
          keyPrefix: '0'.repeat(zeros),
          expiresAt: Math.floor(kit.clock() / 1000) + lifetimeSeconds,
          hmacSignatureSecret: kit.keys[0]?.secret as string // there is one key per secret, and at least one secret
        }),
        async verify ({ token }) {
          const payload = readPayload(token)
          const expiresAt = (payload?.challenge.parameters.expiresAt ?? 0) * 1000
          if (payload === null || expiresAt <= kit.clock()) return false
          if (!(await isSolved(payload, verifySolution, deriveKey, kit))) return false
          // the nonce is signed, so it cannot be changed to use the solution again
          return await kit.claim(`altcha:${payload.challenge.parameters.nonce}`, new Date(expiresAt))
        }
      }
    }
  }
}

/** Returns true if one of the keys signed the challenge, and the solution has the wanted key. */
async function isSolved (
  payload: Payload,
  verifySolution: Library['verifySolution'],
  deriveKey: DeriveKey,
  { keys }: CaptchaKit
): Promise<boolean> {
  for (const { secret } of keys) {
    const { verified } = await verifySolution({ ...payload, deriveKey, hmacSignatureSecret: secret })
    if (verified) return true
  }
  return false
}

/** Returns the challenge and the solution that the widget sent as JSON in Base64; null for any other text. */
function readPayload (token: string): Payload | null {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token, 'base64').toString('utf8'))
    return isPayload(payload) ? payload : null
  } catch {
    return null
  }
}

function isPayload (value: unknown): value is Payload {
  if (!isObject(value) || !isObject(value['challenge']) || !isObject(value['solution'])) return false
  const { parameters, signature } = value['challenge']
  if (!isObject(parameters) || typeof signature !== 'string') return false
  const isPlain = Object.values(parameters).every((part) => ['string', 'number'].includes(typeof part))
  return isPlain && typeof parameters['nonce'] === 'string' && typeof parameters['expiresAt'] === 'number'
}

function readNumber (name: string, value: number, least: number, most: number): number {
  const isInRange = (given: number): boolean => Number.isInteger(given) && given >= least && given <= most
  return checkOption(`altcha.${name}`, value, isInRange, `must be a whole number from ${least} to ${most}`)
}

const loadAltcha = (): Promise<Library> => import('altcha-lib').catch(refuseMissingAltcha)
const loadAlgorithm = (): Promise<{ deriveKey: DeriveKey }> =>
  import('altcha-lib/algorithms/pbkdf2').catch(refuseMissingAltcha)

function refuseMissingAltcha (cause: unknown): never {
  throw FST_USERS_INVALID_OPTION(
    ['captcha.provider', 'altcha() needs the package altcha-lib 2; run `npm install altcha-lib@2`'],
    { cause }
  )
}
