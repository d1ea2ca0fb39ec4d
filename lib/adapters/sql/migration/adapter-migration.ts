import type { DatabaseAdapter } from '../../../contracts/database-adapter.js'
import { kStoreSchema } from '../../../symbols.js'
import type { Migration } from './migration-source.js'
import { sqlSchema } from './sql-schema.js'

/**
 * Under which an adapter keeps the way to migrate its database. Registered, so that two copies of the package agree.
 */
const kMigration = Symbol.for('fastify-users.migration')

/** Tells of an adapter how its database is migrated. */
export function withMigration<T extends DatabaseAdapter> (adapter: T, migration: Migration): T {
  return Object.defineProperties(adapter, {
    [kMigration]: { value: migration },
    [kStoreSchema]: { value: sqlSchema(migration) }
  })
}

/** How an adapter's database is migrated; null for adapters without tables. */
export function migrationOf (adapter: DatabaseAdapter): Migration | null {
  return (adapter as { [kMigration]?: Migration })[kMigration] ?? null // nothing but withMigration writes this symbol
}
