import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { SqliteDatabase, SqliteStatement } from './sqlite-database.js'

type Row = readonly unknown[] | undefined

interface WaitingRead {
  readonly statement: SqliteStatement
  readonly parameters: readonly unknown[]
  readonly resolve: (row: Row) => void
  readonly reject: (error: unknown) => void
}

/**
 * Reads rows of an SQLite database. SQLite locks and unlocks the file for each read, which takes longer than the read
 * itself. So the first read of a turn of the event loop runs at once, and all others wait for the end of the turn and
 * share one transaction. No read sees an older state than at its call.
 */
export class SharedReads {
  readonly #database: SqliteDatabase
  #waiting: WaitingRead[] = []
  #isTurnOpen = false

  constructor (database: SqliteDatabase) {
    this.#database = database
  }

  /** Returns the row that a statement finds first. */
  get (statement: SqliteStatement, parameters: readonly unknown[]): MaybePromise<Row> {
    if (this.#isTurnOpen) {
      return new Promise((resolve, reject) => {
        this.#waiting.push({ statement, parameters, resolve, reject })
      })
    }
    this.#isTurnOpen = true
    setImmediate(this.#endTurn)
    return readRow(statement, parameters)
  }

  /** Runs the reads that wait. */
  flush (): void {
    const reads = this.#waiting
    if (reads.length === 0) return
    this.#waiting = []
    const isShared = reads.length > 1 && this.#begin()
    for (const { statement, parameters, resolve, reject } of reads) {
      try {
        resolve(readRow(statement, parameters))
      } catch (error) {
        reject(error)
      }
    }
    if (isShared) this.#end()
  }

  readonly #endTurn = (): void => {
    this.#isTurnOpen = false
    this.flush()
  }

  /**
   * Begins a transaction. Returns false if the application has an open transaction, or BEGIN fails for another reason.
   */
  #begin (): boolean {
    try {
      if (this.#database.inTransaction) return false
      this.#database.exec('BEGIN')
      return true
    } catch {
      return false
    }
  }

  /** Ends the transaction. If it stayed open, later reads would see its old state. */
  #end (): void {
    if (!this.#database.inTransaction) return // an error of a read has ended it
    try {
      this.#database.exec('COMMIT')
    } catch {
      this.#database.exec('ROLLBACK')
    }
  }
}

function readRow (statement: SqliteStatement, parameters: readonly unknown[]): Row {
  return statement.get(parameters) as Row // rows are arrays, see `prepare` of the driver
}
