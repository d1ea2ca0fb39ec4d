import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { TokenSubject } from '../contracts/strategy.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import { GuardedAuthentication } from './guarded-authentication.js'
import type { PresentedSession } from './issue.js'
import { sessionOfToken, type SessionRules } from './session-rules.js'

/** Returns the user of the session as the guard read it last, or reads it. Throws `FST_USERS_UNAUTHENTICATED`. */
export async function actingUser (rules: SessionRules, request: FastifyRequest): Promise<UserRow> {
  return GuardedAuthentication.subjectOf(request.authentication)?.row ?? (await readActingUser(rules, request))
}

/**
 * Returns the row that the guard read last, if every end of the session changes the security stamp of the user: then a
 * write with the stamp as its condition needs no further read. Returns null for a stored session, which can end alone,
 * and for a token without a stamp.
 */
export function rowOfStamp ({ backends }: SessionRules, request: FastifyRequest): UserRow | null {
  const { authentication } = request
  const subject = GuardedAuthentication.subjectOf(authentication)
  const backend = backends.get(authentication?.backend ?? '')
  if (typeof subject?.stamp !== 'string' || backend === undefined) return null
  return backend.strategy.destroyToken === undefined ? subject.row : null
}

/**
 * Reads the session of the request again and returns its user. Call it immediately before a write on behalf of a
 * session, because the session may have ended since the guard checked it. Throws `FST_USERS_UNAUTHENTICATED` if it has.
 */
export async function readActingUser (rules: SessionRules, request: FastifyRequest): Promise<UserRow> {
  const { authentication } = request
  const backend = rules.backends.get(authentication?.backend ?? '')
  const subject =
    authentication === null || backend === undefined
      ? null
      : await readSubject(rules, backend, authentication.token, request)
  if (subject === null) throw FST_USERS_UNAUTHENTICATED()
  return subject.row
}

/** Returns the valid sessions of this user for which the request has cookies. */
export async function sessionsOfCookies (
  rules: SessionRules,
  { id }: UserRow,
  request: FastifyRequest | null
): Promise<PresentedSession[]> {
  const presented: PresentedSession[] = []
  if (request === null) return presented
  for (const backend of rules.backends.values()) {
    const token = backend.transport.renew === undefined ? null : backend.transport.extractToken(request)
    if (token === null) continue
    const subject = await readSubject(rules, backend, token, request)
    if (subject === null || String(subject.row.id) !== String(id)) continue
    presented.push({ backend, session: subject.session?.() ?? sessionOfToken(token) })
  }
  return presented
}

/** Returns the subject of a valid token; otherwise null. */
async function readSubject (
  { rows }: SessionRules,
  { strategy }: Backend,
  token: string,
  request: FastifyRequest
): Promise<TokenSubject | null> {
  const subject = await strategy.readToken(token, { request, users: rows })
  return subject == null || (subject.stamp != null && !rows.hasStamp(subject.row, subject.stamp)) ? null : subject
}
