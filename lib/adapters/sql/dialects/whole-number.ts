/**
 * An integer that JavaScript holds exactly; undefined for a rounded one, which may be that of another row, and for what
 * is none.
 */
export function wholeNumber (value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}
