import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import type { Migration } from '../sql/migration/migration-source.js'
import type { TableMappings } from '../sql/schema.js'
import { sessionOf, useKysely } from './driver.js'
import type { Engine } from './engines.js'
import type { KyselyInstance } from './instance.js'

/** How long a command waits for a connection, and for what it asks of the session. Milliseconds. */
const TIMEOUT_MS = 10_000

/**
 * How the database of an instance without plugins is migrated, by one of its own connections; the instance stays open.
 */
export function kyselyMigration (db: KyselyInstance, engine: Engine, mappings: TableMappings): Migration {
  const {
    isRefusal,
    start,
    migration: { inTransaction, ...migration }
  } = engine
  return {
    ...migration,
    mappings,
    async connect () {
      const driver = useKysely(db, engine, TIMEOUT_MS)
      await mapOpeningErrors(isRefusal, async () => {
        await driver.prepare('SELECT 1 AS reached').get([])
        await start?.(driver)
      })
      return {
        close () {},
        transaction: (mode, work) =>
          db.connection().execute((connection) => inTransaction(sessionOf(connection), mode, work))
      }
    }
  }
}
