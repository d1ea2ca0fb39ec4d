import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { postgresDialect } from './dialects/postgres.js'
import { usePg } from './drivers/pg.js'
import type { PgPool } from './drivers/pg-pool.js'
import { withMigration } from './migration/adapter-migration.js'
import { postgresMigration } from './migration/postgres-source.js'
import { sqlServerAdapter, type SqlServerOptions } from './sql-adapter.js'

/**
 * An adapter for PostgreSQL 12 or newer through a `Pool` of the package `pg`, which stays open. Tables are those of the
 * connection's `search_path`. `open()` checks them and throws `FST_USERS_TABLE_MISMATCH` when they are missing, unless
 * `createTables` is set, and `FST_USERS_STORE_UNAVAILABLE` for a server that does not answer; existing tables are never
 * altered. Throws `FST_USERS_INVALID_OPTION`.
 */
export function postgres (pool: PgPool, options: SqlServerOptions = {}): DatabaseAdapter {
  if (!isPool(pool)) throw FST_USERS_INVALID_OPTION(['adapter', 'postgres() takes a Pool of the package pg'])
  return withMigration(sqlServerAdapter(postgresDialect, (timeoutMs) => usePg(pool, timeoutMs), options), postgresMigration(pool, options.tables ?? {}))
}

/** Plain JavaScript may hand in anything. A lone client is refused: a transaction of another request would take our queries in. */
function isPool (value: unknown): value is PgPool {
  return typeof value === 'object' && value !== null && 'connect' in value && 'totalCount' in value
}
