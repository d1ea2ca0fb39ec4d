import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { postgresIn } from './dialects/postgres.js'
import type { SqlDriver } from './drivers/driver.js'
import { isRefusal, usePg } from './drivers/pg.js'
import type { PgPool } from './drivers/pg-pool.js'
import { checkSession } from './drivers/pg-session.js'
import { mapOpeningErrors } from './drivers/driver-errors.js'
import { withMigration } from './migration/adapter-migration.js'
import { postgresMigration } from './migration/postgres-source.js'
import { sqlServerAdapter, type SqlServerOptions } from './sql-adapter.js'

/** Options of `postgres`. */
export interface PostgresOptions extends SqlServerOptions {
  /**
   * The schema that the tables are in (default: those that the connection's `search_path` finds, new ones in its first
   * schema).
   */
  schema?: string
}

/**
 * An adapter for PostgreSQL 12 or newer through a `Pool` of the package `pg`, which stays open. Tables are those of the
 * option `schema`, or of the connection's `search_path`. `open()` checks them and throws `FST_USERS_TABLE_MISMATCH`
 * when they are missing, unless
 * `createTables` is set, and `FST_USERS_STORE_UNAVAILABLE` for a server that does not answer; existing tables are never
 * altered. Throws `FST_USERS_INVALID_OPTION`, also for sessions that would change what is read.
 */
export function postgres (pool: PgPool, options: PostgresOptions = {}): DatabaseAdapter {
  if (!isPool(pool)) throw FST_USERS_INVALID_OPTION(['adapter', 'postgres() takes a Pool of the package pg'])
  const { schema, tables = {} } = options
  const connection = {
    dialect: postgresIn(schema),
    client: pool,
    connect: (timeoutMs: number) => connect(pool, timeoutMs),
    options: ['schema']
  }
  return withMigration(sqlServerAdapter(connection, options), postgresMigration(pool, tables, schema))
}

async function connect (pool: PgPool, timeoutMs: number): Promise<SqlDriver> {
  const driver = usePg(pool, timeoutMs)
  try {
    await mapOpeningErrors(isRefusal, () => checkSession(driver))
    return driver
  } catch (error) {
    await driver.close()
    throw error
  }
}

/**
 * Plain JavaScript may hand in anything. A lone client is refused: a transaction of another request would take our
 * queries in.
 */
function isPool (value: unknown): value is PgPool {
  return typeof value === 'object' && value !== null && 'connect' in value && 'totalCount' in value
}
