/**
 * Returns an integer that JavaScript represents exactly; undefined for other values, because a rounded id may be the id
 * of another row.
 */
export function wholeNumber (value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}

/** Returns a number. Drivers can be configured to return large numbers and decimals as text. */
export function decodeNumber (raw: unknown): number | undefined {
  const value = typeof raw === 'number' || typeof raw === 'string' ? Number(raw) : NaN
  return Number.isFinite(value) ? value : undefined
}

/** Returns the value of JSON text; undefined for other text, because a text column may contain any text. */
export function decodeJson (raw: unknown): unknown {
  try {
    return JSON.parse(String(raw))
  } catch {
    return undefined
  }
}
