/**
 * The adapter for SQLite.
 *
 * @module fastify-users/sqlite
 */

export { sqlite } from '../adapters/sql/sqlite.js'
export type { NodeSqliteDatabase, NodeSqliteStatement } from '../adapters/sql/drivers/node-sqlite.js'
export type { SqliteDatabase, SqliteStatement } from '../adapters/sql/drivers/sqlite-database.js'
export type { TableMappings } from '../adapters/sql/schema.js'
export type { SqlAdapterOptions } from '../adapters/sql/sql-options.js'
export type { TableMapping } from '../adapters/sql/table.js'
