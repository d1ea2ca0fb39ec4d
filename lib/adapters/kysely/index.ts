import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { sqlServerAdapter } from '../sql/sql-adapter.js'
import type { SqlServerOptions } from '../sql/sql-options.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import { withMigration } from '../sql/migration/adapter-migration.js'
import { useKysely } from './driver.js'
import { engineOf, type Engine } from './engines.js'
import type { KyselyInstance } from './instance.js'
import { kyselyMigration } from './migration.js'

export type { KyselyExpressions, KyselyInstance, KyselyQuery, KyselyResult } from './instance.js'

/** Options of `kysely`. */
export interface KyselyOptions extends SqlServerOptions {
  /** For PostgreSQL: the schema that the tables are in (default: those that the connection's `search_path` finds). */
  schema?: string
}

/**
 * An adapter for the database of a `Kysely` instance (0.28) for PostgreSQL, MySQL or SQLite, whose pool and log it
 * uses. The
 * instance stays open, and its plugins do not see our queries. `open()` checks the tables and throws
 * `FST_USERS_TABLE_MISMATCH` when they are missing, unless `createTables` is set, and `FST_USERS_STORE_UNAVAILABLE` for
 * a
 * server that does not answer; existing tables are never altered. Throws `FST_USERS_INVALID_OPTION`.
 */
export function kysely (db: KyselyInstance, options: KyselyOptions = {}): DatabaseAdapter {
  if (!isInstance(db)) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'kysely() takes an instance of Kysely that is no transaction'])
  }
  const plain = db.withoutPlugins()
  const engine = engineOf(plain, options.schema)
  const adapter = sqlServerAdapter(
    {
      dialect: engine.dialect,
      client: db,
      connect: (timeoutMs) => connect(plain, engine, timeoutMs),
      options: ['schema']
    },
    options
  )
  return withMigration(adapter, kyselyMigration(plain, engine, options.tables ?? {}))
}

async function connect (db: KyselyInstance, engine: Engine, timeoutMs: number): Promise<SqlDriver> {
  const driver = useKysely(db, engine, timeoutMs)
  await mapOpeningErrors(engine.isRefusal, async () => {
    await engine.start?.(driver)
  })
  return driver
}

/** Plain JavaScript may hand in anything. */
function isInstance (value: unknown): value is KyselyInstance {
  return (
    typeof value === 'object' &&
    value !== null &&
    'isTransaction' in value &&
    value.isTransaction === false &&
    'withoutPlugins' in value
  )
}
