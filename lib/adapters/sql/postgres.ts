import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { postgresDialect } from './dialects/postgres.js'
import { usePg } from './drivers/pg.js'
import type { PgPool } from './drivers/pg-pool.js'
import { sqlServerAdapter, type SqlServerOptions } from './sql-adapter.js'

/**
 * An adapter for PostgreSQL 12 or newer through a `Pool` of the package `pg`, which stays open. Tables are those of the
 * connection's `search_path`. `open()` checks them and throws `FST_USERS_TABLE_MISMATCH` when they are missing, unless
 * `createTables` is set; existing tables are never altered.
 */
export function postgres (pool: PgPool, options: SqlServerOptions = {}): DatabaseAdapter {
  if (!isPool(pool)) throw FST_USERS_INVALID_OPTION(['adapter', 'postgres() takes a Pool of the package pg'])
  if (!['undefined', 'boolean'].includes(typeof options.createTables)) throw FST_USERS_INVALID_OPTION(['createTables', 'must be true or false'])
  return sqlServerAdapter(postgresDialect, () => usePg(pool), options)
}

/** Plain JavaScript may hand in anything. A lone client is refused: a transaction of another request would take our queries in. */
function isPool (value: unknown): value is PgPool {
  return typeof value === 'object' && value !== null && 'query' in value && 'connect' in value && 'totalCount' in value
}
