import type { FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { Transport } from '../contracts/transport.js'
import { isSameSecret } from '../tokens/index.js'
import { endSession } from './end.js'
import type { SessionRules } from './session-rules.js'

/** Returns all tokens that a request presents to a transport. */
export function presentedTokens (transport: Transport, request: FastifyRequest): readonly string[] {
  if (transport.extractTokens !== undefined) return transport.extractTokens(request)
  const token = transport.extractToken(request)
  return token === null ? [] : [token]
}

/**
 * Revokes the sessions of all cookies that a browser presents to a backend. They may belong to different users. Skips
 * the session of the token `ended`, which is revoked already.
 */
export async function endPresentedSessions (
  rules: SessionRules,
  backend: Backend,
  request: FastifyRequest,
  ended?: string
): Promise<void> {
  const { rows, observers, watchers } = rules
  const { transport, strategy } = backend
  const isObserved = !watchers.isEmpty || observers.some((observer) => observer.ended !== undefined)
  if (!transport.ambient || (strategy.destroyToken === undefined && !isObserved)) return
  for (const token of presentedTokens(transport, request)) {
    if (ended !== undefined && isSameSecret(token, ended)) continue
    const subject = await strategy.readToken(token, { request, users: rows })
    if (subject === null) continue
    const session = subject.session?.()
    await endSession(rules, backend, rows.toUser(subject.row), { token, ...(session === undefined ? {} : { session }) })
  }
}
