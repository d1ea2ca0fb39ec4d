/**
 * The adapter for PostgreSQL.
 *
 * @module fastify-users/postgres
 */

export { postgres, type PostgresOptions } from '../adapters/sql/postgres.js'
export type { PgClient, PgPool, PgQuery, PgResult } from '../adapters/sql/drivers/pg-pool.js'
export type { TableMappings } from '../adapters/sql/schema.js'
export type { SqlAdapterOptions, SqlServerOptions } from '../adapters/sql/sql-options.js'
export type { TableMapping } from '../adapters/sql/table.js'
