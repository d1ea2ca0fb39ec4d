import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { sqliteDialect, sqliteWithoutNul } from './dialects/sqlite.js'
import { openBetterSqlite3 } from './drivers/better-sqlite3.js'
import { fromNodeSqlite, isNodeSqlite, type NodeSqliteDatabase } from './drivers/node-sqlite.js'
import { useSqlite } from './drivers/sqlite.js'
import { isSqliteDatabase, keepsNul, type SqliteDatabase } from './drivers/sqlite-database.js'
import { lazyMigration, withMigration } from './migration/adapter-migration.js'
import type { Migration } from './migration/migration-source.js'
import { sqlAdapter } from './sql-adapter.js'
import type { SqlAdapterOptions } from './sql-options.js'

/**
 * Creates an adapter for SQLite. It takes the path of a file, which better-sqlite3 opens; an open `Database` of
 * better-sqlite3 or libsql; or a `DatabaseSync` of `node:sqlite` (Node 22.16 or newer).
 * `open()` creates missing tables and never alters existing ones. A file is opened in WAL mode and closed by `close()`.
 * An open database keeps its journal mode, and the application closes it.
 */
export function sqlite (
  pathOrDatabase: string | SqliteDatabase | NodeSqliteDatabase,
  options: SqlAdapterOptions = {}
): DatabaseAdapter {
  if (typeof pathOrDatabase === 'string' && pathOrDatabase !== '') return fileAdapter(pathOrDatabase, options)
  const database = isNodeSqlite(pathOrDatabase) ? fromNodeSqlite(pathOrDatabase) : pathOrDatabase
  if (!isSqliteDatabase(database)) {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'pass to sqlite() the path of a file, a Database of better-sqlite3 or libsql, or a DatabaseSync of Node 22.16 or newer'
    ])
  }
  const dialect = keepsNul(database) ? sqliteDialect : sqliteWithoutNul
  return withMigration(
    sqlAdapter({ dialect, client: pathOrDatabase as object, connect: () => useSqlite(database) }, options),
    migrationOfSqlite(database, options)
  )
}

function fileAdapter (path: string, options: SqlAdapterOptions): DatabaseAdapter {
  const adapter = sqlAdapter({ dialect: sqliteDialect, connect: () => openBetterSqlite3(path) }, options)
  return withMigration(Object.assign(adapter, { file: path }), migrationOfSqlite(path, options))
}

function migrationOfSqlite (pathOrDatabase: string | SqliteDatabase, { tables = {} }: SqlAdapterOptions): Migration {
  return lazyMigration({ dialect: sqliteDialect, isAtomic: true, mappings: tables }, async () => {
    const { sqliteMigration } = await import('./migration/sqlite-source.js')
    return sqliteMigration(pathOrDatabase, tables)
  })
}
