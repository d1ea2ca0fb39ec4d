import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { mysqlDialect } from './dialects/mysql.js'
import type { SqlDriver } from './drivers/driver.js'
import type { MysqlCallbackPool, MysqlPool } from './drivers/mysql2-pool.js'
import { checkMysqlSession } from './drivers/mysql2-session.js'
import { isMysqlRefusal } from './drivers/mysql2-errors.js'
import { useMysql2 } from './drivers/mysql2.js'
import { mapOpeningErrors } from './drivers/driver-errors.js'
import { lazyMigration, withMigration } from './migration/adapter-migration.js'
import { sqlServerAdapter } from './sql-adapter.js'
import type { SqlServerOptions } from './sql-options.js'

/**
 * Creates an adapter for MySQL 8 and MariaDB 10.6 or newer. `pool` is a `Pool` of the package `mysql2`, which the
 * application closes. The tables are in the pool's `database`.
 * `open()` checks the tables and never alters existing ones. It throws `FST_USERS_TABLE_MISMATCH` for missing tables,
 * unless `createTables` is set; `FST_USERS_STORE_UNAVAILABLE` if the server does not answer; and
 * `FST_USERS_INVALID_OPTION` for session settings that change stored values.
 */
export function mysql (pool: MysqlPool | MysqlCallbackPool, options: SqlServerOptions = {}): DatabaseAdapter {
  const used = mysqlPoolOf(pool)
  if (used === null) throw FST_USERS_INVALID_OPTION(['adapter', 'pass a Pool of the package mysql2 to mysql(), not a single connection'])
  const { tables = {} } = options
  return withMigration(
    sqlServerAdapter(
      { dialect: mysqlDialect, client: pool, connect: (timeoutMs) => connectMysql2(used, timeoutMs) },
      options
    ),
    lazyMigration({ dialect: mysqlDialect, isAtomic: false, mappings: tables }, async () => {
      const { mysqlMigration } = await import('./migration/mysql-source.js')
      return mysqlMigration(used, tables)
    })
  )
}

/** Returns a driver for a pool. Throws `FST_USERS_INVALID_OPTION` for session settings that change stored values. */
export async function connectMysql2 (pool: MysqlPool, timeoutMs: number): Promise<SqlDriver> {
  const driver = useMysql2(pool, timeoutMs)
  await mapOpeningErrors(isMysqlRefusal, () => checkMysqlSession(driver))
  return driver
}

/**
 * Returns the promise-based pool, or null for other values. A single connection is refused: concurrent requests share
 * it, so one request's queries would run inside another request's transaction.
 */
export function mysqlPoolOf (value: unknown): MysqlPool | null {
  if (typeof value !== 'object' || value === null || !('getConnection' in value) || !('execute' in value)) return null
  // the methods were checked above
  return 'promise' in value ? (value as MysqlCallbackPool).promise() : (value as MysqlPool)
}
