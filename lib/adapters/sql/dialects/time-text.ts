/** The form that SQLAlchemy and this package write. */
const USUAL = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/
const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:\d\d)?$/

/** Returns a time as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, so that the order of the text is the order of the times. */
export function encodeTimeText (value: unknown): string {
  const text = (value as Date).toISOString() // callers check the type
  return `${text.slice(0, 10)} ${text.slice(11, 23)}`
}

/**
 * Returns the time of a text with 0 to 6 digits of a second, as SQLAlchemy writes it; undefined for other values. Every
 * guarded request decodes times, so the usual form is read without `Date.parse`, which takes three times as long.
 */
export function decodeTimeText (raw: unknown): Date | undefined {
  if (typeof raw !== 'string') return undefined
  return (USUAL.test(raw) ? readUsual(raw) : undefined) ?? parseTimeText(raw)
}

/** Returns the time of a text in the usual form; undefined if `Date.UTC` would read a number of it differently. */
function readUsual (text: string): Date | undefined {
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  const month = twoDigits(text, 5)
  const day = twoDigits(text, 8)
  const hour = twoDigits(text, 11)
  const minute = twoDigits(text, 14)
  const second = twoDigits(text, 17)
  const isDate = year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= 31
  if (!isDate || hour > 23 || minute > 59 || second > 59) return undefined
  const millisecond = twoDigits(text, 20) * 10 + text.charCodeAt(22) - 48
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second, millisecond))
}

function twoDigits (text: string, position: number): number {
  return (text.charCodeAt(position) - 48) * 10 + text.charCodeAt(position + 1) - 48
}

function parseTimeText (text: string): Date | undefined {
  const parts = TIME.exec(text)
  if (parts === null) return undefined
  const time = new Date(`${parts[1]}T${parts[2]}${parts[3] ?? ''}${parts[4] ?? 'Z'}`)
  return Number.isNaN(time.getTime()) ? undefined : time
}
