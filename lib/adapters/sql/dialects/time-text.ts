/** The form that SQLAlchemy and this package write. It is recognized without capturing groups, which cost more. */
const USUAL = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/
const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:\d\d)?$/

/** Returns a time as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, so that the order of the text is the order of the times. */
export function encodeTimeText (value: unknown): string {
  const text = (value as Date).toISOString() // callers check the type
  return `${text.slice(0, 10)} ${text.slice(11, 23)}`
}

/** Returns the time of a text with 0 to 6 digits of a second, as SQLAlchemy writes it; undefined for other values. */
export function decodeTimeText (raw: unknown): Date | undefined {
  if (typeof raw === 'string' && USUAL.test(raw)) return timeOf(`${raw.slice(0, 10)}T${raw.slice(11, 23)}Z`)
  const parts = typeof raw === 'string' ? TIME.exec(raw) : null
  if (parts === null) return undefined
  return timeOf(`${parts[1]}T${parts[2]}${parts[3] ?? ''}${parts[4] ?? 'Z'}`)
}

function timeOf (text: string): Date | undefined {
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time
}
