import { domainToASCII, domainToUnicode } from 'node:url'
import { EMAIL_MAX_LENGTH } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import { foldCase } from '../shared/text.js'

type EmailRules = Pick<Settings, 'allowIntranetEmails'>

const MAX_BYTES = 254 // RFC 5321, section 4.5.3.1.3, less the angle brackets
const MAX_LOCAL_BYTES = 64 // RFC 5321, section 4.5.3.1.1

/**
 * Local parts that a store may hold: no white space, no control or format characters, no specials of RFC 5322, section
 * 3.2.3.
 */
const KNOWN_LOCAL = /^[^\s\p{C}()<>@,;:\\"[\]]+$/u
const KNOWN_DOMAIN = /^[\p{L}\p{M}\p{N}_-]+(?:\.[\p{L}\p{M}\p{N}_-]+)+$/u

/** An e-mail in ASCII. It has one form, apart from upper and lower case. */
const PLAIN = /^([!#-'*+./0-9=?A-Z^-~-]+)@((?:(?!xn--)[\w-]+\.)+[a-z]+)$/i

/**
 * Dot-atom of RFC 5322 without the routing signs `%` and `!`, widened to letters, marks and digits of all scripts (RFC
 * 6531).
 */
const NEW_LOCAL = /^[\p{L}\p{M}\p{N}#$&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}#$&'*+/=?^_`{|}~-]+)*$/u
const NEW_DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/
const UNICODE_LABEL = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}-]*$/u
/** Two characters and two hyphens are reserved for encodings such as Punycode's `xn--` (RFC 5891, section 4.2.3.1). */
const RESERVED_LABEL = /(?:^|\.)(?!xn--)[a-z0-9]{2}--/

/** Domains of private networks (RFC 6762; RFC 8375). */
const INTRANET = /\.(?:local|home\.arpa)$/
/** Top-level domains that receive no mail (RFC 6761, RFC 6762, RFC 7686). */
const SPECIAL_USE = /\.(?:arpa|invalid|local|localhost|onion|test)$/

/**
 * Reads an e-mail for look-up: any plain addr-spec that a store may hold, also one that {@link parseNewEmail} refuses.
 * White space around it is removed. Returns the form in which e-mails are stored: the local part in NFC, the domain in
 * lower case and, when internationalised, in Unicode (RFC 5890). Null for display names, comments, lists and other
 * text.
 */
export function parseEmail (text: string): string | null {
  const plain = parsePlainEmail(text)
  if (plain !== null) return plain
  const parts = readParts(text)
  return parts === null ? null : `${parts.local}@${parts.domain.split('.').map(readableLabel).join('.')}`
}

/**
 * Reads a new e-mail of a user. Returns it in the form in which it is stored, or null if {@link explainEmail} has a
 * reason against it.
 */
export function parseNewEmail (text: string, rules: EmailRules): string | null {
  return explainEmail(text, rules) === null ? parseEmail(text) : null
}

/** Returns the reason why an e-mail is refused, as the end of a sentence; null if a user may have it. */
export function explainEmail (text: string, { allowIntranetEmails }: EmailRules): string | null {
  const tooLong = `must have at most ${MAX_BYTES} bytes (RFC 5321)`
  if (text.length > EMAIL_MAX_LENGTH) return tooLong
  const parts = readParts(text)
  if (parts === null) return 'must be one plain e-mail without a name or comment'
  const { local, domain } = parts
  const isIntranet = INTRANET.test(domain)
  if (isIntranet && !allowIntranetEmails) {
    return 'must have a public domain: .local and .home.arpa are domains of private networks'
  }
  if (!isIntranet && SPECIAL_USE.test(domain)) {
    return 'must have a public domain: this one is reserved and receives no mail (RFC 6761)'
  }
  if (Buffer.byteLength(local) > MAX_LOCAL_BYTES) {
    return `must have at most ${MAX_LOCAL_BYTES} bytes before the @ (RFC 5321)`
  }
  if (Buffer.byteLength(local) + 1 + domain.length > MAX_BYTES) return tooLong
  if (!isNewLocal(local)) return 'must have letters, digits and ordinary signs before the @, without % and !'
  return isNewDomain(domain) ? null : 'must have a valid domain after the @'
}

/**
 * Returns the forms in which a store may hold an e-mail: ours, the text itself, then those of other programs (the local
 * part in NFD, the domain in ASCII or in Unicode). They are one mailbox, so they must not become two accounts.
 */
export function storedForms (text: string): string[] {
  const plain = parsePlainEmail(text)
  if (plain !== null) return [plain]
  const given = text.trim()
  const email = parseEmail(given)
  const forms = [given]
  if (email !== null) {
    const [local = '', domain = ''] = email.split('@')
    const ascii = domainToASCII(domain)
    const domains = [domain, ascii, domainToUnicode(ascii)]
    forms.unshift(email)
    for (const form of [local, local.normalize('NFD')]) for (const name of domains) forms.push(`${form}@${name}`)
  }
  const byFold = new Map<string, string>()
  for (const form of forms) if (!byFold.has(foldCase(form))) byFold.set(foldCase(form), form)
  return [...byFold.values()].filter((form) => form.isWellFormed() && !form.includes('\0'))
}

/**
 * Returns true for two spellings of one e-mail: they differ in the case of ASCII letters or in a form of {@link
 * storedForms} only.
 */
export function isSameEmail (one: string, other: string): boolean {
  return canonicalEmail(one) === canonicalEmail(other)
}

/** Returns the form in which e-mails are compared: all spellings of {@link isSameEmail} have the same one. */
export function canonicalEmail (text: string): string {
  return foldCase(parseEmail(text) ?? text.trim())
}

/** Reads the e-mails that most people have, without the look-ups that other scripts need. Null for all other text. */
function parsePlainEmail (text: string): string | null {
  if (text.length > EMAIL_MAX_LENGTH) return null
  const [, local, domain] = PLAIN.exec(text.trim()) ?? []
  return local === undefined || domain === undefined ? null : `${local}@${domain.toLowerCase()}`
}

/**
 * Returns the local part in NFC and the domain in ASCII. `domainToASCII` maps some characters one by one, so the domain
 * is brought into NFC before. The length is checked first, because `normalize` takes quadratic time.
 */
function readParts (text: string): { local: string; domain: string } | null {
  if (text.length > EMAIL_MAX_LENGTH || !text.isWellFormed()) return null
  const [local = '', name = '', ...more] = text.trim().normalize('NFC').split('@')
  if (more.length > 0 || !KNOWN_LOCAL.test(local) || !KNOWN_DOMAIN.test(name)) return null
  const domain = domainToASCII(name)
  // false for an IP address, and for '', which stands for an invalid name
  const endsInName = /[a-z]/.test(domain.slice(domain.lastIndexOf('.')))
  return endsInName ? { local, domain } : null
}

/**
 * Returns true for a local part without a second spelling. A mark at the start would combine with the text before it.
 * Some letters compose anew in lower case ("J" with a caron).
 */
function isNewLocal (local: string): boolean {
  const folded = foldCase(local)
  return NEW_LOCAL.test(local) && !/^\p{M}/u.test(local) && folded.normalize('NFC') === folded
}

function isNewDomain (domain: string): boolean {
  return (
    NEW_DOMAIN.test(domain) &&
    !RESERVED_LABEL.test(domain) &&
    domain.split('.').every((label) => !label.startsWith('xn--') || isUnicodeLabel(label))
  )
}

/** Returns true if an A-label decodes to letters, marks and digits, and if encoding them results in this A-label. */
function isUnicodeLabel (label: string): boolean {
  const unicode = domainToUnicode(label)
  return UNICODE_LABEL.test(unicode) && domainToASCII(unicode) === label
}

/** Returns a label in Unicode, unless it mixes look-alike scripts. */
function readableLabel (label: string): string {
  if (!label.startsWith('xn--') || !isUnicodeLabel(label)) return label
  const unicode = domainToUnicode(label)
  const scripts = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u].filter((script) =>
    script.test(unicode)
  )
  return scripts.length > 1 ? label : unicode
}
