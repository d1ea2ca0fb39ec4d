import { answerAlone, collectReads } from '../../shared/collected-reads.js'
import type { SqlStatement, WaitingRow } from './driver.js'
import type { IsRefusal } from './driver-errors.js'

/** Maximum number of reads in one statement. The server opens the tables for each of them. */
const MAX_READS = 16
/** Matches a placeholder such as `$1`. Also matches quoted text, so that a `$1` inside it is skipped. */
const NUMBERED = /"[^"]*"|'[^']*'|`[^`]*`|\$(\d+)/g

/** Runs a SELECT. */
type ReadAll = (sql: string, parameters: readonly unknown[]) => Promise<readonly (readonly unknown[])[]>

/**
 * Returns the `get` of the statement `sql`. Simultaneous reads share a round trip, as the parts of one UNION ALL. Each
 * part is the whole statement, so it finds the row that it would find alone. If the server refuses them, they run one
 * by one.
 */
export function readInUnion (
  sql: string,
  readAll: ReadAll,
  readAlone: SqlStatement['get'],
  isRefusal: IsRefusal
): SqlStatement['get'] {
  const unions = new Map<number, string>()

  function unionOf (size: number, width: number): string {
    const known = unions.get(size)
    if (known !== undefined) return known
    const union = Array.from({ length: size }, (_, position) => partOf(sql, position, position * width)).join(' UNION ALL ')
    unions.set(size, union)
    return union
  }

  async function send (reads: readonly WaitingRow[]): Promise<void> {
    const [{ key: { length: width } } = { key: [] }] = reads
    const size = 2 ** Math.ceil(Math.log2(reads.length)) // so that few statements serve all numbers of reads
    if (size === 1) {
      answerAlone(reads, readAlone)
      return
    }
    const parameters = reads.flatMap(({ key }) => key)
    while (parameters.length < size * width) parameters.push(null)
    try {
      const rows = await readAll(unionOf(size, width), parameters)
      for (const [position, ...values] of rows) reads[Number(position)]?.resolve(values)
      for (const read of reads) read.resolve(undefined) // has no effect on reads with a row
    } catch (error) {
      if (!isRefusal(error)) throw error
      answerAlone(reads, readAlone)
    }
  }

  return sql.startsWith('SELECT ') ? collectReads(send, MAX_READS) : readAlone
}

/** Returns the statement as a part of a union, with its position in the first column. `$n` is counted from `offset`. */
function partOf (sql: string, position: number, offset: number): string {
  const numbered = sql.replace(NUMBERED, (found, number?: string) =>
    number === undefined ? found : `$${Number(number) + offset}`
  )
  return `(${numbered.replace('SELECT ', `SELECT ${position}, `)})`
}
