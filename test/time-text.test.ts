import t from 'tap'
import { decodeTimeText, encodeTimeText } from '../lib/adapters/sql/dialects/time-text.js'

/** Returns the milliseconds that `Date.parse` reads from the first three digits of a second. */
const parsed = (text: string): number => Date.parse(`${text.slice(0, 10)}T${text.slice(11, 23)}Z`)

t.test('a stored time is decoded as Date.parse does, in the usual form and in others', async (t) => {
  const dates = ['2026-11-29', '2024-02-29', '2023-02-29', '2026-02-31', '2026-04-31', '0001-01-01', '0099-12-31', '9999-12-31']
  const wrong = ['2026-00-10', '2026-13-10', '2026-01-00', '2026-01-32', '0000-00-00']
  const times = ['00:00:00.000000', '23:59:59.999999', '12:30:45.120456', '24:00:00.000000', '24:00:01.000000', '12:60:00.000000', '12:00:60.000000']
  for (const date of [...dates, ...wrong]) {
    for (const time of times) {
      const text = `${date} ${time}`
      t.strictSame(decodeTimeText(text)?.getTime() ?? NaN, parsed(text), text)
    }
  }
  for (const [text, wanted] of [
    ['2026-11-29 12:30:45', '2026-11-29T12:30:45.000Z'],
    ['2026-11-29T12:30:45.1', '2026-11-29T12:30:45.100Z'],
    ['2026-11-29 12:30:45.123456+02:00', '2026-11-29T10:30:45.123Z']
  ] as const) {
    t.equal(decodeTimeText(text)?.toISOString(), wanted, text)
  }
})

t.test('text in another form is not decoded as a time', async (t) => {
  const values = [null, undefined, 1, 1.5, {}, '', ' ', 'now', '2026-11-29', '2026-11-29 12:30', '2026/11/29 12:30:45.123456']
  const marks = ['2026-11-29 12:30:4:.123456', '2026-11-29 12:30:45.123456 ', ' 2026-11-29 12:30:45.123456', '+026-11-29 12:30:45.123456']
  for (const value of [...values, ...marks]) t.equal(decodeTimeText(value), undefined, JSON.stringify(value))
})

t.test('an encoded time is decoded to the same time', async (t) => {
  for (const time of [0, 1, -1, Date.UTC(2026, 10, 29, 3, 10, 9, 7), Date.UTC(9999, 11, 31, 23, 59, 59, 999), Date.parse('0001-01-01T00:00:00Z')]) {
    t.equal(decodeTimeText(`${encodeTimeText(new Date(time))}000`)?.getTime(), time)
  }
})
