import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { sqliteDialect, sqliteWithoutNul } from './dialects/sqlite.js'
import { openBetterSqlite3 } from './drivers/better-sqlite3.js'
import { fromNodeSqlite, isNodeSqlite, type NodeSqliteDatabase } from './drivers/node-sqlite.js'
import { useSqlite } from './drivers/sqlite.js'
import { isSqliteDatabase, keepsNul, type SqliteDatabase } from './drivers/sqlite-database.js'
import { withMigration } from './migration/adapter-migration.js'
import { sqliteMigration } from './migration/sqlite-source.js'
import { sqlAdapter, type SqlAdapterOptions } from './sql-adapter.js'

/**
 * An adapter for SQLite: the path of a file, which better-sqlite3 opens, or an open `Database` of better-sqlite3 or
 * libsql,
 * or a `DatabaseSync` of `node:sqlite` (Node 22.16). `open()` creates the tables that are missing and never alters
 * others.
 * A path is opened in WAL mode and closed by `close()`; a database that was handed in stays open and keeps its mode.
 */
export function sqlite (
  pathOrDatabase: string | SqliteDatabase | NodeSqliteDatabase,
  options: SqlAdapterOptions = {}
): DatabaseAdapter {
  const { tables = {} } = options
  if (typeof pathOrDatabase === 'string' && pathOrDatabase !== '') return fileAdapter(pathOrDatabase, options)
  const database = isNodeSqlite(pathOrDatabase) ? fromNodeSqlite(pathOrDatabase) : pathOrDatabase
  if (!isSqliteDatabase(database)) {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'sqlite() takes the path of a file, a Database of better-sqlite3 or libsql, or a DatabaseSync of Node 22.16 or newer'
    ])
  }
  const dialect = keepsNul(database) ? sqliteDialect : sqliteWithoutNul
  return withMigration(
    sqlAdapter({ dialect, client: pathOrDatabase as object, connect: () => useSqlite(database) }, options),
    sqliteMigration(database, tables)
  )
}

function fileAdapter (path: string, options: SqlAdapterOptions): DatabaseAdapter {
  const adapter = sqlAdapter({ dialect: sqliteDialect, connect: () => openBetterSqlite3(path) }, options)
  return withMigration(Object.assign(adapter, { file: path }), sqliteMigration(path, options.tables ?? {}))
}
