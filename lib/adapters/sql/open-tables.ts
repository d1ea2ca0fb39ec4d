import type { Model } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { isUnreachable } from '../shared/unreachable.js'
import type { Dialect } from './dialects/dialect.js'
import type { SqlDriver } from './drivers/driver.js'
import { checkVersions, recordVersionStatements } from './migration/schema-version.js'
import { planTables, type TableMappings } from './schema.js'
import type { FoundTable, Table } from './table.js'
import { constraintMismatches } from './table-check.js'

type Rows = readonly (readonly unknown[])[]
type Tables = ReadonlyMap<string, Table>

/** Argument of `openTables`. */
export interface TablesToOpen {
  readonly dialect: Dialect
  readonly models: readonly Model[]
  readonly mappings: TableMappings
  /** True if missing tables are created. */
  readonly creates: boolean
}

/** The tables by model name, as they were found. */
export interface OpenedTables {
  readonly tables: Tables
  readonly found: ReadonlyMap<string, FoundTable>
  /** The driver that reads the tables. */
  readonly driver: SqlDriver
  /** True if its statements run in UTC. */
  readonly isUtc: boolean
}

/**
 * Checks the tables of all models, creates the missing ones if `creates` is set, and returns the tables by model name
 * with the driver that reads them. Throws `FST_USERS_TABLE_MISMATCH` for tables that are missing or cannot be used.
 */
export async function openTables (
  driver: SqlDriver,
  { dialect, models, mappings, creates }: TablesToOpen
): Promise<OpenedTables> {
  let tables: Tables = new Map()
  let found: ReadonlyMap<string, FoundTable> = new Map()
  await driver.change(dialect.catalog, (catalog) => {
    const plan = planTables(dialect, models, mappings, catalog)
    tables = plan.tables
    found = plan.found
    const statements = [...recordVersionStatements(dialect, plan.missing, plan.found), ...plan.statements]
    if (!creates && plan.missing.length > 0) throw missingTables(plan.missing, statements)
    return statements
  })
  await checkVersions(async (text) => await driver.prepare(text).all([]), tables.values(), found)
  await checkConstraints(driver, tables, found)
  const isUtc = needsUtc(dialect, tables)
  return { tables, found, isUtc, driver: (isUtc ? await driver.inUtc?.() : undefined) ?? driver }
}

/** Returns the error for missing tables. The statements are those that `createTables` runs. */
function missingTables (missing: readonly Table[], statements: readonly string[]): Error {
  const names = missing.map(({ name }) => name).join('", "')
  return FST_USERS_TABLE_MISMATCH([
    names,
    `the database has no such table; run \`npx fastify-users migrate\` or the statements below, or set \`createTables: true\` in development:\n${statements.join(';\n')};`
  ])
}

/** Throws `FST_USERS_TABLE_MISMATCH` for an existing table whose constraints refuse every new row. */
async function checkConstraints (
  driver: SqlDriver,
  tables: Tables,
  found: ReadonlyMap<string, FoundTable>
): Promise<void> {
  const all = async (text: string): Promise<Rows> => await driver.prepare(text).all([])
  const attempt = (text: string): Promise<Rows | null> =>
    all(text).catch((error: unknown) => {
      if (isUnreachable(error)) throw error
      return null
    })
  for (const table of tables.values()) {
    const stored = found.get(table.dialect.foldName(table.name))
    if (stored === undefined) continue
    const [mismatch] = await constraintMismatches({ all, attempt }, { table, found: stored, tables })
    if (mismatch !== undefined) throw FST_USERS_TABLE_MISMATCH([table.name, mismatch])
  }
}

/** Returns true if a time column has a type that is read and written in the time zone of the session. */
function needsUtc ({ isZoned }: Dialect, tables: Tables): boolean {
  if (isZoned === undefined) return false
  return [...tables.values()]
    .flatMap(({ columns }) => columns)
    .some(({ definition, type }) => definition.type === 'time' && type !== undefined && isZoned(type))
}
