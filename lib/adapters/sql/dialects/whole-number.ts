/** Returns an integer that JavaScript holds exactly; undefined for others. A rounded id may be that of another row. */
export function wholeNumber (value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}
