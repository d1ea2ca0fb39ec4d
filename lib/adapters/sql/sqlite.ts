import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { sqliteDialect } from './dialects/sqlite.js'
import { openBetterSqlite3, useBetterSqlite3 } from './drivers/better-sqlite3.js'
import type { SqliteDatabase } from './drivers/sqlite-database.js'
import { withMigration } from './migration/migration-source.js'
import { openSqliteSource, sqliteSource } from './migration/sqlite-source.js'
import { sqlAdapter, type SqlAdapterOptions } from './sql-adapter.js'

/**
 * An adapter for SQLite through better-sqlite3. `open()` creates the tables that are missing and never alters others.
 * A path is opened in WAL mode and closed by `close()`; a `Database` that was handed in stays open and keeps its mode.
 */
export function sqlite (pathOrDatabase: string | SqliteDatabase, options: SqlAdapterOptions = {}): DatabaseAdapter {
  const { tables = {} } = options
  if (typeof pathOrDatabase === 'string' && pathOrDatabase !== '') return withMigration(sqlAdapter(sqliteDialect, () => openBetterSqlite3(pathOrDatabase), options), () => openSqliteSource(pathOrDatabase, tables))
  if (isDatabase(pathOrDatabase)) return withMigration(sqlAdapter(sqliteDialect, () => useBetterSqlite3(pathOrDatabase), options), () => sqliteSource(pathOrDatabase, tables))
  throw FST_USERS_INVALID_OPTION(['adapter', 'sqlite() takes the path of a file or a better-sqlite3 Database'])
}

/** Plain JavaScript may hand in anything. */
function isDatabase (value: unknown): value is SqliteDatabase {
  return typeof value === 'object' && value !== null && 'prepare' in value && 'pragma' in value
}
