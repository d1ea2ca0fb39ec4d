import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import type { StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { isObject } from '../../shared/values.js'
import { kDefinitions, kStoreSchema } from '../../symbols.js'
import type { Codec, Dialect } from '../sql/dialects/dialect.js'
import type { Migration } from '../sql/migration/migration-source.js'
import { sqlSchema } from '../sql/migration/sql-schema.js'
import { sqlServerAdapter } from '../sql/sql-adapter.js'
import type { TransactionAccess } from '../sql/sql-options.js'
import { Definitions, type DefinedColumn } from './definitions.js'
import { drizzleEngineOf, type DrizzleEngine } from './engines.js'
import { databaseOf, transactionOf, type DrizzleInstance, type DrizzleMethods } from './instance.js'
import { transactionDialect, useDrizzleTransaction } from './transaction.js'

export type { DrizzleInstance } from './instance.js'

/** Options of `drizzle`. */
export interface DrizzleOptions {
  /**
   * Time limit of one statement in milliseconds, including the wait for a connection of the pool. Default: 5000. After
   * that the request gets a 503. It has no effect on better-sqlite3.
   */
  timeoutMs?: number
}

/** Times as the mode `timestamp_ms` of Drizzle stores them. */
const milliseconds: Codec = {
  encode: (value) => (value as Date).getTime(), // callers check the type
  decode: (raw) => (typeof raw === 'number' ? new Date(raw) : undefined)
}

/**
 * Creates an adapter for the database of a Drizzle instance (0.45): `drizzle-orm/node-postgres` with a `Pool`,
 * `drizzle-orm/mysql2` with a `Pool`, or `drizzle-orm/better-sqlite3`. `tables` is an object or module with the
 * definitions of the tables by the names of the models, such as `user` and `accesstoken`; other values in it are
 * ignored. Statements run on the client of the instance, which the application closes.
 * `open()` throws `FST_USERS_TABLE_MISMATCH` with the lines to add if a definition or a table does not fit, and
 * `FST_USERS_STORE_UNAVAILABLE` if the server does not answer. It creates no tables.
 */
export function drizzle (db: DrizzleInstance, tables: object, options: DrizzleOptions = {}): DatabaseAdapter {
  const database = databaseOf(db)
  if (!isObject(tables)) {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'the second argument of drizzle() must be an object with the definitions of the tables'
    ])
  }
  const definitions = new Definitions(db as unknown as DrizzleMethods, database, tables) // the class was checked
  const engine = drizzleEngineOf(db.$client, database, definitions.schema)
  const dialect = withDefinitions(engine.dialect, definitions)
  const adapter = sqlServerAdapter(
    {
      dialect,
      client: db.$client as object, // drizzleEngineOf checked it
      connect: engine.connect,
      mappingsOf: (models) => definitions.mappingsOf(models),
      transactions: transactionsOf(dialect, definitions, engine)
    },
    options
  )
  return Object.defineProperties(adapter, {
    [kDefinitions]: { value: `drizzle-${database}` },
    [kStoreSchema]: { value: drizzleSchemaOf({ ...engine.migration, dialect }, definitions) }
  })
}

/** Returns the dialect with the columns of the definitions. */
function withDefinitions (dialect: Dialect, definitions: Definitions): Dialect {
  return {
    ...dialect,
    codec (field, type, place) {
      const codec = dialect.codec(field, type, place)
      const defined = place === undefined ? undefined : definitions.columnOf(place.model, place.field)
      return defined === undefined ? codec : columnCodecOf(defined, codec)
    },
    filled: (model) => definitions.filledOf(model)
  }
}

function columnCodecOf ({ column }: DefinedColumn, codec: Codec): Codec {
  if (column.columnType === 'SQLiteTimestamp') return milliseconds
  if (!column.columnType.endsWith('CustomColumn')) return codec
  return {
    ...codec,
    encode: (value) => column.mapToDriverValue(value),
    decode: (raw) => codec.decode(column.mapFromDriverValue(raw))
  }
}

function transactionsOf (
  dialect: Dialect,
  { database }: Definitions,
  { transactions }: DrizzleEngine
): TransactionAccess {
  if (transactions === undefined) {
    return {
      dialect,
      use () {
        const reason = 'is not supported with better-sqlite3, whose transactions cannot wait'
        throw FST_USERS_INVALID_OPTION(['transaction', reason])
      }
    }
  }
  return {
    dialect: transactionDialect(dialect, transactions),
    use: (transaction, settings) => useDrizzleTransaction(transactionOf(transaction, database), transactions, settings)
  }
}

/** Returns the schema operations for the command line. drizzle-kit creates tables and columns from the definitions. */
function drizzleSchemaOf (migration: Migration, definitions: Definitions): StoreSchema {
  const schemaFor = (models: readonly Model[]): StoreSchema => {
    const { connect, dialect } = migration
    return sqlSchema({
      ...migration,
      mappings: definitions.mappingsOf(models),
      async connect (missing) {
        const source = await connect(missing)
        return {
          ...source,
          transaction: (mode, work) => source.transaction(mode, (database) => work({ ...database, dialect }))
        }
      }
    })
  }
  return {
    creation: (models) => schemaFor(models).creation(models),
    plan: (models) => schemaFor(models).plan(models),
    async apply (models) {
      const schema = schemaFor(models)
      const plan = await schema.plan(models)
      const made = plan.steps.filter(({ kind }) => kind === 'table' || kind === 'column')
      if (made.length === 0) return await schema.apply(models)
      return { ...plan, problems: [...plan.problems, ...made.map(({ text }) => `${text}: drizzle-kit does that`)] }
    },
    now: () => sqlSchema(migration).now()
  }
}
