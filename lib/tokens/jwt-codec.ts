import { hash, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { JWT } from '@fastify/jwt'
import { TOKEN_MAX_LENGTH } from '../../schemas/index.js'
import type { Clock } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import packages from '../packages.cjs'
import type { JwtAlgorithm, JwtKey } from './jwt-keys.js'

/** Payload of a valid token. */
export interface Claims {
  sub: string
  [claim: string]: unknown
}

/** Token with a valid signature, audience and form. It may be expired, and it may have no subject. */
export interface InspectedToken {
  claims: Readonly<Record<string, unknown>>
  expired: boolean
}

/** Signs and checks the tokens of one purpose. */
export interface JwtCodec {
  /** Creates a token. `jti` is random unless the claims contain it. */
  sign(claims: Readonly<Record<string, unknown>>): string
  /** Returns the claims of a valid token with a subject, or null. */
  read(token: string): Claims | null
  /** Like `read`, but also accepts expired tokens and tokens without a subject. */
  inspect(token: string): InspectedToken | null
}

/** Options of `createJwtCodec`. */
export interface JwtCodecOptions {
  /** The first key signs, all keys verify. Only the `kid` of the token's header selects the key. */
  keys: readonly JwtKey[]
  /** `aud` claim of new tokens. A token is valid if it has at least one of these audiences. */
  audience: string | readonly string[]
  /** Lifetime of new tokens in seconds, or null for tokens that never expire. */
  lifetimeSeconds: number | null
  clock: Clock
  /** New tokens have `iat`. */
  issuedAt: boolean
  /** Tokens must have `jti`, `exp` unless `lifetimeSeconds` is null, and `iat` if `issuedAt` is true. */
  strict: boolean
  /** Names of other claims that must be non-empty strings. */
  required: readonly string[]
  /**
   * Number of tokens whose claims are cached, if their signature and form are valid. Default 0. Times are checked on
   * each call.
   */
  cachedSignatures?: number
}

type Payload = Record<string, unknown>
/** Returns the claims of a token whose signature and form are valid, or null. */
type ReadVerified = (token: string) => Payload | null
interface Engine {
  key: JwtKey
  jwt: JWT
}

const NAMESPACE = 'fastifyUsers'
/**
 * Largest difference between the clocks of processes, in milliseconds (RFC 7519, section 4.1.5). It applies to `nbf`
 * and `iat`, never to `exp`.
 */
const CLOCK_SKEW_MS = 60_000
/** Longer tokens are not cached, which limits the memory of the cache. */
const CACHED_LENGTH = 1024 // characters

/**
 * Creates a codec (RFC 7519) that uses one encapsulated instance of `@fastify/jwt` per key. `@fastify/jwt` checks
 * signatures. This module checks the form, types, times and audiences with the plugin's clock.
 */
export async function createJwtCodec (scope: FastifyInstance, options: JwtCodecOptions): Promise<JwtCodec> {
  const engines: Engine[] = []
  for (const key of options.keys) await startEngine(scope, key, options.issuedAt, engines)
  const byKid = new Map(engines.map((engine) => [engine.key.kid, engine]))
  const unnamed = engines.filter(({ key }) => !key.isNamed)
  // tokens without a `kid`, such as those of other programs, belong to the only key that was configured without one
  if (unnamed.length === 1 && unnamed[0] !== undefined && !byKid.has(undefined)) byKid.set(undefined, unnamed[0])
  const byHeader = new Map(
    engines.filter(({ key }) => key.signKey !== null).map((engine) => [headerOf(engine), engine])
  )
  const [signer] = engines
  if (signer === undefined || signer.key.signKey === null) {
    throw FST_USERS_INVALID_OPTION(['keys', 'must start with a key that can sign: one with a secret or a privateKey'])
  }
  const audiences = new Set(typeof options.audience === 'string' ? [options.audience] : options.audience)

  function verifyToken (token: string): Payload | null {
    const header = token.slice(0, token.indexOf('.'))
    const engine = byHeader.get(header) ?? engineOfHeader(header, byKid)
    const payload = engine === undefined ? null : verifyJwt(engine, token)
    return payload !== null && checkForm(payload, audiences, options) ? Object.freeze(payload) : null
  }

  const { cachedSignatures = 0 } = options
  const readVerified = cachedSignatures === 0 ? verifyToken : cacheVerified(cachedSignatures, verifyToken)

  function parseToken (token: string, now: number): Payload | null {
    // an opaque token, which another backend may accept, has no dot
    if (token.length > TOKEN_MAX_LENGTH || !token.includes('.')) return null
    const payload = readVerified(token)
    return payload !== null && hasBegun(payload, now) ? payload : null
  }

  return {
    sign ({ jti = randomUUID(), ...claims }) {
      const seconds = Math.floor(options.clock() / 1000)
      return signer.jwt.sign({
        ...claims,
        aud: options.audience,
        ...(options.issuedAt ? { iat: seconds } : {}),
        ...(options.lifetimeSeconds === null ? {} : { exp: seconds + options.lifetimeSeconds }),
        jti
      })
    },

    read (token) {
      const now = options.clock()
      const payload = parseToken(token, now)
      return payload !== null && hasSubject(payload) && !isExpired(payload, now) ? payload : null
    },

    inspect (token) {
      const now = options.clock()
      const claims = parseToken(token, now)
      return claims && { claims, expired: isExpired(claims, now) }
    }
  }
}

/**
 * Returns a function that caches the claims of the last `limit` tokens that `verifyToken` accepted. The key is the
 * digest of the whole token (CVE-2026-35039), so the cache contains no token that could be used.
 */
function cacheVerified (limit: number, verifyToken: ReadVerified): ReadVerified {
  const half = Math.ceil(limit / 2)
  let recent = new Map<string, Payload>()
  let older = new Map<string, Payload>() // dropped as a whole when `recent` is full: this costs less than a queue
  return function readVerified (token) {
    if (token.length > CACHED_LENGTH) return verifyToken(token)
    const digest = hash('sha256', token, 'base64url')
    const known = recent.get(digest)
    if (known !== undefined) return known
    const claims = older.get(digest) ?? verifyToken(token)
    if (claims === null) return null
    if (recent.size >= half) {
      older = recent
      recent = new Map()
    }
    recent.set(digest, claims)
    return claims
  }
}

async function startEngine (scope: FastifyInstance, key: JwtKey, issuedAt: boolean, engines: Engine[]): Promise<void> {
  const { algorithm, signKey, verifyKey } = key
  await scope.register(async (keyScope) => {
    await keyScope.register(packages.fastifyJwt, {
      namespace: NAMESPACE,
      decoratorName: 'fastifyUsersJwt',
      secret: algorithm.startsWith('HS')
        ? verifyKey
        : ({ ...(signKey === null ? {} : { private: signKey }), public: verifyKey } as {
            private: string
            public: string
          }),
      sign: { algorithm, ...(key.kid === undefined ? {} : { kid: key.kid }), noTimestamp: !issuedAt },
      verify: { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
    })
    // the types of @fastify/jwt do not declare the property of a namespace
    const namespaces = keyScope.jwt as unknown as Record<string, JWT>
    const jwt = namespaces[NAMESPACE]
    delete namespaces[NAMESPACE] // the object may be the application's `app.jwt`
    if (jwt !== undefined) engines.push({ key, jwt })
  })
}

function headerOf ({ jwt }: Engine): string {
  const token = jwt.sign({})
  return token.slice(0, token.indexOf('.'))
}

/** Returns the engine for a header that this codec does not write. Only the `kid` selects the key. */
function engineOfHeader (segment: string, byKid: ReadonlyMap<string | undefined, Engine>): Engine | undefined {
  const header = parseObject(segment)
  if (header === null) return undefined
  const { alg, kid, typ, crit, b64 } = header
  if (crit !== undefined || b64 !== undefined || (kid !== undefined && typeof kid !== 'string')) return undefined
  if (typ !== undefined && (typeof typ !== 'string' || typ.toUpperCase() !== 'JWT')) return undefined
  const engine = byKid.get(kid)
  return engine !== undefined && engine.key.algorithm === (alg as JwtAlgorithm) ? engine : undefined
}

function parseObject (segment: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

function verifyJwt ({ jwt }: Engine, token: string): Payload | null {
  const last = token.slice(token.lastIndexOf('.') + 1)
  // unused bits must be zero (RFC 4648, section 3.5), so that a token has only one valid encoding
  if (Buffer.from(last, 'base64url').toString('base64url') !== last) return null
  try {
    const payload: unknown = jwt.verify(token)
    return typeof payload === 'object' && payload !== null && !Array.isArray(payload) ? (payload as Payload) : null
  } catch {
    return null
  }
}

function hasSubject (claims: Payload): claims is Claims {
  return typeof claims.sub === 'string' && claims.sub !== ''
}

function isExpired ({ exp }: Payload, now: number): boolean {
  return isTime(exp) && now >= exp * 1000
}

/** Checks what does not depend on the time: the audience, and the types and the presence of the claims. */
function checkForm (
  claims: Payload,
  audiences: ReadonlySet<unknown>,
  { issuedAt, strict, lifetimeSeconds, required }: JwtCodecOptions
): boolean {
  const { aud, exp, nbf, iat, jti } = claims
  if (exp === undefined ? strict && lifetimeSeconds !== null : !isTime(exp)) return false
  if (nbf !== undefined && !isTime(nbf)) return false
  if (iat === undefined ? strict && issuedAt : !Number.isInteger(iat)) return false
  if (jti === undefined ? strict : typeof jti !== 'string') return false
  if (!required.every((claim) => typeof claims[claim] === 'string' && claims[claim] !== '')) return false
  return Array.isArray(aud)
    ? aud.every((a) => typeof a === 'string') && aud.some((a) => audiences.has(a))
    : audiences.has(aud)
}

/** Returns false for a token of the future. The clock of the process that signed it may be up to a minute ahead. */
function hasBegun ({ nbf, iat }: Payload, now: number): boolean {
  const latest = now + CLOCK_SKEW_MS
  return !(isTime(nbf) && nbf * 1000 > latest) && !(isTime(iat) && iat * 1000 > latest)
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
