/**
 * The adapter for PostgreSQL, and the channel of the user cache.
 *
 * @module fastify-users/postgres
 */

export { postgres, type PostgresOptions } from '../adapters/sql/postgres.js'
export {
  postgresChannel,
  type PgChannelClient,
  type PgChannelPool,
  type PgNotification,
  type PostgresChannelOptions
} from '../adapters/sql/postgres-channel.js'
export type { PgClient, PgPool, PgQuery, PgResult } from '../adapters/sql/drivers/pg-pool.js'
export type { TableMappings } from '../adapters/sql/schema.js'
export type { SqlAdapterOptions, SqlServerOptions } from '../adapters/sql/sql-options.js'
export type { TableMapping } from '../adapters/sql/table.js'
