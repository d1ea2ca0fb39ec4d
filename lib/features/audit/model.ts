import { randomBytes } from 'node:crypto'
import type { AuditEvent, Model, Row } from '../../feature/index.js'

/** A stored event with its id. */
export type StoredAuditEvent = { id: string } & AuditEvent

const textField = (maxLength: number) => ({ type: 'text', maxLength }) as const
const nullableTextField = (maxLength: number) => ({ type: 'text', maxLength, nullable: true }) as const

/**
 * The model of stored events. It refers to no user, so that events outlive their users. Ids sort from the newest event
 * to the oldest one.
 */
export const auditEventModel: Model = {
  name: 'audit_event',
  table: 'audit_event',
  fields: {
    id: textField(32),
    time: { type: 'time' },
    event: textField(64),
    outcome: textField(16),
    reason: nullableTextField(64),
    actor_type: textField(16),
    actor_id: nullableTextField(64),
    target_type: nullableTextField(16),
    target_id: nullableTextField(256),
    target_email: nullableTextField(320),
    ip: nullableTextField(64),
    user_agent: nullableTextField(256),
    session_id: nullableTextField(64),
    request_id: nullableTextField(128),
    backend: nullableTextField(64),
    method: nullableTextField(64),
    details: { type: 'json' }
  },
  index: [['time'], ['target_id', 'id'], ['actor_id', 'id'], ['event', 'id']]
}

const MAX_TIME = 2 ** 48 - 1
const MAX_COUNT = 2 ** 16 - 1

/** Returns a function that creates rows. Of two events in one millisecond, the later one also sorts first. */
export function createRowFactory (): (event: AuditEvent) => Row {
  let count = 0
  return ({ tenant: _, ...event }) => {
    const time = new Date(event.time)
    count = (count + 1) % MAX_COUNT
    const id = `${hex(MAX_TIME - time.getTime(), 12)}${hex(MAX_COUNT - count, 4)}${randomBytes(8).toString('hex')}`
    return { id, ...event, time }
  }
}

/** Returns the event of a row. */
export function eventOfRow (tenant: string, row: Row): StoredAuditEvent {
  return { ...row, tenant, time: (row.time as Date).toISOString() } as StoredAuditEvent // the fields of the model
}

function hex (value: number, length: number): string {
  return value.toString(16).padStart(length, '0')
}
