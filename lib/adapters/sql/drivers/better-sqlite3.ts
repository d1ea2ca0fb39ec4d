import { setTimeout as sleep } from 'node:timers/promises'
import type { MaybePromise } from '../../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import type { SqlDriver, SqlStatement } from './driver.js'
import type { SqliteDatabase } from './sqlite-database.js'

type Rows = readonly (readonly unknown[])[]

const BUSY_TIMEOUT = 5000 // milliseconds
const PAUSE = 20 // milliseconds; SQLite's own waiting would hold up the whole process
type Client = new (path: string, options: { timeout: number }) => SqliteDatabase
const loadPackage = async (): Promise<Client> => (await import('better-sqlite3')).default

/** Opens a database file with better-sqlite3. Throws `FST_USERS_INVALID_OPTION` when the package is not installed. */
export async function openBetterSqlite3 (path: string, load: () => Promise<Client> = loadPackage): Promise<SqlDriver> {
  const Opened = await load().catch((cause: unknown) => {
    throw FST_USERS_INVALID_OPTION(['adapter', 'sqlite(path) needs the package better-sqlite3; `npm install better-sqlite3`'], { cause })
  })
  const refuse = (cause: unknown): Error => isBusy(cause) ? cause as Error : FST_USERS_INVALID_OPTION(['adapter', `cannot use ${path}: ${String((cause as Error).message)}; file and folder must exist and be writable`], { cause })
  let database: SqliteDatabase
  try {
    database = new Opened(path, { timeout: 0 })
  } catch (error) {
    throw refuse(error)
  }
  try {
    await whenFree(() => database.pragma('journal_mode = WAL'))     // two processes that open a new file at once both switch its mode
    return useBetterSqlite3(database, () => { database.close() })
  } catch (error) {
    database.close()
    throw refuse(error)
  }
}

/** A driver for an open database, whose own waiting for other processes stays as it is. `close` is called when the adapter closes (default: it stays open). */
export function useBetterSqlite3 (database: SqliteDatabase, close: () => void = () => {}): SqlDriver {
  database.pragma('foreign_keys = ON')
  return {
    prepare: (sql) => prepare(database, sql),
    change (catalog, plan) {
      const read = (): readonly string[] => plan(database.prepare(catalog).raw(true).safeIntegers(false).all() as Rows)
      if (read().length === 0) return // a read-only database, or one that is being written, opens all the same
      return whenFree(() => { database.transaction(() => { for (const sql of read()) database.exec(sql) }).immediate() })
    },
    close
  }
}

function prepare (database: SqliteDatabase, sql: string): SqlStatement {
  const statement = database.prepare(sql).safeIntegers(false)
  if (statement.reader) statement.raw(true)
  return {
    get: (parameters) => statement.get(...parameters) as readonly unknown[] | undefined,     // raw rows are arrays
    all: (parameters) => statement.all(...parameters) as Rows,
    run (parameters) {
      return whenFree(() => {
        const { changes, lastInsertRowid } = statement.run(...parameters)
        return { changes, insertId: lastInsertRowid }
      })
    }
  }
}

/** Does the work at once or, when another process writes, as soon as it can: the event loop goes on meanwhile. */
function whenFree<T> (work: () => T): MaybePromise<T> {
  try {
    return work()
  } catch (error) {
    if (!isBusy(error)) throw error
    return retry(work, Date.now() + BUSY_TIMEOUT)
  }
}

async function retry<T> (work: () => T, deadline: number): Promise<T> {
  for (;;) {
    await sleep(PAUSE)
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error
    }
  }
}

function isBusy (error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('SQLITE_BUSY')
}
