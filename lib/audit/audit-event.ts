import type { FastifyRequest } from 'fastify'
import { AUDIT_TEXT_MAX_LENGTH } from '../../schemas/index.js'
import type { AuditEmails, AuditEntry, AuditEvent } from '../contracts/audit.js'
import type { EventContext } from '../contracts/events.js'
import { auditedEmail } from './audited-email.js'
import { cleanText } from './clean-text.js'

/** The settings of a registration that its audit events depend on. */
export interface AuditSettings {
  readonly tenant: string
  readonly clock: () => number
  readonly emails: AuditEmails
  /** Key of the digests of e-mails. */
  readonly key: string
}

const MAX_DETAILS = 16

/** Creates the event. It has only the values that the schema names, each cut and without control characters. */
export function createAuditEvent (settings: AuditSettings, entry: AuditEntry, { request }: EventContext): AuditEvent {
  const { user = null, session = request?.authentication?.session ?? null } = entry
  const isRoute = user === null && request !== null
  return {
    time: new Date(settings.clock()).toISOString(),
    tenant: settings.tenant,
    event: entry.event,
    outcome: entry.outcome ?? 'success',
    reason: clean(entry.reason, 64),
    ...actorOf(entry, request),
    target_type: user !== null ? 'user' : isRoute ? 'route' : null,
    target_id: user !== null ? clean(user.id, 64) : isRoute ? clean(routeOf(request), AUDIT_TEXT_MAX_LENGTH) : null,
    target_email: user === null ? null : clean(auditedEmail(user.email, settings.emails, settings.key), 320),
    ip: clean(request?.ip, 64),
    user_agent: clean(request?.headers['user-agent'], AUDIT_TEXT_MAX_LENGTH),
    session_id: clean(session?.id, 64),
    request_id: clean(request?.id, 128),
    backend: clean(entry.backend ?? request?.authentication?.backend, 64),
    method: clean(entry.method, 64),
    details: cleanDetails(entry.details ?? {})
  }
}

function actorOf (
  { actor: given, user, isConsequence = false }: AuditEntry,
  request: FastifyRequest | null
): Pick<AuditEvent, 'actor_type' | 'actor_id'> {
  if (isConsequence) return { actor_type: 'system', actor_id: null }
  const actor = request?.authentication?.user ?? (request === null ? null : (given ?? null))
  if (actor === null) return { actor_type: request === null ? 'code' : 'anonymous', actor_id: null }
  const isOther = user?.id !== undefined && user.id !== null && String(user.id) !== String(actor.id)
  return { actor_type: isOther && actor.is_superuser ? 'superuser' : 'user', actor_id: clean(actor.id, 64) }
}

/** Returns the method and the path of the route, with the names of its parameters instead of their values. */
function routeOf ({ method, routeOptions: { url = '' } }: FastifyRequest): string {
  return `${method} ${url}`
}

function clean (value: unknown, maxLength: number): string | null {
  return value === undefined || value === null ? null : cleanText(String(value), maxLength)
}

function cleanDetails (details: NonNullable<AuditEntry['details']>): AuditEvent['details'] {
  return Object.fromEntries(
    Object.entries(details)
      .slice(0, MAX_DETAILS)
      .map(([name, value]) => [
        cleanText(name, 64),
        typeof value === 'string' ? cleanText(value, AUDIT_TEXT_MAX_LENGTH) : value
      ])
  )
}
