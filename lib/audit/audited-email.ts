import { createHmac } from 'node:crypto'
import { domainToASCII } from 'node:url'
import { EMAIL_MAX_LENGTH } from '../../schemas/index.js'
import type { AuditEmails } from '../contracts/audit.js'
import { foldCase } from '../shared/text.js'

const DOMAIN = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/
const DIGEST_LENGTH = 22 // characters of base64url, 128 bits

/**
 * Returns the form in which an e-mail appears in audit events, with the domain in ASCII. Returns null for a text that
 * is not an e-mail, because it may be a password in the wrong field.
 */
export function auditedEmail (text: string, form: AuditEmails, key: string): string | null {
  if (text.length > EMAIL_MAX_LENGTH) return null // before normalize, which takes quadratic time
  const [local = '', name = '', ...more] = text.trim().normalize('NFC').split('@')
  const domain = more.length > 0 || local === '' ? '' : domainToASCII(name)
  if (!DOMAIN.test(domain) || !/^\.[a-z]/.test(domain.slice(domain.lastIndexOf('.')))) return null
  if (form === 'plain') return `${local}@${domain}`
  if (form === 'masked') return `${String.fromCodePoint(local.codePointAt(0) ?? 0)}***@${domain}`
  const digest = createHmac('sha256', key).update(`${foldCase(local)}@${domain}`).digest('base64url')
  return digest.slice(0, DIGEST_LENGTH)
}
