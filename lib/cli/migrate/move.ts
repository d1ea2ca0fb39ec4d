import type { MigrationDatabase, StoredTable } from '../../adapters/sql/migration/migration-source.js'
import { missingColumns, schemaChanges, type SchemaChange } from '../../adapters/sql/migration/schema-changes.js'
import { makeTable, type Table } from '../../adapters/sql/table.js'
import { mappingOf, type TableMappings } from '../../adapters/sql/schema.js'
import { quoted } from '../../shared/text.js'
import type { UserRows } from '../../users/index.js'
import type { Config } from '../config.js'
import { fastapiTables, type FastapiTable } from './fastapi-tables.js'

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

/** A table of FastAPI Users: our definition (`table`) and the existing one (`stored`). */
export interface MovedTable {
  readonly table: Table
  readonly stored: StoredTable
  readonly source: FastapiTable
}

/** The existing tables. Null: the table does not exist, and the application creates it when it starts. */
export interface MovedTables {
  readonly users: MovedTable | null
  readonly tokens: MovedTable | null
  readonly accounts: MovedTable | null
}

/** A pending change of a table's definition. */
export interface PendingChange extends SchemaChange {
  readonly table: Table
}

/** Returns the existing tables of FastAPI Users. */
export async function findTables (database: MigrationDatabase, { config, mappings }: Move): Promise<MovedTables> {
  const { users, tokens, accounts } = fastapiTables(config.settings)
  const find = async (source: FastapiTable): Promise<MovedTable | null> => {
    const table = makeTable(source.model, database.dialect, mappingOf(source.model, mappings))
    const stored = await database.describe(table.name)
    return stored === null ? null : { table, stored, source }
  }
  return { users: await find(users), tokens: await find(tokens), accounts: await find(accounts) }
}

/** Returns the changes that the table definitions need, and problems that prevent them. */
export async function planChanges (
  database: MigrationDatabase,
  { users, tokens, accounts }: MovedTables
): Promise<{ changes: PendingChange[]; problems: string[] }> {
  const changes: PendingChange[] = []
  const problems: string[] = []
  for (const found of [users, tokens, accounts]) {
    if (found === null) continue
    const { table, stored, source } = found
    const missing = missingColumns(table, stored)
    if (missing.length > 0) {
      const names = missing.map(quoted).join(', ')
      problems.push(
        `table ${quoted(table.name)} lacks the columns ${names}; ` +
        "add them, or map their names with the adapter's option `tables`"
      )
      continue
    }
    const plan = await schemaChanges(database, table, stored, source.widths)
    if (plan.unreadable) {
      problems.push(`table ${quoted(table.name)}: its definition cannot be parsed; change its columns by hand`)
    }
    changes.push(...plan.changes.map((change) => ({ table, ...change })))
  }
  return { changes, problems }
}
