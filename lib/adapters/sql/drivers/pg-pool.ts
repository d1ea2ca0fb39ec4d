/** A query as `pg` takes it. */
export interface PgQuery {
  name?: string
  text: string
  values?: unknown[]
  rowMode: 'array'
  types: { getTypeParser: () => (value: string) => unknown }
}

/** What is used of a result of `pg`. */
export interface PgResult {
  rows: unknown[][]
  rowCount: number | null
}

/** What is used of a connection that a pool lends. */
export interface PgClient {
  query(query: PgQuery): Promise<PgResult>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  release(broken?: boolean): void
}

/** What is used of a `Pool` of `pg`, so that its types are needed by nobody who does not use it. */
export interface PgPool {
  /** Tells a pool from a single client. */
  readonly totalCount: number
  connect(): Promise<PgClient>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  listenerCount(event: 'error'): number
}
