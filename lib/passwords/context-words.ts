/** Longest word in UTF-16 code units. Longer values of a user are not compared. */
export const MAX_WORD_LENGTH = 256

/** Shortest word in UTF-16 code units. Shorter words occur in too many passwords. */
export const MIN_WORD_LENGTH = 3

const MAX_PARTS = 32
const MAX_ADDED_CHARACTERS = 7

const LETTER = /\p{L}/u
const SEPARATORS = /[^\p{L}\p{M}\p{N}]+/u
/** Fields that the policy compares in another way or not at all. */
const OTHER_FIELDS: ReadonlySet<string> = new Set(['id', 'email', 'password'])

/** Returns a text in the form in which passwords and words are compared. */
export function foldText (text: string): string {
  return text.normalize('NFC').toLowerCase()
}

/** Returns the e-mail and its local part, in the form for comparison. */
export function emailWords (email: string): string[] {
  if (email.length > MAX_WORD_LENGTH * 2) return []
  const folded = foldText(email)
  return [folded, folded.slice(0, folded.lastIndexOf('@'))]
}

/**
 * Returns the words in the text values of a user. `names` lists the fields; by default all fields except the id, the
 * e-mail and the password.
 */
export function wordsOfUser (user: object, names?: readonly string[]): string[] {
  const values = Object.entries(user).filter(([name, value]) =>
    typeof value === 'string' && (names === undefined ? !OTHER_FIELDS.has(name) : names.includes(name)))
  return values.flatMap(([, value]) => wordsOfText(String(value)))
}

/** Returns a text, its parts, and the parts without separators, in the form for comparison. */
export function wordsOfText (text: string): string[] {
  if (text.length > MAX_WORD_LENGTH) return []
  const folded = foldText(text.trim())
  const parts = folded.split(SEPARATORS).slice(0, MAX_PARTS)
  return [folded, parts.join(''), ...parts].filter((word) => word.length >= MIN_WORD_LENGTH)
}

/**
 * Returns true if the password is one of the words, also with up to seven digits, spaces or signs that are added to it.
 * All must be in the form for comparison. A longer password may contain a word (NIST SP 800-63B-4, section 3.1.1.2).
 */
export function isDerivedFromWord (password: string, words: readonly string[]): boolean {
  const forms = [password, password.split(SEPARATORS).join('')]
  const shortest = [...password].length - MAX_ADDED_CHARACTERS
  return words.some((word) => [...word].length >= shortest && forms.some((form) => addsNoLetter(word, form)))
}

function addsNoLetter (word: string, form: string): boolean {
  const start = form.indexOf(word)
  return start >= 0 && !LETTER.test(form.slice(0, start) + form.slice(start + word.length))
}
