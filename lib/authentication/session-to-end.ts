import type { FastifyRequest } from 'fastify'
import type { Authentication, Authenticator } from './authenticator.js'

/**
 * Returns the session that a logout at a backend ends: the one that the request presents to this backend. A request
 * that
 * presents none may present one session to another backend, which is ended in its place. Null without a session, and
 * for
 * several of which it is open which one is meant: two other backends, or cookies of different users.
 */
export async function findSessionToEnd (
  authenticator: Authenticator,
  request: FastifyRequest,
  backend: string,
  names: readonly string[]
): Promise<Authentication | null> {
  const own = await authenticator.findPresented(request, backend)
  if (own.length > 0) return haveOneUser(own) ? (own[0] ?? null) : null
  const others: Authentication[] = []
  for (const name of names) if (name !== backend) others.push(...(await authenticator.findPresented(request, name)))
  // two backends may accept one token
  return new Set(others.map(({ token }) => token)).size === 1 ? (others[0] ?? null) : null
}

function haveOneUser (sessions: readonly Authentication[]): boolean {
  return new Set(sessions.map(({ user }) => user.id)).size === 1
}
