/** Returns the value of JSON text; null for other values. */
export function parseJson (text: unknown): unknown {
  if (typeof text !== 'string') return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
