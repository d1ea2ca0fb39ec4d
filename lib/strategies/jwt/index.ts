import type { BackendDefaults } from '../../contracts/definition.js'
import type { StrategyDefinition, TokenSubject } from '../../contracts/strategy.js'
import type { UserRow } from '../../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import {
  checkJwtKey,
  createJwtCodec,
  type Claims,
  type JwtAlgorithm,
  type JwtKey,
  type JwtKeyOptions
} from '../../tokens/index.js'
import { refuseUnknown } from '../../validation/options.js'
import { defineStrategy } from '../define.js'
import { checkLifetime } from '../lifetime.js'

/** Options of `jwtStrategy`. */
export interface JwtStrategyOptions extends Omit<JwtKeyOptions, 'kid'> {
  /** Seconds that a token lives; null for ever (needs `endlessTokens`). */
  lifetimeSeconds: number | null
  /**
   * Several keys, each with its `kid`: the first signs, all verify. Instead of `secret` and `privateKey`/`publicKey`.
   */
  keys?: readonly JwtKeyOptions[]
  /** HS256 (default), HS384, HS512, RS256, ES256 or EdDSA. */
  algorithm?: JwtAlgorithm
  /** Written as it is; a token must name one of them (default: `<users>:auth`). */
  audience?: readonly string[]
}

const REMEMBERED = 1000 // signatures: an HMAC costs as much as the rest of the guard, ES256 ten times that
const KEYS = ['lifetimeSeconds', 'keys', 'algorithm', 'audience', 'secret', 'privateKey', 'publicKey']

/**
 * Signed tokens (RFC 7519, RFC 8725): nothing is stored; the user is loaded for each request, and `ver` must be the
 * user's
 * stamp, so that password changes and `endSessions` act at once. A single logout does not end the token. Without a key
 * of its own it takes keys from the plugin's secrets. Throws `FST_USERS_INVALID_SECRET`, `FST_USERS_INVALID_OPTION`.
 */
export function jwtStrategy (options: JwtStrategyOptions): StrategyDefinition {
  refuseUnknown('jwtStrategy.', options, KEYS)
  if (options.audience !== undefined && !isAudience(options.audience)) {
    throw FST_USERS_INVALID_OPTION(['jwtStrategy.audience', 'must be a list of at least one non-empty text'])
  }
  return defineStrategy({
    name: 'jwt',
    async setup (scope, defaults) {
      const { settings } = defaults
      const lifetimeSeconds = checkLifetime('jwtStrategy.lifetimeSeconds', options.lifetimeSeconds, settings)
      const codec = await createJwtCodec(scope, {
        keys: readKeys(options, defaults),
        audience: options.audience ?? [`${settings.audiencePrefix}:auth`],
        lifetimeSeconds,
        clock: settings.clock,
        issuedAt: settings.issuedAt,
        strict: settings.requireStamp,
        required: settings.requireStamp ? ['ver'] : [],
        cachedSignatures: REMEMBERED
      })

      return {
        readToken (token, { users }) {
          const claims = codec.read(token)
          const id = claims === null ? null : users.parseId(claims.sub)
          if (claims === null || id === null) return null
          const row = users.getRow(id)
          return row instanceof Promise ? row.then((found) => subjectOf(found, claims)) : subjectOf(row, claims)
        },
        writeToken: (row, { stamp }) => ({ token: codec.sign({ sub: String(row.id), ver: stamp }), lifetimeSeconds })
      }
    }
  })
}

function subjectOf (row: UserRow | null, { ver }: Claims): TokenSubject | null {
  if (row === null) return null
  return ver === undefined ? { row } : { row, stamp: String(ver) }
}

function readKeys (
  { keys, algorithm = 'HS256', secret, privateKey, publicKey }: JwtStrategyOptions,
  { backend, keysFor }: BackendDefaults
): JwtKey[] {
  if (keys !== undefined) {
    if (!Array.isArray(keys) || secret !== undefined || privateKey !== undefined || publicKey !== undefined) {
      throw FST_USERS_INVALID_OPTION([
        'jwtStrategy.keys',
        'must be a list, and stands instead of secret, privateKey and publicKey'
      ])
    }
    return checkKids(keys.map((key, i) => checkJwtKey(`jwtStrategy.keys[${i}]`, { algorithm, ...key })))
  }
  if (secret === undefined && privateKey === undefined && publicKey === undefined) {
    if (!algorithm.startsWith('HS')) {
      throw FST_USERS_INVALID_OPTION(['jwtStrategy.algorithm', `${algorithm} needs privateKey and publicKey`])
    }
    return keysFor(`backend:${backend}`).map((key) => checkJwtKey('secret', { algorithm, ...key }))
  }
  return [checkJwtKey('jwtStrategy.secret', { algorithm, ...defined({ secret, privateKey, publicKey }) })]
}

function isAudience (audience: unknown): boolean {
  return (
    Array.isArray(audience) && audience.length > 0 && audience.every((name) => typeof name === 'string' && name !== '')
  )
}

function checkKids (keys: JwtKey[]): JwtKey[] {
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) {
    throw FST_USERS_INVALID_OPTION(['jwtStrategy.keys', 'must each have a kid of its own'])
  }
  return keys
}

function defined<T extends object> (values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  } // says what the filter does
}
