/** A prepared statement of better-sqlite3 or libsql. */
export interface SqliteStatement {
  readonly reader: boolean
  raw(toggle?: boolean): this
  safeIntegers(toggle?: boolean): this
  get(parameters: readonly unknown[]): unknown
  all(parameters: readonly unknown[]): unknown[]
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}

/**
 * Used methods of a `Database` of better-sqlite3 or libsql. Declared here, so that applications without them do not
 * need their types.
 */
export interface SqliteDatabase {
  readonly inTransaction: boolean
  prepare(sql: string): SqliteStatement
  exec(sql: string): unknown
  pragma(sql: string): unknown
}

/** A database that the adapter opened and closes. */
export interface OwnSqliteDatabase extends SqliteDatabase {
  close(): unknown
}

export function isSqliteDatabase (value: unknown): value is SqliteDatabase {
  return typeof value === 'object' && value !== null && 'prepare' in value && 'pragma' in value
}

/**
 * Returns true if the client reads text with U+0000 completely. libsql and older releases of `node:sqlite` cut it
 * there.
 */
export function keepsNul (database: SqliteDatabase): boolean {
  const [row] = database.prepare('SELECT ?').raw(true).all(['\0']) as unknown[][] // raw rows are arrays
  return row?.[0] === '\0'
}
