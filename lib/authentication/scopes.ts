import type { FastifyRequest } from 'fastify'
import type { Authentication, GuardFlag } from '../contracts/authentication.js'
import { FST_USERS_INSUFFICIENT_SCOPE } from '../errors.js'
import { kGuard } from '../symbols.js'

/** The scope that includes all others. */
const ALL_SCOPES = '*'
/** Characters of a scope (RFC 6749, section 3.3). */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/

/** Returns true for the name of a scope: 1 to 100 printable ASCII characters without space, `"` and `\`. */
export function isScope (value: unknown): value is string {
  return typeof value === 'string' && SCOPE.test(value)
}

/** Returns true if the granted scopes include all required ones. */
export function includesScopes (granted: readonly string[], required: readonly string[]): boolean {
  return granted.includes(ALL_SCOPES) || required.every((scope) => granted.includes(scope))
}

/**
 * The guard flag `scopes`. Each feature that grants scopes lists it in `guardFlags`, declares it in `GuardFlags` as
 * `scopes?: readonly string[]`, and returns the scopes of a request from the part `scopes`. A request passes if every
 * feature that limits it includes all required scopes; otherwise the reply is 403 `FST_USERS_INSUFFICIENT_SCOPE`
 * (RFC 6750, section 3.1).
 */
export const scopesFlag: GuardFlag<readonly string[]> = {
  check: (value) => (isListOfScopes(value) ? null : 'must be a list of scopes: printable ASCII without space, " and \\, not *'),
  accepts: checkScopes,
  scopes: (value) => value
}

function isListOfScopes (value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((scope) => isScope(scope) && scope !== ALL_SCOPES)
}

async function checkScopes (
  authentication: Authentication,
  required: readonly string[],
  request: FastifyRequest
): Promise<true | Error> {
  const { scopeSources, hasChallenges } = request.server[kGuard]
  for (const source of scopeSources) {
    const granted = await source(authentication, request)
    if (granted !== null && !includesScopes(granted, required)) return scopeRefusalOf(required, hasChallenges)
  }
  return true
}

/** Returns the error with the challenge of RFC 6750, section 3. */
function scopeRefusalOf (required: readonly string[], hasChallenge: boolean): Error {
  if (!hasChallenge) return FST_USERS_INSUFFICIENT_SCOPE()
  const challenge = `Bearer error="insufficient_scope", scope="${required.join(' ')}"`
  return FST_USERS_INSUFFICIENT_SCOPE([], { headers: { 'www-authenticate': challenge } })
}
