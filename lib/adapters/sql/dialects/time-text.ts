const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:\d\d)?$/

/** A time as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, which compares as text. */
export function encodeTimeText (value: unknown): string {
  const text = (value as Date).toISOString() // checked before
  return `${text.slice(0, 10)} ${text.slice(11, 23)}`
}

/** Reads SQLAlchemy's form, and seconds or milliseconds alone; undefined for what is no time. */
export function decodeTimeText (raw: unknown): Date | undefined {
  const parts = typeof raw === 'string' ? TIME.exec(raw) : null
  if (parts === null) return undefined
  const milliseconds = Date.parse(`${parts[1]}T${parts[2]}${parts[3] ?? ''}${parts[4] ?? 'Z'}`)
  return Number.isNaN(milliseconds) ? undefined : new Date(milliseconds)
}
