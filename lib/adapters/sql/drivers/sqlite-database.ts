/** A prepared statement, as better-sqlite3 makes them. */
export interface SqliteStatement {
  readonly reader: boolean
  raw(toggle?: boolean): this
  safeIntegers(toggle?: boolean): this
  get(...parameters: unknown[]): unknown
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number, lastInsertRowid: number | bigint }
}

/** What is used of a `Database` of better-sqlite3, so that its types are needed by nobody who does not use it. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement
  exec(sql: string): unknown
  pragma(sql: string): unknown
  transaction(work: () => void): { immediate(): void }
  close(): unknown
}
