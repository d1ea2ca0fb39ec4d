/**
 * The adapter for instances of Kysely.
 *
 * @module fastify-users/kysely
 */

export {
  kysely,
  type KyselyExpressions,
  type KyselyInstance,
  type KyselyOptions,
  type KyselyQuery,
  type KyselyResult
} from '../adapters/kysely/index.js'
export type { TableMappings } from '../adapters/sql/schema.js'
export type { SqlAdapterOptions, SqlServerOptions } from '../adapters/sql/sql-options.js'
export type { TableMapping } from '../adapters/sql/table.js'
