const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\]/gu

/**
 * Returns a text for logs: at most `maxLength` characters, with control and format characters, line separators and `\`
 * written as `\u{…}`. Thus a value never begins a new line or changes the direction of the text (CWE-117).
 */
export function cleanText (text: string, maxLength: number): string {
  const cut = text.slice(0, maxLength).toWellFormed()
  return cut.replace(CONTROL, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`).slice(0, maxLength)
}
