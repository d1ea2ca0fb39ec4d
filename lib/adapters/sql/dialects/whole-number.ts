/**
 * Returns an integer that JavaScript represents exactly; undefined for other values, because a rounded id may be the id
 * of another row.
 */
export function wholeNumber (value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}
