import type { Dialect } from './dialect.js'

/** Returns a derived table, for the FROM clause of a SELECT, that contains the given rows. */
export function unionOf (
  { quote, literal }: Pick<Dialect, 'quote' | 'literal'>,
  samples: readonly Record<string, unknown>[]
): string {
  const value = (one: unknown): string =>
    one === null ? 'NULL' : typeof one === 'number' ? String(one) : literal(String(one))
  const rows = samples.map(
    (sample) =>
      `SELECT ${Object.entries(sample)
        .map(([name, one]) => `${value(one)} AS ${quote(name)}`)
        .join(', ')}`
  )
  return `(${rows.join(' UNION ALL ')}) AS candidates`
}
