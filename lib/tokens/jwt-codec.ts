import { hash, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fastifyJwt, { type JWT } from '@fastify/jwt'
import { TOKEN_MAX_LENGTH } from '../../schemas/index.js'
import type { Clock } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import type { JwtAlgorithm, JwtKey } from './jwt-keys.js'

/** The payload of a checked token. */
export interface Claims {
  sub: string
  [claim: string]: unknown
}

/**
 * A token of ours: signed by one of our keys, for our audience, in good form. It may have ended, and may be nobody's.
 */
export interface InspectedToken {
  claims: Readonly<Record<string, unknown>>
  expired: boolean
}

/** Signs and checks the tokens of one purpose. */
export interface JwtCodec {
  /** Makes a token; `jti` is random unless it is given. */
  sign(claims: Record<string, string>): string
  /** The claims of a good token with a subject, else null. */
  read(token: string): Claims | null
  /** Like `read`, but tells a token that has ended from a bad one, and takes one without a subject. */
  inspect(token: string): InspectedToken | null
}

export interface JwtCodecOptions {
  /** The first signs, all verify; chosen by the `kid` of the header alone. */
  keys: readonly JwtKey[]
  /** Written as it is given; a token must name one of them. */
  audience: string | readonly string[]
  lifetimeSeconds: number | null
  clock: Clock
  issuedAt: boolean
  /** Tokens must have `exp` (unless they never end), `iat` (where ours do) and `jti`. */
  strict: boolean
  /** Further claims that a token must have as non-empty text. */
  required: readonly string[]
  /** How many good signatures are remembered (0). Only the signature: all else is checked on each read. */
  remembered?: number
}

type Payload = Record<string, unknown>
interface Engine {
  key: JwtKey
  jwt: JWT
}

const NAMESPACE = 'fastifyUsers'
/**
 * How far the clocks of our processes may differ, in milliseconds (RFC 7519, section 4.1.5). A token never lives longer
 * for it.
 */
const CLOCK_SKEW_MS = 60_000

/**
 * A codec (RFC 7519) on `@fastify/jwt`, one encapsulated instance per key. The engine checks signatures; forms, types,
 * times and audiences are checked here, by the plugin's clock.
 */
export async function createJwtCodec (scope: FastifyInstance, options: JwtCodecOptions): Promise<JwtCodec> {
  const engines: Engine[] = []
  for (const key of options.keys) await startEngine(scope, key, options.issuedAt, engines)
  const byKid = new Map(engines.map((engine) => [engine.key.kid, engine]))
  const byHeader = new Map(
    engines.filter(({ key }) => key.signKey !== null).map((engine) => [headerOf(engine), engine])
  )
  const [signer] = engines
  if (signer === undefined || signer.key.signKey === null) {
    throw FST_USERS_INVALID_OPTION(['keys', 'must start with a key that can sign: a secret, or a private key'])
  }
  const audiences = new Set(typeof options.audience === 'string' ? [options.audience] : options.audience)
  const checkSignature = remember(options.remembered ?? 0, (token) => {
    const header = token.slice(0, token.indexOf('.'))
    const engine = byHeader.get(header) ?? engineOfHeader(header, byKid)
    return engine === undefined ? null : verify(engine, token)
  })

  function open (token: string): Payload | null {
    if (token.length > TOKEN_MAX_LENGTH) return null
    const payload = checkSignature(token)
    return payload !== null && checkClaims(payload, audiences, options) ? payload : null
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
      const payload = open(token)
      return payload !== null && hasSubject(payload) && !hasEnded(payload, options.clock()) ? payload : null
    },

    inspect (token) {
      const claims = open(token)
      return claims && { claims, expired: hasEnded(claims, options.clock()) }
    }
  }
}

/**
 * Keeps the payloads of the last tokens whose signature was good, by the digest of the whole token (CVE-2026-35039).
 */
function remember (limit: number, check: (token: string) => Payload | null): (token: string) => Payload | null {
  if (limit === 0) return check
  const good = new Map<string, Payload>()
  return (token) => {
    const digest = hash('sha256', token, 'base64url')
    const known = good.get(digest)
    if (known !== undefined) return known
    const claims = check(token)
    if (claims === null) return null
    const [oldest] = good.keys()
    if (good.size >= limit && oldest !== undefined) good.delete(oldest)
    good.set(digest, Object.freeze(claims))
    return claims
  }
}

async function startEngine (scope: FastifyInstance, key: JwtKey, issuedAt: boolean, engines: Engine[]): Promise<void> {
  const { algorithm, signKey, verifyKey } = key
  await scope.register(async (keyScope) => {
    await keyScope.register(fastifyJwt, {
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
    // a namespace is a property that the types do not know
    const namespaces = keyScope.jwt as unknown as Record<string, JWT>
    const jwt = namespaces[NAMESPACE]
    delete namespaces[NAMESPACE] // the object may be the application's own `app.jwt`
    if (jwt !== undefined) engines.push({ key, jwt })
  })
}

function headerOf ({ jwt }: Engine): string {
  const token = jwt.sign({})
  return token.slice(0, token.indexOf('.'))
}

/** The engine for a header that we did not write ourselves: the key is chosen by `kid`, never by trial. */
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

function verify ({ jwt }: Engine, token: string): Payload | null {
  const last = token.slice(token.lastIndexOf('.') + 1)
  // unused bits must be zero (RFC 4648, section 3.5): one text per token
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

function hasEnded ({ exp }: Payload, now: number): boolean {
  return isTime(exp) && now >= exp * 1000
}

/**
 * Checks all claims but the subject and the end. A token may come from a process whose clock is up to a minute ahead.
 */
function checkClaims (
  claims: Payload,
  audiences: ReadonlySet<unknown>,
  { clock, issuedAt, strict, lifetimeSeconds, required }: JwtCodecOptions
): boolean {
  const { aud, exp, nbf, iat, jti } = claims
  const latest = clock() + CLOCK_SKEW_MS
  if (exp === undefined ? strict && lifetimeSeconds !== null : !isTime(exp)) return false
  if (nbf !== undefined && !(isTime(nbf) && latest >= nbf * 1000)) return false
  if (iat === undefined ? strict && issuedAt : !(Number.isInteger(iat) && isTime(iat) && latest >= iat * 1000)) {
    return false
  }
  if (jti === undefined ? strict : typeof jti !== 'string') return false
  if (!required.every((claim) => typeof claims[claim] === 'string' && claims[claim] !== '')) return false
  return Array.isArray(aud)
    ? aud.every((a) => typeof a === 'string') && aud.some((a) => audiences.has(a))
    : audiences.has(aud)
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
