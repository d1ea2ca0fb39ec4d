/** A prepared statement with its values, as `mysql2` takes it. */
export interface MysqlQuery {
  sql: string
  values: unknown[]
  rowsAsArray: true
  nestTables: false
  namedPlaceholders: false
  typeCast: true | ((field: unknown, next: () => unknown) => unknown)
}

/** Used methods of a pooled connection. */
export interface MysqlConnection {
  /** The inner connection with callbacks, which this connection with promises wraps. */
  readonly connection?: { readonly config: { readonly typeCast?: unknown } }
  execute(query: MysqlQuery): Promise<[unknown, unknown]>
  unprepare(query: MysqlQuery): unknown
  beginTransaction(): Promise<unknown>
  commit(): Promise<unknown>
  rollback(): Promise<unknown>
  release(): void
  destroy(): void
}

/**
 * Used methods of a `Pool` of `mysql2/promise`. Declared here, so that applications without mysql2 do not need its
 * types.
 */
export interface MysqlPool {
  getConnection(): Promise<MysqlConnection>
}

/** A `Pool` of `mysql2`, which is based on callbacks. */
export interface MysqlCallbackPool {
  promise(): MysqlPool
}
