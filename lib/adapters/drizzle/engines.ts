import type { MaybePromise } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { asMysqlText, asPostgresText, type ReadForm } from '../sql/dialects/named-columns.js'
import { postgresIn } from '../sql/dialects/postgres.js'
import { sqliteDialect, sqliteWithoutNul } from '../sql/dialects/sqlite.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import { checkEscapes } from '../sql/drivers/mysql2-session.js'
import * as mysqlErrors from '../sql/drivers/mysql2-errors.js'
import { inUtc } from '../sql/drivers/mysql2.js'
import * as pgErrors from '../sql/drivers/pg-errors.js'
import { useSqlite } from '../sql/drivers/sqlite.js'
import { isSqliteDatabase, keepsNul } from '../sql/drivers/sqlite-database.js'
import { lazyMigration } from '../sql/migration/adapter-migration.js'
import type { Migration } from '../sql/migration/migration-source.js'
import { connectMysql2, mysqlPoolOf } from '../sql/mysql.js'
import { connectPg, isPgPool } from '../sql/postgres.js'
import type { SqlWrittenRows } from './transaction.js'
import type { DrizzleDatabase } from './column-text.js'
import { readMysqlResult, readPostgresResult } from './transaction.js'

/** The client under an instance, and how the adapter uses it. */
export interface DrizzleEngine {
  readonly dialect: Dialect
  readonly migration: Migration
  connect(timeoutMs: number): MaybePromise<SqlDriver>
  /** Runs statements in a transaction of Drizzle; undefined if its transactions cannot wait for other work. */
  readonly transactions?: TransactionEngine
}

/** The form of statements and results in a transaction of Drizzle, which returns rows as objects. */
export interface TransactionEngine {
  readonly form: ReadForm
  readonly isRefusal: (error: unknown) => boolean
  readonly inUtc?: (sql: string) => string
  /** Reads the result of `execute`. */
  readonly readResult: (result: unknown) => SqlWrittenRows
}

/**
 * Returns the engine for the client of an instance. `schema` is the schema of the tables in PostgreSQL. Throws
 * `FST_USERS_INVALID_OPTION` for other clients.
 */
export function drizzleEngineOf (
  client: unknown,
  database: DrizzleDatabase,
  schema: string | undefined
): DrizzleEngine {
  if (database === 'postgres' && isPgPool(client)) {
    const dialect = postgresIn(schema)
    return {
      dialect,
      migration: lazyMigration({ dialect, isAtomic: true, mappings: {} }, async () =>
        (await import('../sql/migration/postgres-source.js')).postgresMigration(client, {}, schema)
      ),
      connect: (timeoutMs) => connectPg(client, timeoutMs),
      transactions: { form: asPostgresText, isRefusal: pgErrors.isPgRefusal, readResult: readPostgresResult }
    }
  }
  const pool = database === 'mysql' ? mysqlPoolOf(client) : null
  if (pool !== null) {
    return {
      dialect: mysqlDialect,
      migration: lazyMigration({ dialect: mysqlDialect, isAtomic: false, mappings: {} }, async () =>
        (await import('../sql/migration/mysql-source.js')).mysqlMigration(pool, {})
      ),
      async connect (timeoutMs) {
        const driver = await connectMysql2(pool, timeoutMs)
        // in a transaction, Drizzle lets mysql2 insert values into the statement text
        await mapOpeningErrors(mysqlErrors.isMysqlRefusal, () => checkEscapes(driver, 'drizzle'))
        return driver
      },
      transactions: {
        form: asMysqlText,
        isRefusal: mysqlErrors.isMysqlRefusal,
        inUtc,
        readResult: readMysqlResult
      }
    }
  }
  if (database === 'sqlite' && isSqliteDatabase(client)) {
    return {
      dialect: keepsNul(client) ? sqliteDialect : sqliteWithoutNul,
      migration: lazyMigration({ dialect: sqliteDialect, isAtomic: true, mappings: {} }, async () =>
        (await import('../sql/migration/sqlite-source.js')).sqliteMigration(client, {})
      ),
      connect: () => useSqlite(client)
    }
  }
  throw FST_USERS_INVALID_OPTION([
    'adapter',
    'drizzle() needs an instance of drizzle-orm/node-postgres with a Pool, of drizzle-orm/mysql2 with a Pool, or of drizzle-orm/better-sqlite3'
  ])
}
