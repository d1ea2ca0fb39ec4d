import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { sqlServerAdapter } from '../sql/sql-adapter.js'
import type { SqlServerOptions, TransactionSettings } from '../sql/sql-options.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import { transactionDriver } from '../sql/drivers/write-all.js'
import { withMigration } from '../sql/migration/adapter-migration.js'
import { useKysely } from './driver.js'
import { kyselyEngineOf, type Engine } from './engines.js'
import type { KyselyInstance } from './instance.js'
import { kyselyMigration } from './migration.js'

export type { KyselyExpressions, KyselyInstance, KyselyQuery, KyselyResult } from './instance.js'

/** Options of `kysely`. */
export interface KyselyOptions extends SqlServerOptions {
  /** PostgreSQL only: the schema of the tables. Default: tables are found through the connection's `search_path`. */
  schema?: string
}

/**
 * Creates an adapter for the database of a `Kysely` instance (0.28) for PostgreSQL, MySQL or SQLite. It uses the
 * connections and the log of the instance, but not its plugins. The application closes the instance.
 * `open()` checks the tables and never alters existing ones. It throws `FST_USERS_TABLE_MISMATCH` for missing tables,
 * unless `createTables` is set; `FST_USERS_STORE_UNAVAILABLE` if the server does not answer; and
 * `FST_USERS_INVALID_OPTION` for session settings that change stored values.
 */
export function kysely (db: KyselyInstance, options: KyselyOptions = {}): DatabaseAdapter {
  if (!isInstance(db)) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'pass to kysely() an instance of Kysely that is not a transaction'])
  }
  const plain = db.withoutPlugins()
  const engine = kyselyEngineOf(plain, options.schema)
  const adapter = sqlServerAdapter(
    {
      dialect: engine.dialect,
      client: db,
      connect: (timeoutMs) => connect(plain, engine, timeoutMs),
      transactions: {
        dialect: engine.dialect,
        use: (transaction, settings) => useKyselyTransaction(transaction, engine, settings)
      },
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

function useKyselyTransaction (
  transaction: unknown,
  engine: Engine,
  { timeoutMs, isUtc }: TransactionSettings
): SqlDriver {
  if (!hasInstanceMethods(transaction) || !transaction.isTransaction) {
    throw FST_USERS_INVALID_OPTION(['transaction', 'must be the transaction that Kysely passes to its callback'])
  }
  // after an error, the application rolls the transaction back, so no statement is tried again or shared with others
  const once = { ...engine, isServer: false, hadNoEffect: () => false }
  return transactionDriver(
    useKysely(transaction.withoutPlugins(), once, timeoutMs, isUtc ? engine.inUtc : undefined).prepare
  )
}

function isInstance (value: unknown): value is KyselyInstance {
  return hasInstanceMethods(value) && !value.isTransaction
}

function hasInstanceMethods (value: unknown): value is KyselyInstance {
  return typeof value === 'object' && value !== null && 'isTransaction' in value && 'withoutPlugins' in value
}
