import { parseNewEmail, type AuditEntry, type EventContext, type RequestedEmailLogin, type UserRow } from '../../feature/index.js'
import type { RequestRow } from './model.js'
import type { EmailLoginParts } from './parts.js'

type Secrets = Pick<RequestedEmailLogin, 'code' | 'token' | 'ip' | 'userAgent'>

/**
 * Looks the user of a request up, and fires `onAfterRequestEmailLogin` unless no mail may be sent. It runs after the
 * reply. The mail is sent to the stored e-mail.
 */
export async function mailRequest (
  parts: EmailLoginParts,
  { id, email: given }: RequestRow,
  secrets: Secrets,
  context: EventContext
): Promise<void> {
  const { kit, settings, requests } = parts
  const row = await kit.rows.getByEmail(given)
  const email = row?.email ?? given
  if (!(row === null ? mayRegister(parts, email) : row.is_active)) {
    auditRequest(parts, { outcome: 'failure', reason: row === null ? 'UNKNOWN_USER' : 'INACTIVE' }, row, email, context)
    return
  }
  const { lifetimeSeconds } = settings
  if (!(await kit.attempts.allowMail({ purpose: 'login', email, alwaysAfterSeconds: lifetimeSeconds }))) {
    auditRequest(parts, { outcome: 'blocked', reason: 'MAIL_LIMIT' }, row, email, context)
    return
  }
  const owner =
    row === null
      ? { user_id: null, stamp: null, signs_up: true }
      : { user_id: String(row.id), stamp: kit.rows.stampOf(row), signs_up: false }
  if (!(await requests.assign(id, owner, email))) return
  auditRequest(parts, { outcome: 'success' }, row, email, context)
  const user = row && kit.rows.toUser(row)
  await kit.fire('onAfterRequestEmailLogin', { user, email, ...secrets, lifetimeSeconds }, context)
}

/** Returns true if a login may create a user with this e-mail. */
function mayRegister ({ kit, settings }: EmailLoginParts, email: string): boolean {
  return settings.signUp !== null && parseNewEmail(email, kit.settings) !== null
}

function auditRequest (
  { kit }: EmailLoginParts,
  result: Pick<AuditEntry, 'outcome' | 'reason'>,
  row: UserRow | null,
  email: string,
  context: EventContext
): void {
  kit.audit.emit(
    { event: 'login.email_request', ...result, user: row === null ? { email } : kit.rows.toUser(row) },
    context
  )
}
