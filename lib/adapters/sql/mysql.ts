import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { mysqlDialect } from './dialects/mysql.js'
import type { SqlDriver } from './drivers/driver.js'
import type { MysqlCallbackPool, MysqlPool } from './drivers/mysql2-pool.js'
import { checkSession } from './drivers/mysql2-session.js'
import { isRefusal, useMysql2 } from './drivers/mysql2.js'
import { mapOpeningErrors } from './drivers/driver-errors.js'
import { withMigration } from './migration/adapter-migration.js'
import { mysqlMigration } from './migration/mysql-source.js'
import { sqlServerAdapter, type SqlServerOptions } from './sql-adapter.js'

/**
 * An adapter for MySQL 8 and MariaDB 10.6 or newer through a `Pool` of the package `mysql2`, which stays open. Tables
 * are
 * those of the pool's `database`. `open()` checks them and throws `FST_USERS_TABLE_MISMATCH` when they are missing,
 * unless
 * `createTables` is set, and `FST_USERS_STORE_UNAVAILABLE` for a server that does not answer; existing tables are never
 * altered. Throws `FST_USERS_INVALID_OPTION`, also for sessions that would change what is stored.
 */
export function mysql (pool: MysqlPool | MysqlCallbackPool, options: SqlServerOptions = {}): DatabaseAdapter {
  const used = poolOf(pool)
  if (used === null) throw FST_USERS_INVALID_OPTION(['adapter', 'mysql() takes a Pool of the package mysql2'])
  return withMigration(
    sqlServerAdapter(
      { dialect: mysqlDialect, client: pool, connect: (timeoutMs) => connect(used, timeoutMs) },
      options
    ),
    mysqlMigration(used, options.tables ?? {})
  )
}

async function connect (pool: MysqlPool, timeoutMs: number): Promise<SqlDriver> {
  const driver = useMysql2(pool, timeoutMs)
  await mapOpeningErrors(isRefusal, () => checkSession(driver))
  return driver
}

/**
 * Plain JavaScript may hand in anything. A lone connection is refused: a transaction of another request would take our
 * queries in.
 */
function poolOf (value: unknown): MysqlPool | null {
  if (typeof value !== 'object' || value === null || !('getConnection' in value) || !('execute' in value)) return null
  // both checked by their methods
  return 'promise' in value ? (value as MysqlCallbackPool).promise() : (value as MysqlPool)
}
