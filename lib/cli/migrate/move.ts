import type { MigrationDatabase, StoredTable } from '../../adapters/sql/migration/migration-source.js'
import {
  missingColumns,
  schemaChanges,
  widthsOf,
  type SchemaChange
} from '../../adapters/sql/migration/schema-changes.js'
import { readTableVersions } from '../../adapters/sql/migration/schema-version.js'
import { optionNameOf } from '../../shared/tenant.js'
import { pendingSteps } from '../../adapters/shared/upgrades.js'
import { makeTable, type Table } from '../../adapters/sql/table.js'
import { mappingOf, type TableMappings } from '../../adapters/sql/schema.js'
import { quoted } from '../../shared/text.js'
import type { UserRows } from '../../users/index.js'
import type { Config } from '../config.js'
import { movedModels } from './moved-models.js'

/** Backend whose plain tokens are replaced by digests. `digestToken` computes them with `label`. */
export interface DigestBackend {
  readonly backend: string
  readonly label: string
}

/** Options and services of `migrate --from fastapi-users`. */
export interface Move {
  readonly config: Config
  readonly rows: UserRows
  readonly mappings: TableMappings
  readonly pruneOrphans: boolean
  /** Null: stored tokens are not changed. */
  readonly digests: DigestBackend | null
}

/** An existing table of a model. */
export interface MovedTable {
  /** The table as the model defines it. */
  readonly table: Table
  /** The table with only those columns that exist. */
  readonly present: Table
  readonly stored: StoredTable
  /** Fields that the table may lack. */
  readonly added: ReadonlySet<string>
}

/** The tables of all models of the config. The application creates missing ones when it starts. */
export interface MovedTables {
  /** The existing tables. Tables with pending upgrade steps of their model are left to `migrate` without `--from`. */
  readonly found: readonly MovedTable[]
  /** The table of users, which is one of `found`; null if it does not exist. */
  readonly users: MovedTable | null
  /** The table of stored tokens, which is one of `found`; null if it does not exist. */
  readonly tokens: MovedTable | null
  /** Names of the tables of all models. The first one is that of the users. */
  readonly names: readonly string[]
}

/** A pending change of a table's definition. */
export interface PendingChange extends SchemaChange {
  readonly table: Table
}

/** Returns the tables of the config's models. */
export async function findTables (database: MigrationDatabase, { config, mappings }: Move): Promise<MovedTables> {
  const { dialect } = database
  const versions = await readTableVersions(database)
  const found: MovedTable[] = []
  const names: string[] = []
  for (const { model, added } of movedModels(config)) {
    const table = makeTable(model, dialect, mappingOf(model, mappings))
    names.push(table.name)
    const stored = await database.describe(table.name)
    if (stored === null || pendingSteps(model, versions.of(table)).length > 0) continue
    const columns = table.columns.filter(({ name }) => stored.columns.has(dialect.foldName(name)))
    found.push({ table, present: { ...table, columns }, stored, added })
  }
  const named = (name: string): MovedTable | null =>
    found.find(({ table }) => optionNameOf(table.model) === name) ?? null
  return { found, users: named('user'), tokens: named('accesstoken'), names }
}

/** Returns the names of tables that refer to users and belong to no model of the config. */
export async function unusedTables (
  database: MigrationDatabase,
  { users, names }: Pick<MovedTables, 'names'> & { users: MovedTable }
): Promise<string[]> {
  const { foldName } = database.dialect
  const known = new Set(names.map(foldName))
  return (await database.referencing(users.table.name)).filter((name) => !known.has(foldName(name)))
}

/** Returns the changes that the table definitions need, and problems that prevent them. */
export async function planChanges (
  database: MigrationDatabase,
  { found }: Pick<MovedTables, 'found'>
): Promise<{ changes: PendingChange[]; problems: string[] }> {
  const changes: PendingChange[] = []
  const problems: string[] = []
  for (const { table, stored, added } of found) {
    const missing = missingColumns(table, stored, added)
    if (missing.length > 0) {
      const names = missing.map(quoted).join(', ')
      problems.push(
        `table ${quoted(table.name)} lacks the columns ${names}; ` +
        "add them, or map their names with the adapter's option `tables`"
      )
      continue
    }
    const plan = await schemaChanges(database, table, stored, widthsOf(table))
    if (plan.unreadable) {
      problems.push(`table ${quoted(table.name)}: its definition cannot be parsed; change its columns by hand`)
    }
    changes.push(...plan.changes.map((change) => ({ table, ...change })))
  }
  return { changes, problems }
}
