import type { AuditEntry } from '../contracts/audit.js'

/** The audit events of errors that can end any request, by code. */
const EVENTS: Readonly<Record<string, Pick<AuditEntry, 'event' | 'outcome'>>> = {
  FST_USERS_UNAUTHENTICATED: { event: 'access.denied', outcome: 'blocked' },
  FST_USERS_FORBIDDEN: { event: 'access.denied', outcome: 'blocked' },
  FST_USERS_INSUFFICIENT_USER_AUTHENTICATION: { event: 'access.denied', outcome: 'blocked' },
  FST_USERS_CROSS_SITE_REQUEST: { event: 'request.cross_site', outcome: 'blocked' },
  FST_USERS_SECOND_FACTOR_REQUIRED: { event: 'login', outcome: 'failure' },
  FST_USERS_LOGIN_TICKET_INVALID: { event: 'login', outcome: 'failure' }
}

/** Errors that begin a further step, or that another event reports. */
const REPORTED_BEFORE: ReadonlySet<string> = new Set([
  'FST_USERS_LOGIN_PENDING',
  'FST_USERS_LOGIN_BAD_CREDENTIALS',
  'FST_USERS_LOGIN_USER_NOT_VERIFIED'
])

/**
 * Returns the entry of an error; null if the error is not a security event. `given` is the event of the operation that
 * the error ends. With `isReported`, another event has reported that the operation was refused.
 */
export function errorEntry (error: object, given: AuditEntry | undefined, isReported: boolean): AuditEntry | null {
  const { code, statusCode, detail } = error as { code?: unknown; statusCode?: unknown; detail?: unknown }
  const status = typeof statusCode === 'number' ? statusCode : 500
  const reason = auditReasonOf(code, detail)
  const { outcome: _, ...of } = given ?? { event: '' }
  if (status === 429) return { ...of, event: 'limit.hit', outcome: 'blocked', reason, details: operationOf(given) }
  if (status === 502 || status === 503) return { ...of, event: 'dependency.failure', outcome: 'failure', reason, details: operationOf(given) }
  if (typeof code !== 'string' || REPORTED_BEFORE.has(code)) return null
  const own = EVENTS[code]
  if (own !== undefined) return { ...of, ...own, reason, details: operationOf(given) }
  if (given === undefined || isReported || status >= 500) return null
  return { outcome: 'failure', ...given, reason }
}

function operationOf (given: AuditEntry | undefined): NonNullable<AuditEntry['details']> {
  return given === undefined ? {} : { ...given.details, operation: given.event }
}

/** Returns the code without its prefix. A hook's own word replaces the code of `refuse()`. */
function auditReasonOf (code: unknown, detail: unknown): string {
  const word = typeof code === 'string' ? code.replace('FST_USERS_', '') : 'ERROR'
  return word === 'REFUSED' && typeof detail === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(detail) ? detail : word
}
