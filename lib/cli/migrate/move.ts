import type { MigrationDatabase, StoredTable } from '../../adapters/sql/migration/migration-source.js'
import { missingColumns, schemaChanges, type SchemaChange } from '../../adapters/sql/migration/schema-changes.js'
import { makeTable, type Table } from '../../adapters/sql/table.js'
import { mappingOf, type TableMappings } from '../../adapters/sql/schema.js'
import type { UserRows } from '../../users/index.js'
import type { Config } from '../config.js'
import { adoptedModels, type Adopted } from './adopted-models.js'

/** How stored tokens become digests: the label of the backend whose they are. */
export interface Digests {
  readonly backend: string
  readonly label: string
}

/** What was asked for, and what it works with. */
export interface Move {
  readonly config: Config
  readonly rows: UserRows
  readonly mappings: TableMappings
  readonly pruneOrphans: boolean
  /** Null: tokens stay as they are stored. */
  readonly digests: Digests | null
}

/** A table of the database, as it is and as it will be. */
export interface MovedTable {
  readonly table: Table
  readonly stored: StoredTable
  readonly adopted: Adopted
}

/** The tables that were found. Others are made when the application starts. */
export interface MovedTables {
  readonly users: MovedTable | null
  readonly tokens: MovedTable | null
  readonly accounts: MovedTable | null
}

/** A pending change with its table. */
export interface PendingChange extends SchemaChange {
  readonly table: Table
}

/** Looks up the tables. */
export async function findTables (database: MigrationDatabase, { config, mappings }: Move): Promise<MovedTables> {
  const { users, tokens, accounts } = adoptedModels(config.settings)
  const find = async (adopted: Adopted): Promise<MovedTable | null> => {
    const table = makeTable(adopted.model, database.dialect, mappingOf(adopted.model, mappings))
    const stored = await database.describe(table.name)
    return stored === null ? null : { table, stored, adopted }
  }
  return { users: await find(users), tokens: await find(tokens), accounts: await find(accounts) }
}

/** What must change in the tables' definitions, or why it cannot. */
export async function planChanges (
  database: MigrationDatabase,
  { users, tokens, accounts }: MovedTables
): Promise<{ changes: PendingChange[]; problems: string[] }> {
  const changes: PendingChange[] = []
  const problems: string[] = []
  for (const found of [users, tokens, accounts]) {
    if (found === null) continue
    const { table, stored, adopted } = found
    const missing = missingColumns(table, stored)
    if (missing.length > 0) {
      problems.push(
        `table ${quoted(table.name)} lacks the columns ${missing.map(quoted).join(', ')}; add them, or map their names with the adapter's option \`tables\``
      )
      continue
    }
    const plan = await schemaChanges(database, table, stored, adopted.widths)
    if (plan.unreadable) {
      problems.push(`table ${quoted(table.name)}: its definition cannot be read; change its columns by hand`)
    }
    changes.push(...plan.changes.map((change) => ({ table, ...change })))
  }
  return { changes, problems }
}

/** A name from the database, so that nothing in it reaches the terminal as a control character. */
export function quoted (name: unknown): string {
  return JSON.stringify(name)
}
