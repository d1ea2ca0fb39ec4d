import { domainToASCII, domainToUnicode } from 'node:url'
import { EMAIL_MAX_LENGTH } from '../../schemas/index.js'

const MAX_BYTES = 254           // RFC 5321, section 4.5.3.1.3, less the angle brackets
const MAX_LOCAL_BYTES = 64      // RFC 5321, section 4.5.3.1.1
/** Dot-atom of RFC 5322 without `%`, widened to letters, marks and digits of all scripts (RFC 6531). */
const LOCAL = /^[\p{L}\p{M}\p{N}!#$&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$&'*+/=?^_`{|}~-]+)*$/u
const DOMAIN = /^[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+$/u
const ASCII_DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/
/** Names that are no mail domains (RFC 6761, RFC 6762, RFC 7686). */
const SPECIAL_USE = new Set(['arpa', 'invalid', 'local', 'localhost', 'onion', 'test'])

/**
 * The form in which an address is stored and compared: the local part as it is, in NFC; the domain in lower case and,
 * when internationalised, in Unicode (RFC 5890). Null for anything but one plain addr-spec.
 */
export function normalizeEmail (text: string): string | null {
  if (text.length > EMAIL_MAX_LENGTH || !text.isWellFormed()) return null
  const at = text.indexOf('@')
  const local = text.slice(0, at).normalize('NFC')
  const domain = text.slice(at + 1)
  if (at < 1 || !LOCAL.test(local) || !DOMAIN.test(domain)) return null
  const ascii = domainToASCII(domain)
  if (!ASCII_DOMAIN.test(ascii) || SPECIAL_USE.has(ascii.slice(ascii.lastIndexOf('.') + 1))) return null
  if (Buffer.byteLength(local) > MAX_LOCAL_BYTES || Buffer.byteLength(local) + 1 + ascii.length > MAX_BYTES) return null
  return `${local}@${ascii.split('.').map(readableLabel).join('.')}`
}

/** The form under which addresses are unique: ASCII letters in lower case. Other letters keep their case, so that no two mailboxes fall together. */
export function foldEmail (email: string): string {
  return email.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** A label in Unicode, unless it mixes look-alike scripts. */
function readableLabel (label: string): string {
  if (!label.startsWith('xn--')) return label
  const unicode = domainToUnicode(label)
  const scripts = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u].filter((script) => script.test(unicode))
  return scripts.length > 1 || unicode === '' ? label : unicode
}
