import type { AuditEvent, AuditEventName } from '../../schemas/index.js'
import type { EventContext } from './events.js'
import type { Session } from './session.js'
import type { User, UserId } from './user.js'

export type { AuditEvent, AuditEventName } from '../../schemas/index.js'

declare module './events.js' {
  interface UsersEvents {
    /**
     * After each security event. It is not among `eventNames`, because listening to it costs time. It runs after the
     * reply of the request, and its errors are only logged. The event is frozen.
     */
    onAudit: AuditEvent
  }
}

/** Form of e-mails in audit events: the first character and the domain, a keyed digest, or as they are. */
export type AuditEmails = 'masked' | 'hashed' | 'plain'

/** The option `audit`. */
export interface AuditOptions {
  /**
   * Form of e-mails in audit events. `masked`: the first character and the domain. `hashed`: a keyed digest, which is
   * the same for each spelling of one e-mail. `plain`: as they are. Default: `masked`.
   */
  emails?: AuditEmails
}

/** The values of an audit event that do not come from its request. */
export interface AuditEntry {
  /** Name of the event: lower-case words, joined with dots. */
  readonly event: AuditEventName | (string & {})
  /** Default: `success`. */
  readonly outcome?: AuditEvent['outcome']
  /** Code of the reason, such as `WRONG_PASSWORD`. Default: none. */
  readonly reason?: string | null
  /** The user whom the event concerns. For an unknown user, only the e-mail that the client sent. */
  readonly user?: Pick<User, 'email'> & { id?: UserId | User['id'] | null } | null
  /** The acting user of a request without a session, such as a login. */
  readonly actor?: Pick<User, 'id' | 'is_superuser'> | null
  /** True for the consequence of another event. */
  readonly isConsequence?: boolean
  readonly session?: Pick<Session, 'id'> | null
  readonly backend?: string | null
  readonly method?: string | null
  /** Further values. They must not contain secrets. */
  readonly details?: Readonly<Record<string, string | number | boolean | null>>
}

/** Receives the audit events of a registration. */
export interface AuditLog {
  /** Returns true if a channel, a hook or a feature receives audit events. If not, nothing needs to be prepared. */
  isActive(): boolean
  /** Emits an event. Never throws, and does nothing if nothing receives events. */
  emit(entry: AuditEntry, context: EventContext): void
  /**
   * Emits the event of an error with which an operation ends. `entry` is its event if the error is a refusal. With
   * `isReported`, another event has reported the refusal, and only limits, failures of dependencies and missing rights
   * are reported. Each error is reported once. Never throws.
   */
  emitError(error: unknown, context: EventContext, entry?: AuditEntry, options?: { isReported?: boolean }): void
}
