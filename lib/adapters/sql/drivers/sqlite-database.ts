/** A prepared statement, as better-sqlite3 and libsql make them. */
export interface SqliteStatement {
  readonly reader: boolean
  raw(toggle?: boolean): this
  safeIntegers(toggle?: boolean): this
  get(parameters: readonly unknown[]): unknown
  all(parameters: readonly unknown[]): unknown[]
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}

/**
 * What is used of a `Database` of better-sqlite3 or libsql, so that their types are needed by nobody who does not use
 * them.
 */
export interface SqliteDatabase {
  readonly inTransaction: boolean
  prepare(sql: string): SqliteStatement
  exec(sql: string): unknown
  pragma(sql: string): unknown
}

/** One that we opened, and close. */
export interface OwnSqliteDatabase extends SqliteDatabase {
  close(): unknown
}

/** Plain JavaScript may hand in anything. */
export function isSqliteDatabase (value: unknown): value is SqliteDatabase {
  return typeof value === 'object' && value !== null && 'prepare' in value && 'pragma' in value
}

/** Whether text with U+0000 comes back whole: libsql and older releases of `node:sqlite` cut it when they read. */
export function keepsNul (database: SqliteDatabase): boolean {
  const [row] = database.prepare('SELECT ?').raw(true).all(['\0']) as unknown[][] // raw rows are arrays
  return row?.[0] === '\0'
}
