import { channel } from 'node:diagnostics_channel'
import type { AuditEntry, AuditEvent, AuditLog } from '../contracts/audit.js'
import type { EventContext, EventName, UsersEvents } from '../contracts/events.js'
import type { User } from '../contracts/user.js'
import { createAuditEvent, type AuditSettings } from './audit-event.js'
import { errorEntry } from './error-entries.js'
import { doneEntries, refusedEntry } from './hook-entries.js'

/** Name of the channel of `node:diagnostics_channel` on which all audit events of the process are published. */
export const AUDIT_CHANNEL = 'fastify-users:audit'

/** The receivers of events besides the channel. */
export interface AuditReceivers {
  /** Returns true if the application or a feature has a listener. */
  hasListeners(): boolean
  /** Passes the event to the listeners, without waiting for them. */
  deliver(event: AuditEvent, context: EventContext): void
  /** Reports a mistake of this package. */
  report(error: unknown): void
}

/** The audit log of a registration, with the observer of its hooks. */
export interface ObservingAuditLog extends AuditLog {
  /** Receives every call of hooks after it has ended, with the error that a listener threw. Never throws. */
  observe(name: EventName, payload: UsersEvents[EventName], context: EventContext, error: unknown): void
}

/** Creates the audit log of a registration. */
export function createAuditLog (settings: AuditSettings, receivers: AuditReceivers): ObservingAuditLog {
  const published = channel(AUDIT_CHANNEL)
  const reported = new WeakSet<object>()
  /** The user before each change, by the object with the changes. */
  const former = new WeakMap<object, User>()
  const isActive = (): boolean => published.hasSubscribers || receivers.hasListeners()

  function send (entry: AuditEntry, context: EventContext): void {
    const event = Object.freeze(createAuditEvent(settings, entry, context))
    if (published.hasSubscribers) published.publish(event)
    if (receivers.hasListeners()) receivers.deliver(event, context)
  }

  /** Runs work that must not change the flow that it reports about. */
  function attempt (work: () => void): void {
    if (!isActive()) return
    try {
      work()
    } catch (error) {
      receivers.report(error)
    }
  }

  function sendError (error: unknown, context: EventContext, entry?: AuditEntry, isReported = false): void {
    if (typeof error !== 'object' || error === null || reported.has(error)) return
    const found = errorEntry(error, entry, isReported)
    if (found === null) return
    reported.add(error)
    send(found, context)
  }

  return {
    isActive,
    emit (entry, context) {
      attempt(() => {
        send(entry, context)
      })
    },
    emitError (error, context, entry, { isReported = false } = {}) {
      attempt(() => {
        sendError(error, context, entry, isReported)
      })
    },
    observe (name, payload, context, error) {
      attempt(() => {
        if (error !== null) {
          const refused = refusedEntry(name, payload)
          if (refused !== null) sendError(error, context, refused)
          return
        }
        if (name === 'onBeforeUpdate') {
          const { user, changes } = payload as UsersEvents['onBeforeUpdate']
          former.set(changes, user)
        }
        const changes = name === 'onAfterUpdate' ? (payload as UsersEvents['onAfterUpdate']).changes : null
        for (const entry of doneEntries(name, payload, changes === null ? undefined : former.get(changes))) {
          send(entry, context)
        }
      })
    }
  }
}
