/** A query as `pg` takes it. */
export interface PgQuery {
  name?: string
  text: string
  values?: unknown[]
  rowMode: 'array'
  types: { getTypeParser: () => (value: string) => unknown }
}

/** The properties used of a result of `pg`. */
export interface PgResult {
  rows: unknown[][]
  rowCount: number | null
}

/** Used methods of a pooled connection. */
export interface PgClient {
  query(query: PgQuery): Promise<PgResult>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  release(broken?: boolean): void
}

/** Used methods of a `Pool` of `pg`. Declared here, so that applications without pg do not need its types. */
export interface PgPool {
  /** Only a pool has this property, not a single client. */
  readonly totalCount: number
  connect(): Promise<PgClient>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  listenerCount(event: 'error'): number
}
