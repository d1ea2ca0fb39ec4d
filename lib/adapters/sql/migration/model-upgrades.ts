import type { Changes, Row } from '../../../contracts/database-adapter.js'
import type { Model } from '../../../contracts/models.js'
import type { SchemaStep } from '../../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { quoted } from '../../../shared/text.js'
import { describeStep, pendingSteps, type PendingStep } from '../../shared/upgrades.js'
import type { SqlDriver } from '../drivers/driver.js'
import { decodeRow } from '../encoder.js'
import { appendChangedValues, appendStartValues } from '../parameters.js'
import { mappingOf, readCatalog, type TableMappings } from '../schema.js'
import { Shape, shapeOf } from '../shape.js'
import { selectManySql, updateSql } from '../statements.js'
import { makeTable, type Table } from '../table.js'
import type { MigrationDatabase, StoredTable } from './migration-source.js'
import { schemaChanges, widthsOf } from './schema-changes.js'
import { readTableVersions } from './schema-version.js'
import { afterChange, columnStatements } from './table-changes.js'

const BATCH = 500

/** Applies the pending upgrade steps of all existing tables in order, and records each one. */
export async function applyUpgrades (
  database: MigrationDatabase,
  models: readonly Model[],
  mappings: TableMappings
): Promise<void> {
  const stored = await readTableVersions(database)
  let create = stored.create
  for (const model of models) {
    const table = makeTable(model, database.dialect, mappingOf(model, mappings))
    const found = await database.describe(table.name)
    for (const step of found === null ? [] : pendingSteps(model, stored.of(table))) {
      for (const statement of create) await database.run(statement)
      create = []
      await applyTableStep(database, step, mappings)
      await database.exclusively(async () => {
        for (const statement of stored.done(table, step)) await database.run(statement)
      })
    }
  }
}

/** Returns the pending upgrade steps of an existing table, for people. */
export async function describeUpgrades (
  database: MigrationDatabase,
  table: Table,
  found: StoredTable,
  pending: readonly PendingStep[],
  mappings: TableMappings
): Promise<{ steps: SchemaStep[]; after: StoredTable }> {
  const steps: SchemaStep[] = []
  let after = found
  for (const step of pending) {
    const { change, before } = step
    const own = makeTable(before, table.dialect, mappingOf(table.model, mappings))
    const nameOf = (field: string): string => columnName(own, mappings, field)
    steps.push({
      kind: 'upgrade',
      text: `table ${quoted(table.name)}: ${describeStep(step, nameOf)}`,
      statements:
        'transform' in change
          ? [`-- the command fastify-users migrate transforms the rows of ${quoted(table.name)}`]
          : await columnStatements(database, own, after, change, nameOf)
    })
    if (!('transform' in change)) after = afterChange(own, after, change, nameOf)
  }
  return { steps, after }
}

async function applyTableStep (
  database: MigrationDatabase,
  { change, before, dropped }: PendingStep,
  mappings: TableMappings
): Promise<void> {
  const own = makeTable(before, database.dialect, mappingOf(before, mappings))
  const found = await describeExisting(database, own)
  if (!('transform' in change)) {
    const nameOf = (field: string): string => columnName(own, mappings, field)
    for (const sql of await columnStatements(database, own, found, change, nameOf)) await database.run(sql)
    return
  }
  const columns = own.columns.filter(({ field }) => !dropped.includes(field))
  // the model `before` has no indexes
  const { changes } = await schemaChanges(database, { ...own, columns }, found, widthsOf(own))
  for (const { statements } of changes) for (const sql of statements) await database.run(sql)
  const catalog = readCatalog(database.dialect, await database.all(database.dialect.catalog))
  const existing = catalog.get(database.dialect.foldName(own.name))
  const table = makeTable(before, database.dialect, mappingOf(before, mappings), existing)
  await transformRows(database, table, change.transform)
}

/** Reads all rows in batches and stores the changes that `transform` returns. */
async function transformRows (
  database: MigrationDatabase,
  table: Table,
  transform: (row: Row) => Changes | null
): Promise<void> {
  const { primaryKey } = table
  const root = new Shape(table, driverOf(database))
  let last: Row | undefined
  do {
    last = await database.exclusively(async () => {
      const parameters: unknown[] = []
      const after = last === undefined ? 'start' : appendStartValues(table, primaryKey, last, parameters)
      const sql = selectManySql(root, { column: primaryKey, after }) + database.rowLock
      const rows = (await database.all(sql, [...parameters, BATCH])).map((values) => decodeRow(table, values))
      for (const row of rows) await writeRowChanges(root, row, transform(row))
      return rows.length < BATCH ? undefined : rows.at(-1)
    })
  } while (last !== undefined)
}

async function writeRowChanges (root: Shape, row: Row, changes: Changes | null): Promise<void> {
  const { table } = root
  const parameters: unknown[] = []
  const assignments = changes === null ? [] : appendChangedValues(table, changes, parameters)
  if (assignments.length === 0) return
  const key = table.primaryKey.field
  const shape = shapeOf(root, { [key]: row[key] as string | number }, parameters)
  await root.driver.prepare(updateSql(shape, assignments)).run(parameters)
}

/** Returns a driver for the statements of shapes. */
function driverOf (database: MigrationDatabase): SqlDriver {
  const unused = (): never => {
    throw FST_USERS_TABLE_MISMATCH(['driver', 'a migration runs statements only'])
  }
  return {
    prepare: (sql) => ({
      get: async (parameters) => (await database.all(sql, parameters))[0],
      all: (parameters) => database.all(sql, parameters),
      run: async (parameters) => ({ changes: await database.run(sql, parameters), insertId: null })
    }),
    transaction: unused,
    change: unused,
    close () {}
  }
}

function columnName ({ model }: Table, mappings: TableMappings, field: string): string {
  return mappingOf(model, mappings).columns?.[field] ?? field
}

async function describeExisting (database: MigrationDatabase, { name }: Table): Promise<StoredTable> {
  const found = await database.describe(name)
  if (found === null) throw FST_USERS_TABLE_MISMATCH([name, 'the table no longer exists'])
  return found
}
