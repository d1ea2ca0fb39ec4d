/** A prepared statement with its values, as `mysql2` takes it. */
export interface MysqlQuery {
  sql: string
  values: unknown[]
  rowsAsArray: true
  nestTables: false
  namedPlaceholders: false
  typeCast: (field: unknown, next: () => unknown) => unknown
}

/** What is used of a connection that a pool lends. */
export interface MysqlConnection {
  execute(query: MysqlQuery): Promise<[unknown, unknown]>
  unprepare(query: MysqlQuery): unknown
  beginTransaction(): Promise<unknown>
  commit(): Promise<unknown>
  rollback(): Promise<unknown>
  release(): void
  destroy(): void
}

/** What is used of a `Pool` of `mysql2/promise`, so that its types are needed by nobody who does not use it. */
export interface MysqlPool {
  getConnection(): Promise<MysqlConnection>
}

/** A `Pool` of `mysql2`, whose own methods take callbacks. */
export interface MysqlCallbackPool {
  promise(): MysqlPool
}
