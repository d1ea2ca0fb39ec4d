import type { Model } from '../../../contracts/models.js'
import type { SchemaPlan, SchemaStep } from '../../../contracts/store-schema.js'
import { quoted } from '../../../shared/text.js'
import { newerMessage, pendingSteps, type PendingStep, versionOf } from '../../shared/upgrades.js'
import type { Dialect } from '../dialects/dialect.js'
import {
  checkMappings,
  createTableStatements,
  indexPlans,
  mappingOf,
  readCatalog,
  type TableMappings
} from '../schema.js'
import { type Column, type FoundTable, makeTable, type Table } from '../table.js'
import type { MigrationDatabase, StoredTable } from './migration-source.js'
import { columnMismatches, constraintMismatches } from '../table-check.js'
import { describeUpgrades } from './model-upgrades.js'
import { schemaChanges, hasIndexFor, widthsOf } from './schema-changes.js'
import { readTableVersions, recordingStep } from './schema-version.js'
import { findDuplicates, hasRows } from './stored-rows.js'

/** Maximum number of duplicates that a message lists. */
const SHOWN = 20

/**
 * Returns the plan that updates the tables of all models: missing tables, columns and indexes are created, nothing is
 * removed.
 */
export async function planUpgrade (
  database: MigrationDatabase,
  models: readonly Model[],
  mappings: TableMappings
): Promise<SchemaPlan> {
  const tables = new Map(
    models.map((model) => [model.name, makeTable(model, database.dialect, mappingOf(model, mappings))])
  )
  const catalog = readCatalog(database.dialect, await database.all(database.dialect.catalog))
  const targets = targetsOf(tables, catalog, mappings)
  const stored = await readTableVersions(database)
  const steps: SchemaStep[] = []
  const problems: string[] = []
  for (const table of tables.values()) {
    const found = await database.describe(table.name)
    if (found === null) {
      steps.push({
        kind: 'table',
        text: `create the table ${quoted(table.name)}`,
        statements: createTableStatements(table, targets)
      })
    } else {
      const progress = stored.of(table)
      const pending = pendingSteps(table.model, progress)
      const plan =
        progress.version > versionOf(table.model)
          ? { steps: [], problems: [`table ${quoted(table.name)} ${newerMessage(table.model, progress.version)}`] }
          : await planTable(database, table, found, pending, mappings)
      steps.push(...plan.steps)
      // the constraints of a table are checked after its upgrade steps
      problems.push(...plan.problems)
      if (pending.length === 0) problems.push(...(await mismatchesOf(database, table, targets, catalog)))
    }
  }
  const recording = recordingStep([...tables.values()], stored)
  const all = recording === null ? steps : [...steps, recording]
  const makesTables = all.some(
    ({ kind, statements }) => kind === 'table' || statements.some((text) => stored.create.includes(text))
  )
  return { steps: makesTables ? withSchema(database.dialect, all) : all, problems }
}

/** Adds the creation of the PostgreSQL schema to the first step. */
function withSchema ({ createSchema }: Dialect, [first, ...rest]: readonly SchemaStep[]): SchemaStep[] {
  if (first === undefined) return []
  return [createSchema === undefined ? first : { ...first, statements: [createSchema, ...first.statements] }, ...rest]
}

/**
 * Returns the tables that new ones reference, with the types of existing columns. Some databases require equal types.
 */
function targetsOf (
  tables: ReadonlyMap<string, Table>,
  catalog: ReadonlyMap<string, FoundTable>,
  mappings: TableMappings
): Map<string, Table> {
  return new Map(
    [...tables].map(([name, table]) => {
      const found = catalog.get(table.dialect.foldName(table.name))
      const isOurs = found?.columns.has(table.dialect.foldName(table.primaryKey.name)) === true
      return [name, isOurs ? makeTable(table.model, table.dialect, mappingOf(table.model, mappings), found) : table]
    })
  )
}

