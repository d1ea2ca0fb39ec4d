import type { FastifyInstance } from 'fastify'
import type { BackendDefaults } from '../../contracts/definition.js'
import type { RevocationStoreDefinition } from '../../contracts/revocations.js'
import type { Session } from '../../contracts/session.js'
import type { Strategy, StrategyDefinition, TokenSubject } from '../../contracts/strategy.js'
import type { UserRow } from '../../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import {
  checkJwtKey,
  createJwtCodec,
  describeKey,
  type Claims,
  type JwtAlgorithm,
  type JwtCodec,
  type JwtKey,
  type JwtKeyOptions
} from '../../tokens/index.js'
import { checkKnownKeys, checkOption } from '../../shared/option-checks.js'
import { isObject, isPromise } from '../../shared/values.js'
import { defineStrategy } from '../define.js'
import { checkSessionLifetime } from '../lifetime.js'
import type { Revocations } from './revocations.js'
import { revokedSessionModel } from './revoked-session-model.js'
import { asSigned, claimsOfSession, sessionIdOfClaims, sessionOfClaims } from './session-claims.js'

/** Options of `jwtStrategy`. */
export interface JwtStrategyOptions extends Omit<JwtKeyOptions, 'kid'> {
  /** Lifetime of a token in seconds. Default 600. Null: tokens never expire; needs `endlessTokens`. */
  lifetimeSeconds?: number | null
  /**
   * Several keys, each with its `kid`. The first one signs, all of them verify. Replaces `secret`, `privateKey` and
   * `publicKey`. A key with only `publicKey` verifies and is published, but does not sign.
   */
  keys?: readonly JwtKeyOptions[]
  /** Signature algorithm: HS256, HS384, HS512, RS256, ES256 or EdDSA. Default: HS256. */
  algorithm?: JwtAlgorithm
  /** The claim `aud` of new tokens. A token must name at least one of these values. Default: `<name>:auth`. */
  audience?: readonly string[]
  /**
   * A logout and the end of one session end its tokens. True: revoked sessions are stored in the database until their
   * tokens have expired. `redisRevocations({ client })`: in Redis. Default: false, a token is valid until it expires.
   */
  revocable?: boolean | RevocationStoreDefinition
}

/**
 * Number of verified tokens to cache. Verifying an HMAC costs more than the rest of the guard, ES256 ten times that. An
 * entry has about 1 kB.
 */
const CACHED_SIGNATURES = 10_000
const DEFAULT_LIFETIME_SECONDS = 600
const KEYS = ['lifetimeSeconds', 'keys', 'algorithm', 'audience', 'secret', 'privateKey', 'publicKey', 'revocable']

/**
 * Creates a strategy with signed tokens (RFC 7519, RFC 8725) that are not stored. Every request loads the user, and the
 * claim `ver` must equal the user's security stamp, so password changes and `endSessions` revoke all tokens at once. A
 * logout revokes the token only with `revocable`. Without a key, the keys are derived from the plugin's `secret`.
 * Throws `FST_USERS_INVALID_SECRET`, `FST_USERS_INVALID_OPTION`.
 *
 * @example
 * jwtStrategy({ lifetimeSeconds: 3600 })
 */
export function jwtStrategy (options: JwtStrategyOptions = {}): StrategyDefinition {
  checkKnownKeys('jwtStrategy.', options, KEYS)
  if (options.audience !== undefined && !isAudience(options.audience)) {
    throw FST_USERS_INVALID_OPTION(['jwtStrategy.audience', 'must be a list of at least one non-empty string'])
  }
  const { revocable = false } = options
  checkOption('jwtStrategy.revocable', revocable, isRevocableOption, 'must be true, false or redisRevocations({ client })')
  return defineStrategy({
    name: 'jwt',
    ...(revocable === true ? { models: () => [revokedSessionModel] } : {}),
    async setup (scope, defaults) {
      const { settings } = defaults
      const { signedTokens } = settings.wire
      const { lifetimeSeconds: given = DEFAULT_LIFETIME_SECONDS } = options
      const lifetimeSeconds = checkSessionLifetime('jwtStrategy.lifetimeSeconds', given, settings)
      const keys = readKeys(options, defaults, lifetimeSeconds)
      const codec = await createJwtCodec(scope, {
        keys,
        audience: options.audience ?? [signedTokens.audienceOf('auth')],
        lifetimeSeconds,
        clock: settings.clock,
        issuedAt: signedTokens.issuedAt,
        strict: signedTokens.requireStamp,
        required: signedTokens.requireStamp ? ['ver'] : [],
        cachedSignatures: CACHED_SIGNATURES
      })

      const revocations = await startRevocations(revocable, scope, defaults, lifetimeSeconds)

      return {
        description: { lifetimeSeconds, keys: keys.map(describeKey) },
        readToken (token, { users }) {
          const claims = codec.read(token)
          const id = claims === null ? null : users.parseId(claims.sub)
          if (claims === null || id === null || revocations?.isOutdated(claims) === true) return null
          const row = revocations === null
            ? users.getRow(id)
            : revocations.readUser(users, id, sessionIdOfClaims(claims, token))
          return isPromise(row)
            ? row.then((found) => subjectOfClaims(found, claims, token))
            : subjectOfClaims(row, claims, token)
        },
        writeToken (row, { stamp, session }) {
          const token = codec.sign({ sub: String(row.id), ver: stamp, ...claimsOfSession(session) })
          return { token, lifetimeSeconds, session: asSigned(session, signedTokens.issuedAt) }
        },
        ...(revocations === null ? {} : createDestroyMethods(revocations, codec))
      }
    }
  })
}

