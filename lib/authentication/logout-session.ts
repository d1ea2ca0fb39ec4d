import type { FastifyRequest } from 'fastify'
import type { Authentication } from '../contracts/authentication.js'
import type { Authenticator } from './authenticator.js'

/**
 * Returns the session that a logout at a backend ends: the session that the request presents to this backend. If the
 * request presents none to it, a session at another backend is returned. Returns null if there is no session, or if
 * several sessions could be meant: sessions of two other backends, or cookies of different users.
 */
export async function findLogoutSession (
  authenticator: Authenticator,
  request: FastifyRequest,
  backend: string,
  names: readonly string[]
): Promise<Authentication | null> {
  const own = await authenticator.findPresented(request, backend)
  if (own.length > 0) return haveOneUser(own) ? (own[0] ?? null) : null
  const others: Authentication[] = []
  for (const name of names) {
    if (name !== backend) others.push(...(await authenticator.findPresented(request, name)))
  }
  // two backends may accept the same token
  return new Set(others.map(({ token }) => token)).size === 1 ? (others[0] ?? null) : null
}

function haveOneUser (sessions: readonly Authentication[]): boolean {
  return new Set(sessions.map(({ user }) => user.id)).size === 1
}
