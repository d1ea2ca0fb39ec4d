import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { postgresIn } from './dialects/postgres.js'
import type { SqlDriver } from './drivers/driver.js'
import { usePg } from './drivers/pg.js'
import { isPgRefusal } from './drivers/pg-errors.js'
import type { PgPool } from './drivers/pg-pool.js'
import { checkPgSession } from './drivers/pg-session.js'
import { mapOpeningErrors } from './drivers/driver-errors.js'
import { lazyMigration, withMigration } from './migration/adapter-migration.js'
import { sqlServerAdapter } from './sql-adapter.js'
import type { SqlServerOptions } from './sql-options.js'

/** Options of `postgres`. */
export interface PostgresOptions extends SqlServerOptions {
  /**
   * The schema of the tables. Default: existing tables are found through the connection's `search_path`, and new ones
   * are created in its first schema.
   */
  schema?: string
}

/**
 * Creates an adapter for PostgreSQL 12 or newer. `pool` is a `Pool` of the package `pg`, which the application closes.
 * The tables are in the option `schema`, or found through the connection's `search_path`.
 * `open()` checks the tables and never alters existing ones. It throws `FST_USERS_TABLE_MISMATCH` for missing tables,
 * unless `createTables` is set; `FST_USERS_STORE_UNAVAILABLE` if the server does not answer; and
 * `FST_USERS_INVALID_OPTION` for session settings that change the values read.
 */
export function postgres (pool: PgPool, options: PostgresOptions = {}): DatabaseAdapter {
  if (!isPgPool(pool)) throw FST_USERS_INVALID_OPTION(['adapter', 'pass a Pool of the package pg to postgres(), not a single Client'])
  const { schema, tables = {} } = options
  const dialect = postgresIn(schema)
  const connection = {
    dialect,
    client: pool,
    connect: (timeoutMs: number) => connectPg(pool, timeoutMs),
    options: ['schema']
  }
  return withMigration(
    sqlServerAdapter(connection, options),
    lazyMigration({ dialect, isAtomic: true, mappings: tables }, async () => {
      const { postgresMigration } = await import('./migration/postgres-source.js')
      return postgresMigration(pool, tables, schema)
    })
  )
}

/** Returns a driver for a pool. Throws `FST_USERS_INVALID_OPTION` for session settings that change the values read. */
export async function connectPg (pool: PgPool, timeoutMs: number): Promise<SqlDriver> {
  const driver = usePg(pool, timeoutMs)
  try {
    await mapOpeningErrors(isPgRefusal, () => checkPgSession(driver))
    return driver
  } catch (error) {
    await driver.close()
    throw error
  }
}

/**
 * Returns true for a pool. A single client is refused: concurrent requests share it, so one request's queries would run
 * inside another request's transaction.
 */
export function isPgPool (value: unknown): value is PgPool {
  return typeof value === 'object' && value !== null && 'connect' in value && 'totalCount' in value
}
