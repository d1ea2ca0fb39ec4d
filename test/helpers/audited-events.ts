import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import type { Test } from 'tap'
import { AUDIT_CHANNEL, AuditEvent } from '../../lib/index.js'

const ajv = new Ajv({ strict: false, allErrors: true })
addFormats.default(ajv)
const isAuditEvent = ajv.compile(AuditEvent)

/** Returns the list to which the audit events of this process are added until the test ends. */
export function collectAuditEvents (t: Test): AuditEvent[] {
  const events: AuditEvent[] = []
  const add = (event: unknown): void => {
    events.push(event as AuditEvent)
  }
  subscribe(AUDIT_CHANNEL, add)
  t.teardown(() => {
    unsubscribe(AUDIT_CHANNEL, add)
  })
  return events
}

/** Asserts that the events match the schema. */
export function checkAuditEvents (t: Test, events: readonly AuditEvent[]): void {
  for (const event of events) {
    t.ok(isAuditEvent(event), `${event.event} ${event.outcome} matches the schema`, { errors: isAuditEvent.errors, event })
    t.ok(Object.isFrozen(event), 'the event is frozen')
  }
}
