import Database from 'better-sqlite3'
import type { NodeSqliteDatabase } from '../../lib/entries/sqlite.js'

type Open = (path: string) => NodeSqliteDatabase & { close(): unknown }
const builtin = process.getBuiltinModule('node:sqlite') as
  { DatabaseSync: new (path: string) => ReturnType<Open> } | undefined

/** Opens a `DatabaseSync`. It is undefined if this version of Node.js has no `node:sqlite`. */
export const openNodeSqlite: Open | undefined =
  builtin === undefined ? undefined : (path) => new builtin.DatabaseSync(path)

/**
 * Simulates `node:sqlite` with better-sqlite3: rows are objects unless arrays are requested, error codes are those of
 * `node:sqlite`, and text ends at U+0000 as in its first releases.
 */
export const openLikeNodeSqlite: Open = (path) => {
  const database = new Database(path, { timeout: 0 })
  return {
    get isTransaction () {
      return database.inTransaction
    },
    exec: (sql) =>
      coded(() => {
        database.exec(sql)
      }),
    close: () => {
      database.close()
    },
    prepare (sql) {
      const statement = coded(() => database.prepare<unknown[]>(sql))
      const cut = (row: unknown): unknown =>
        Array.isArray(row)
          ? row.map((value: unknown) => (typeof value === 'string' ? value.split('\0')[0] : value))
          : row
      const bindable = (parameters: unknown[]): unknown[] => {
        const wrong = parameters.find(
          (value) => value !== null && !['number', 'string', 'bigint'].includes(typeof value)
        )
        if (wrong !== undefined) {
          throw Object.assign(new TypeError('Provided value cannot be bound to SQLite parameter'), {
            code: 'ERR_INVALID_ARG_TYPE'
          })
        }
        return parameters
      }
      return {
        setReturnArrays (enabled) {
          if (statement.reader) statement.raw(enabled)
        },
        setReadBigInts: (enabled) => {
          statement.safeIntegers(enabled)
        },
        get: (...parameters) => coded(() => cut(statement.get(...bindable(parameters)))),
        all: (...parameters) =>
          coded(() =>
            statement.reader ? statement.all(...bindable(parameters)).map(cut) : [statement.run()].slice(1)
          ),
        run: (...parameters) => coded(() => statement.run(...bindable(parameters)))
      }
    }
  }
}

/** Runs a function. Converts errors of better-sqlite3 to those of `node:sqlite`. */
function coded<T> (work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error
    throw Object.assign(new Error(error.message), {
      code: 'ERR_SQLITE_ERROR',
      errcode: error.code.startsWith('SQLITE_BUSY') ? 261 : 1
    })
  }
}