/** Returns the plan that creates all tables in an empty database. */
export function planCreation (
  dialect: Dialect,
  models: readonly Model[],
  mappings: TableMappings
): Promise<SchemaPlan> {
  checkMappings(dialect, models, mappings)
  return planUpgrade(
    {
      dialect,
      all: () => [],
      run: () => 0,
      describe: () => null,
      alter: () => [],
      attempt: async () => null,
      hasIndex: () => false,
      referencing: () => [],
      dropIndex: () => '',
      exclusively: (work) => work(),
      rowLock: '',
      now: () => null
    },
    models,
    mappings
  )
}

async function planTable (
  database: MigrationDatabase,
  table: Table,
  found: StoredTable,
  pending: readonly PendingStep[],
  mappings: TableMappings
): Promise<SchemaPlan> {
  const name = `table ${quoted(table.name)}`
  const { steps, after } = await describeUpgrades(database, table, found, pending, mappings)
  const problems = await missingColumnProblems(database, table, after)
  if (problems.length > 0) return { steps: [], problems: problems.map((problem) => `${name} ${problem}`) }
  const { changes, unreadable } = await schemaChanges(database, table, after, widthsOf(table))
  // the definition has the columns of `found`
  if (unreadable && pending.length === 0) {
    return { steps: [], problems: [`${name}: its definition cannot be parsed; change its columns by hand`] }
  }
  steps.push(...changes.map(({ kind, text, statements }) => ({ kind, text: `${name}: ${text}`, statements })))
  // upgrade steps may remove duplicates, which are then looked for afterwards
  const duplicates = pending.length > 0 ? [] : await newIndexProblems(database, table, found)
  return { steps, problems: duplicates.map((problem) => `${name}: ${problem}`) }
}

/** Returns the reasons why new rows cannot be stored in a table of another tool. A migration cannot fix them. */
async function mismatchesOf (
  database: MigrationDatabase,
  { model, dialect, name }: Table,
  tables: ReadonlyMap<string, Table>,
  catalog: ReadonlyMap<string, FoundTable>
): Promise<string[]> {
  const found = catalog.get(dialect.foldName(name))
  const table = tables.get(model.name)
  if (found === undefined || table === undefined) return []
  const refusing = await constraintMismatches(database, { table, found, tables })
  const mismatches = [...columnMismatches(table, found), ...refusing]
  return mismatches.map((mismatch) => `table ${quoted(name)}: ${mismatch}`)
}

/** Returns a message for columns that cannot be added, because existing rows would have no value in them. */
async function missingColumnProblems (
  database: MigrationDatabase,
  table: Table,
  found: StoredTable
): Promise<string[]> {
  const { dialect, columns, primaryKey } = table
  const missing = columns.filter(({ name }) => !found.columns.has(dialect.foldName(name)))
  const keys = missing.filter((column) => column === primaryKey || column.definition.references !== undefined)
  if (keys.length > 0) {
    return [
      `lacks ${quotedNames(keys)}, which every table of its model needs; if the columns have other names, set the adapter's option \`tables\``
    ]
  }
  const required = missing.filter(({ definition }) => definition.nullable !== true && definition.default === undefined)
  if (required.length === 0 || !(await hasRows(database, table))) return []
  return [
    `lacks ${quotedNames(required)} and has rows: give the field a default, make it Type.Optional, or add the column by hand with a value for every row`
  ]
}

/**
 * Returns a message for each group of duplicates that prevents a unique index. Columns that are new have no duplicates.
 */
async function newIndexProblems (database: MigrationDatabase, table: Table, found: StoredTable): Promise<string[]> {
  const problems: string[] = []
  for (const plan of indexPlans(table)) {
    const isNew = plan.fields.some(
      (field) => !found.columns.has(table.dialect.foldName(table.byField.get(field)?.name ?? field))
    )
    if (!plan.unique || isNew || hasIndexFor(table, found, plan)) continue
    for (const { ids } of await findDuplicates(database, table, plan.fields, SHOWN)) {
      problems.push(
        `rows with the same ${plan.fields.join(', ')}${plan.lower ? ', ignoring case' : ''}: ${ids.slice(0, SHOWN).map(quoted).join(', ')}; change or delete all but one`
      )
    }
  }
  return [...new Set(problems)]
}

function quotedNames (columns: readonly Column[]): string {
  return columns.map(({ name }) => quoted(name)).join(', ')
}
