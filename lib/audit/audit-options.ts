import type { AuditEmails, AuditOptions } from '../contracts/audit.js'
import { checkKnownKeys, checkOption } from '../shared/option-checks.js'

const FORMS: readonly AuditEmails[] = ['masked', 'hashed', 'plain']

/** Returns how e-mails appear in audit events. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function readAuditOptions (given: AuditOptions = {}): AuditEmails {
  checkKnownKeys('audit.', given, ['emails'])
  const { emails = 'masked' } = given
  return checkOption('audit.emails', emails, (form) => FORMS.includes(form), "must be 'masked', 'hashed' or 'plain'")
}
