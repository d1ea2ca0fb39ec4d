import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { checkObject } from '../../shared/option-checks.js'
import { kDefinitions } from '../../symbols.js'
import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import { sqlServerAdapter } from '../sql/sql-adapter.js'
import { describeClient, prismaTransactionOf, type PrismaInstance } from './client.js'
import { DataModel } from './data-model.js'
import { usePrisma, usePrismaTransaction } from './driver.js'
import { prismaEngineOf } from './engines.js'

export type { PrismaInstance, PrismaQueries } from './client.js'

/** Options of `prisma`. */
export interface PrismaOptions {
  /**
   * Names of models of the Prisma schema by the names of this package's models, such as `{ user: 'Member' }`. Default:
   * the model with the same name; case and `_` do not matter, so `AccessToken` is the model `accesstoken`.
   */
  models?: Readonly<Record<string, string>>
  /**
   * PostgreSQL only: the schema of the tables, as it was passed to the driver adapter. Default: the schema of the
   * Prisma model of users (`@@schema`), or the connection's `search_path`.
   */
  schema?: string
  /**
   * Time limit of one statement in milliseconds, including the wait for a connection. Default: 5000. After that the
   * request gets a 503. A write that timed out may or may not have happened.
   */
  timeoutMs?: number
}

/**
 * Creates an adapter for the database of a `PrismaClient` (Prisma 7) for PostgreSQL, MySQL or SQLite. Names and types
 * come from the data model of the generated client. The application disconnects the client.
 * `open()` throws `FST_USERS_TABLE_MISMATCH` with the lines to add if a model or a table does not fit, and
 * `FST_USERS_STORE_UNAVAILABLE` if the server does not answer. It creates no tables.
 */
export function prisma (client: PrismaInstance, options: PrismaOptions = {}): DatabaseAdapter {
  const description = describeClient(client)
  const { models = {}, schema = undefined } = options
  checkObject('models', models)
  const dataModel = new DataModel(description, models)
  const engine = prismaEngineOf(description.database, schema ?? dataModel.schema)
  const adapter = sqlServerAdapter(
    {
      dialect: engine.dialect,
      client,
      options: ['models', 'schema'],
      mappingsOf: (defined) => dataModel.mappingsOf(defined),
      async connect (timeoutMs) {
        const driver = usePrisma(description.client, engine, timeoutMs)
        await mapOpeningErrors(engine.isRefusal, async () => {
          await engine.start?.(driver)
        })
        return driver
      },
      transactions: {
        dialect: engine.dialect,
        use: (transaction, { timeoutMs, isUtc }) =>
          usePrismaTransaction(prismaTransactionOf(transaction, engine.database), engine, timeoutMs, isUtc)
      }
    },
    options
  )
  return Object.defineProperty(adapter, kDefinitions, { value: `prisma-${description.database}` })
}
