import type { Session } from '../../contracts/session.js'
import { deriveSessionId, type Claims } from '../../tokens/index.js'
import { readDetails, readMethods, readTime } from '../stored-session.js'

/** Names of login methods in the claim `amr` that RFC 8176 defines. Other methods have the same name in both. */
const PASSWORD = { method: 'password', amr: 'pwd' }

/**
 * Returns the claims of a session: `sid` (OpenID Connect Front-Channel Logout 1.0), `auth_time` (OpenID Connect Core
 * 1.0, section 2), `amr` (RFC 8176) and `details`. Empty ones are left out.
 */
export function claimsOfSession ({ id, authenticatedAt, methods, details }: Session): Record<string, unknown> {
  return {
    sid: id,
    ...(authenticatedAt === null ? {} : { auth_time: Math.floor(authenticatedAt.getTime() / 1000) }),
    ...(methods.length === 0
      ? {}
      : { amr: methods.map((method) => (method === PASSWORD.method ? PASSWORD.amr : method)) }),
    ...(Object.keys(details).length === 0 ? {} : { details })
  }
}

/** Returns the id of the session of a valid token. Without a `sid`, as in tokens of FastAPI Users, it is derived. */
export function sessionIdOfClaims ({ sid }: Claims, token: string): string {
  return typeof sid === 'string' && sid !== '' ? sid : deriveSessionId(token)
}

/** Returns the session of a valid token. */
export function sessionOfClaims (claims: Claims, token: string): Session {
  const { iat, auth_time: authTime, amr, details } = claims
  return {
    id: sessionIdOfClaims(claims, token),
    createdAt: timeOf(iat),
    authenticatedAt: timeOf(authTime),
    methods: readMethods(amr).map((name) => (name === PASSWORD.amr ? PASSWORD.method : name)),
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

function timeOf (seconds: unknown): Date | null {
  return typeof seconds === 'number' ? readTime(seconds * 1000) : null
}

function wholeSeconds (time: Date | null): Date | null {
  return time && new Date(Math.floor(time.getTime() / 1000) * 1000)
}
