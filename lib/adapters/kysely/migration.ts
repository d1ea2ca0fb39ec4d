import { mapOpeningErrors } from '../sql/drivers/driver-errors.js'
import type { Migration } from '../sql/migration/migration-source.js'
import type { TableMappings } from '../sql/schema.js'
import { kyselySession, useKysely } from './driver.js'
import type { Engine } from './engines.js'
import type { KyselyInstance } from './instance.js'

/** Milliseconds that a command waits for a connection and for the checks of its session. */
const TIMEOUT_MS = 10_000

/** Returns the migration of an instance's database. The instance has no plugins, and the application closes it. */
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
          db.connection().execute((connection) => inTransaction(kyselySession(connection), mode, work))
      }
    }
  }
}
