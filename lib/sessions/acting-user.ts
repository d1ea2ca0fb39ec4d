import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_UNAUTHENTICATED } from '../errors.js'
import type { SessionRules } from './session-rules.js'

/**
 * Reads the session of the request again and returns its user. Every write on behalf of a session calls it immediately
 * before, because the session may have ended since the guard checked it. Throws
 * `FST_USERS_UNAUTHENTICATED` if it has.
 */
export async function readActingUser (rules: SessionRules, request: FastifyRequest): Promise<UserRow> {
  const { authentication } = request
  const backend = rules.backends.get(authentication?.backend ?? '')
  const row =
    authentication === null || backend === undefined
      ? null
      : await rowOfToken(rules, backend, authentication.token, request)
  if (row === null) throw FST_USERS_UNAUTHENTICATED()
  return row
}

/** Returns the backends of which the request has a cookie with a valid session of this user. */
export async function backendsOfCookies (
  rules: SessionRules,
  { id }: UserRow,
  request: FastifyRequest | null
): Promise<Backend[]> {
  const presented: Backend[] = []
  for (const backend of request === null ? [] : rules.backends.values()) {
    const token =
      // the loop above ran at least once
      backend.transport.renew === undefined ? null : backend.transport.extractToken(request as FastifyRequest)
    const row = token === null ? null : await rowOfToken(rules, backend, token, request as FastifyRequest)
    if (row !== null && String(row.id) === String(id)) presented.push(backend)
  }
  return presented
}

/** Returns the user's row for a valid token; otherwise null. */
async function rowOfToken (
  { rows }: SessionRules,
  { strategy }: Backend,
  token: string,
  request: FastifyRequest
): Promise<UserRow | null> {
  const subject = await strategy.readToken(token, { request, users: rows })
  return subject == null || (subject.stamp != null && !rows.hasStamp(subject.row, subject.stamp)) ? null : subject.row
}
