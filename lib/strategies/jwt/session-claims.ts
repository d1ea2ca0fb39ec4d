import type { Session } from '../../contracts/session.js'
import { amrOf } from '../../sessions/index.js'
import { deriveSessionId, type Claims } from '../../tokens/index.js'
import { readDetails, readMethods, readTime } from '../stored-session.js'

/** Values of the claim `amr` that name a method, if the claim `methods` is absent. */
const METHOD_OF_AMR: Readonly<Record<string, string>> = { pwd: 'password' }

/**
 * Returns the claims of a session: `sid` (OpenID Connect Front-Channel Logout 1.0), `auth_time` (OpenID Connect Core
 * 1.0, section 2), `amr` (RFC 8176), `methods` and `details`. Empty ones are left out. `methods` has the names of
 * `session.methods`, unless they follow from `amr`.
 */
export function claimsOfSession ({ id, authenticatedAt, methods, details }: Session): Record<string, unknown> {
  const amr = amrOf(methods)
  const isInAmr = methodsOfAmr(amr).join() === methods.join()
  return {
    sid: id,
    ...(authenticatedAt === null ? {} : { auth_time: Math.floor(authenticatedAt.getTime() / 1000) }),
    ...(amr.length === 0 ? {} : { amr }),
    ...(isInAmr ? {} : { methods }),
    ...(Object.keys(details).length === 0 ? {} : { details })
  }
}

/** Returns the names of the methods in a claim `amr`. `mfa` is a consequence of them. */
function methodsOfAmr (amr: unknown): string[] {
  return readMethods(amr).filter((value) => value !== 'mfa').map((value) => METHOD_OF_AMR[value] ?? value)
}

/** Returns the id of the session of a valid token. Without a `sid`, as in tokens of FastAPI Users, it is derived. */
export function sessionIdOfClaims ({ sid }: Claims, token: string): string {
  return typeof sid === 'string' && sid !== '' ? sid : deriveSessionId(token)
}

/** Returns the session of a valid token. */
export function sessionOfClaims (claims: Claims, token: string): Session {
  const { iat, auth_time: authTime, amr, methods, details } = claims
  return {
    id: sessionIdOfClaims(claims, token),
    createdAt: claimTime(iat),
    authenticatedAt: claimTime(authTime),
    methods: methods === undefined ? methodsOfAmr(amr) : readMethods(methods),
    details: readDetails(details)
  }
}

/** Returns a session as its token contains it: times are whole seconds, and there may be no claim `iat`. */
export function asSigned (session: Session, issuedAt: boolean): Session {
  const { createdAt, authenticatedAt } = session
  return {
    ...session,
    createdAt: issuedAt ? wholeSeconds(createdAt) : null,
    authenticatedAt: wholeSeconds(authenticatedAt)
  }
}

function claimTime (seconds: unknown): Date | null {
  return typeof seconds === 'number' ? readTime(seconds * 1000) : null
}

function wholeSeconds (time: Date | null): Date | null {
  return time && new Date(Math.floor(time.getTime() / 1000) * 1000)
}
