const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Lower-cases ASCII letters only, as the databases do for `ignoreCase` fields. Other letters keep their case. */
export function foldCase (text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Returns true for the canonical text of a UUID (RFC 9562, section 4), in lower case. */
export function isUuid (value: unknown): boolean {
  return UUID.test(String(value))
}

/** Returns a value as JSON text, for messages. */
export function quoted (value: unknown): string {
  return JSON.stringify(value)
}
