import type { SqliteDatabase, SqliteStatement } from './sqlite-database.js'

/** A prepared statement of `node:sqlite`. */
export interface NodeSqliteStatement {
  setReturnArrays(enabled: boolean): void
  setReadBigInts(enabled: boolean): void
  get(...parameters: unknown[]): unknown
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}

/**
 * Used methods of a `DatabaseSync` of `node:sqlite`. Declared here, because not every supported Node has that
 * module.
 */
export interface NodeSqliteDatabase {
  /** Exists since Node 22.16, as does `setReturnArrays`. */
  readonly isTransaction: boolean
  prepare(sql: string): NodeSqliteStatement
  exec(sql: string): unknown
}

export function isNodeSqlite (value: unknown): value is NodeSqliteDatabase {
  return typeof value === 'object' && value !== null && 'prepare' in value && 'isTransaction' in value
}

/** Returns a `node:sqlite` database with the interface of better-sqlite3. */
export function fromNodeSqlite (database: NodeSqliteDatabase): SqliteDatabase {
  return {
    get inTransaction () {
      return database.isTransaction
    },
    prepare: (sql) => prepareNodeSqlite(database, sql),
    exec: (sql) => database.exec(sql),
    pragma: (sql) => database.prepare(`PRAGMA ${sql}`).all()
  }
}

function prepareNodeSqlite (database: NodeSqliteDatabase, sql: string): SqliteStatement {
  const statement = database.prepare(sql)
  statement.setReturnArrays(true)
  statement.setReadBigInts(false)
  const prepared: SqliteStatement = {
    reader: true,
    raw: () => prepared,
    safeIntegers: () => prepared,
    get: (parameters) => statement.get(...parameters),
    all: (parameters) => statement.all(...parameters),
    run: (parameters) => statement.run(...parameters)
  }
  return prepared
}
