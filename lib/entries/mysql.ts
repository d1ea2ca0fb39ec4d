/**
 * The adapter for MySQL and MariaDB.
 *
 * @module fastify-users/mysql
 */

export { mysql } from '../adapters/sql/mysql.js'
export type {
  MysqlCallbackPool,
  MysqlConnection,
  MysqlPool,
  MysqlQuery
} from '../adapters/sql/drivers/mysql2-pool.js'
export type { TableMappings } from '../adapters/sql/schema.js'
export type { SqlAdapterOptions, SqlServerOptions } from '../adapters/sql/sql-options.js'
export type { TableMapping } from '../adapters/sql/table.js'
