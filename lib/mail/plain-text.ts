/** Control characters, line separators, and characters that change the direction of the text beside them. */
const CONTROLS = /[\p{Cc}\u2028\u2029\u200E\u200F\u202A-\u202E\u2066-\u2069]+/gu
const MAX_SUBJECT_LENGTH = 200

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

/** Returns text that is safe in HTML, as content and as the value of a quoted attribute. */
export function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}

/** Returns text as one line: each run of line breaks and other control characters becomes a blank. */
export function oneLine (text: string): string {
  return text.replace(CONTROLS, ' ').trim()
}

/** Returns text for a header field. It has no line breaks, which would begin another field (RFC 5322, section 2.2). */
export function headerText (text: string): string {
  return [...oneLine(text)].slice(0, MAX_SUBJECT_LENGTH).join('')
}
