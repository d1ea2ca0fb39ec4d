import type { SqliteDatabase, SqliteStatement } from './sqlite-database.js'

/** A prepared statement of `node:sqlite`. */
export interface NodeSqliteStatement {
  setReturnArrays(enabled: boolean): void
  setReadBigInts(enabled: boolean): void
  get(...parameters: unknown[]): unknown
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}

/** What is used of a `DatabaseSync` of `node:sqlite`, which not every supported Node has. */
export interface NodeSqliteDatabase {
  /** Since Node 22.16, as lists of values instead of objects are. */
  readonly isTransaction: boolean
  prepare(sql: string): NodeSqliteStatement
  exec(sql: string): unknown
}

/** Plain JavaScript may hand in anything. */
export function isNodeSqlite (value: unknown): value is NodeSqliteDatabase {
  return typeof value === 'object' && value !== null && 'prepare' in value && 'isTransaction' in value
}

/** A database of `node:sqlite` in the form of the other clients. */
export function fromNodeSqlite (database: NodeSqliteDatabase): SqliteDatabase {
  return {
    get inTransaction () {
      return database.isTransaction
    },
    prepare: (sql) => prepare(database, sql),
    exec: (sql) => database.exec(sql),
    pragma: (sql) => database.prepare(`PRAGMA ${sql}`).all()
  }
}

function prepare (database: NodeSqliteDatabase, sql: string): SqliteStatement {
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
