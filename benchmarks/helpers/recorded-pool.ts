import type { PgPool, PgQuery } from 'fastify-users/postgres'

/** Returns a pool of `pg` that records every statement. */
export function recordQueries (pool: PgPool): { pool: PgPool; queries: PgQuery[] } {
  const queries: PgQuery[] = []
  return {
    queries,
    pool: {
      get totalCount () {
        return pool.totalCount
      },
      async connect () {
        const client = await pool.connect()
        return {
          query (query) {
            queries.push(query)
            return client.query(query)
          },
          on: (event, listener) => client.on(event, listener),
          removeListener: (event, listener) => client.removeListener(event, listener),
          release: (broken) => {
            client.release(broken)
          }
        }
      },
      on: (event, listener) => pool.on(event, listener),
      removeListener: (event, listener) => pool.removeListener(event, listener),
      listenerCount: (event) => pool.listenerCount(event)
    }
  }
}