/** Loads the code of revocations only if it is needed. */
async function startRevocations (
  revocable: boolean | RevocationStoreDefinition,
  scope: FastifyInstance,
  defaults: BackendDefaults,
  lifetimeSeconds: number | null
): Promise<Revocations | null> {
  if (revocable === false) return null
  const { createRevocations, databaseRevocations } = await import('./revocations.js')
  const { name } = defaults.settings
  const store = revocable === true ? databaseRevocations(defaults) : revocable.setup(scope, { name })
  return createRevocations(store, lifetimeSeconds, defaults)
}

/** Returns the functions of a strategy that end sessions. */
function createDestroyMethods (
  revocations: Revocations,
  codec: JwtCodec
): Pick<Strategy, 'destroyToken' | 'destroySession'> {
  return {
    async destroyToken (token, user) {
      const claims = codec.read(token)
      if (claims !== null) await revocations.revoke(user, sessionIdOfClaims(claims, token), claims['exp'])
    },
    async destroySession (user, id) {
      await revocations.revoke(user, id)
      return null // the strategy does not know which sessions exist
    }
  }
}

function isRevocableOption (value: unknown): boolean {
  return typeof value === 'boolean' || (isObject(value) && value['kind'] === 'revocations')
}

function subjectOfClaims (row: UserRow | null, claims: Claims, token: string): TokenSubject | null {
  if (row === null) return null
  const session = (): Session => sessionOfClaims(claims, token)
  return claims['ver'] === undefined ? { row, session } : { row, stamp: String(claims['ver']), session }
}

function readKeys (
  { keys, algorithm = 'HS256', secret, privateKey, publicKey }: JwtStrategyOptions,
  { backend, keysFor }: BackendDefaults,
  lifetimeSeconds: number | null
): JwtKey[] {
  if (keys !== undefined) {
    if (!Array.isArray(keys) || secret !== undefined || privateKey !== undefined || publicKey !== undefined) {
      throw FST_USERS_INVALID_OPTION([
        'jwtStrategy.keys',
        'must be a list, and cannot be combined with secret, privateKey or publicKey'
      ])
    }
    return checkUniqueKids(keys.map((key, i) => checkJwtKey(`jwtStrategy.keys[${i}]`, { algorithm, ...key })))
  }
  if (secret === undefined && privateKey === undefined && publicKey === undefined) {
    if (!algorithm.startsWith('HS')) {
      throw FST_USERS_INVALID_OPTION(['jwtStrategy.algorithm', `${algorithm} needs privateKey and publicKey`])
    }
    return keysFor(`backend:${backend}`, lifetimeSeconds).map((key) => checkJwtKey('secret', { algorithm, ...key }))
  }
  return [checkJwtKey('jwtStrategy.secret', { algorithm, ...withoutUndefined({ secret, privateKey, publicKey }) })]
}

function isAudience (audience: unknown): boolean {
  return (
    Array.isArray(audience) && audience.length > 0 && audience.every((name) => typeof name === 'string' && name !== '')
  )
}

function checkUniqueKids (keys: JwtKey[]): JwtKey[] {
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) {
    throw FST_USERS_INVALID_OPTION(['jwtStrategy.keys', 'must have different values of `kid`'])
  }
  return keys
}

function withoutUndefined<T extends object> (values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const defined = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(defined) as { [K in keyof T]?: Exclude<T[K], undefined> } // the filter removed undefined
}
