import type { DatabaseAdapter } from '../../../contracts/database-adapter.js'
import { kStoreSchema } from '../../../symbols.js'
import type { Migration } from './migration-source.js'
import { sqlSchema } from './sql-schema.js'

/**
 * Symbol property of an adapter that holds the migration of its database. It is registered globally, so that two copies
 * of the package share it.
 */
const kMigration = Symbol.for('fastify-users.migration')

/** Returns a migration whose code is loaded when it connects. Applications that only serve requests never load it. */
export function lazyMigration (parts: Omit<Migration, 'connect'>, load: () => Promise<Migration>): Migration {
  return { ...parts, connect: async (missing) => await (await load()).connect(missing) }
}

/** Adds the migration of its database to an adapter. */
export function withMigration<T extends DatabaseAdapter> (adapter: T, migration: Migration): T {
  return Object.defineProperties(adapter, {
    [kMigration]: { value: migration },
    [kStoreSchema]: { value: sqlSchema(migration) }
  })
}

/** Returns the migration of an adapter's database, or null for adapters without SQL tables. */
export function migrationOf (adapter: DatabaseAdapter): Migration | null {
  return (adapter as { [kMigration]?: Migration })[kMigration] ?? null // only withMigration writes this symbol
}
