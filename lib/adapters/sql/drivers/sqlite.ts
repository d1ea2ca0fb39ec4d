import { setTimeout as sleep } from 'node:timers/promises'
import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { SqlDriver, SqlStatement, SqlWritten } from './driver.js'
import { SharedReads } from './shared-reads.js'
import type { SqliteDatabase, SqliteStatement } from './sqlite-database.js'

type Rows = readonly (readonly unknown[])[]

const BUSY_TIMEOUT = 5000 // milliseconds
const PAUSE = 20 // milliseconds; the busy timeout of SQLite would block the whole process
const BUSY = 5 // the low byte of every busy code (https://sqlite.org/rescode.html)

/**
 * Creates a driver for an open database and keeps its busy timeout. `close` is called when the adapter closes; by
 * default the database stays open.
 */
export function useSqlite (database: SqliteDatabase, close: () => void = () => {}): SqlDriver {
  database.pragma('foreign_keys = ON')
  const reads = new SharedReads(database)
  return {
    prepare: (sql) => prepareSqlite(database, reads, sql),
    transaction: (writes) =>
      retryWhileBusy(() =>
        inSqliteTransaction(database, () => {
          // synchronous, so no other statement of this process runs in between
          const steps = writes()
          let step = steps.next()
          while (step.done !== true) {
            const { sql, parameters } = step.value
            step = steps.next(writeSqlite(compile(database, sql), parameters))
          }
          return step.value
        })
      ),
    change (catalog, plan) {
      const read = (): readonly string[] =>
        plan(database.prepare(catalog).raw(true).safeIntegers(false).all([]) as Rows)
      if (read().length === 0) return // reading first lets read-only databases and locked ones open too
      return retryWhileBusy(() => {
        inSqliteTransaction(database, () => {
          for (const sql of read()) database.exec(sql)
          read()
        })
      })
    },
    close () {
      reads.flush()
      close()
    }
  }
}

function prepareSqlite (database: SqliteDatabase, reads: SharedReads, sql: string): SqlStatement {
  const statement = compile(database, sql)
  if (statement.reader) statement.raw(true)
  return {
    get: (parameters) => reads.get(statement, parameters),
    all: (parameters) => statement.all(parameters) as Rows,
    run: (parameters) => retryWhileBusy(() => writeSqlite(statement, parameters))
  }
}

function compile (database: SqliteDatabase, sql: string): SqliteStatement {
  return database.prepare(sql).safeIntegers(false)
}

function writeSqlite (statement: SqliteStatement, parameters: readonly unknown[]): SqlWritten {
  const { changes, lastInsertRowid } = statement.run(parameters)
  return { changes: Number(changes), insertId: lastInsertRowid }
}

function inSqliteTransaction<T> (database: SqliteDatabase, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK') // some errors end the transaction
  }
}

/** Runs work synchronously. If another process has locked the database, retries without blocking the event loop. */
export function retryWhileBusy<T> (work: () => T): MaybePromise<T> {
  try {
    return work()
  } catch (error) {
    if (!isBusy(error)) throw error
    return retryUntil(work, Date.now() + BUSY_TIMEOUT)
  }
}

async function retryUntil<T> (work: () => T, deadline: number): Promise<T> {
  for (;;) {
    await sleep(PAUSE)
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error
    }
  }
}

/**
 * Returns true if another connection has locked the database. better-sqlite3 and libsql report a code, `node:sqlite` a
 * number.
 */
export function isBusy (error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown } // clients throw Error objects only
  return String(code).startsWith('SQLITE_BUSY') || (Number(errcode) & 0xff) === BUSY
}
