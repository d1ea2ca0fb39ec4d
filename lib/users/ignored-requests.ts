import type { AuditEntry } from '../contracts/audit.js'
import type { EventContext } from '../contracts/events.js'
import type { UserRow } from '../contracts/user.js'
import type { Rules } from './rules.js'

/** Emits the audit event of a request for a mail that is not sent. The reply does not reveal it. */
export function reportIgnored (
  { audit, background, rows }: Rules,
  event: AuditEntry['event'],
  email: string,
  row: UserRow | null,
  context: EventContext
): void {
  if (!audit.isActive()) return
  const reason = row === null ? 'UNKNOWN_USER' : row.is_active ? 'ALREADY_VERIFIED' : 'INACTIVE'
  const user = row === null ? { email } : rows.toUser(row)
  // after the reply, like the work for other users
  background.run(async () => {
    audit.emit({ event, outcome: 'failure', reason, user }, context)
  }, context.reply)
}

/** Emits the audit event of a mail that a limit prevents. The reply does not reveal it. */
export function reportLimitedMail (
  { audit, rows }: Rules,
  operation: AuditEntry['event'],
  row: UserRow,
  context: EventContext
): void {
  if (!audit.isActive()) return
  const details = { operation }
  audit.emit({ event: 'limit.hit', outcome: 'blocked', reason: 'MAIL_LIMIT', user: rows.toUser(row), details }, context)
}
