import type { Changes, Row } from '../../../contracts/database-adapter.js'
import type { Model, UpgradeStep } from '../../../contracts/models.js'
import type { SchemaStep } from '../../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { describeStep, pendingSteps, type PendingStep } from '../../shared/upgrades.js'
import type { SqlDriver } from '../drivers/driver.js'
import { decodeRow } from '../encoder.js'
import { pushAfter, pushAssignments } from '../parameters.js'
import { mappingOf, readCatalog, type TableMappings } from '../schema.js'
import { Shape, shapeOf } from '../shape.js'
import { selectManySql, updateSql } from '../statements.js'
import { makeTable, type Table } from '../table.js'
import type { MigrationDatabase, StoredIndex, StoredTable } from './migration-source.js'
import { quoted, schemaChanges, widthsOf } from './schema-changes.js'
import { readVersions } from './schema-version.js'

type ColumnChange = Exclude<UpgradeStep, { transform: unknown }>

const BATCH = 500

/** Applies the pending upgrade steps of all existing tables in order, and records each one. */
export async function applyUpgrades (
  database: MigrationDatabase,
  models: readonly Model[],
  mappings: TableMappings
): Promise<void> {
  const stored = await readVersions(database)
  let create = stored.create
  for (const model of models) {
    const table = makeTable(model, database.dialect, mappingOf(model, mappings))
    const found = await database.describe(table.name)
    for (const step of found === null ? [] : pendingSteps(model, stored.of(table))) {
      for (const statement of create) await database.run(statement)
      create = []
      await applyStep(database, step, mappings)
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

async function applyStep (
  database: MigrationDatabase,
  { change, before, dropped }: PendingStep,
  mappings: TableMappings
): Promise<void> {
  const own = makeTable(before, database.dialect, mappingOf(before, mappings))
  const found = await describe(database, own)
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
  await transformRows(database, makeTable(before, database.dialect, mappingOf(before, mappings), existing), change.transform)
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
      const after = last === undefined ? 'start' : pushAfter(table, primaryKey, last, parameters)
      const sql = selectManySql(root, { column: primaryKey, after }) + database.rowLock
      const rows = (await database.all(sql, [...parameters, BATCH])).map((values) => decodeRow(table, values))
      for (const row of rows) await writeChanges(root, row, transform(row))
      return rows.length < BATCH ? undefined : rows.at(-1)
    })
  } while (last !== undefined)
}

async function writeChanges (root: Shape, row: Row, changes: Changes | null): Promise<void> {
  const { table } = root
  const parameters: unknown[] = []
  const assignments = changes === null ? [] : pushAssignments(table, changes, parameters)
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

/** Returns the statements of a change of columns or indexes; none if an interrupted migration has made it. */
async function columnStatements (
  database: MigrationDatabase,
  table: Table,
  { columns, indexes }: StoredTable,
  change: ColumnChange,
  nameOf: (field: string) => string
): Promise<string[]> {
  const { dialect, sql } = table
  const has = (field: string): boolean => columns.has(dialect.foldName(nameOf(field)))
  const drop = (which: (index: StoredIndex) => boolean): Promise<string[]> =>
    dropStatements(database, table, indexes, which)
  if ('dropIndex' in change) {
    const keys = change.dropIndex.map((field) => dialect.foldName(nameOf(field)))
    return await drop((index) => index.keys.map(plainKey).join('\n') === keys.join('\n'))
  }
  if ('drop' in change) {
    if (!has(change.drop)) return []
    const name = nameOf(change.drop)
    const indexed = await drop((index) => index.keys.map(plainKey).includes(dialect.foldName(name)))
    return [...indexed, ...dropLower(table, columns, name), `ALTER TABLE ${sql} DROP COLUMN ${dialect.quote(name)}`]
  }
  if (!has(change.rename)) return []
  if (has(change.to)) {
    const names = [change.rename, change.to].map((field) => quoted(nameOf(field))).join(' and ')
    throw FST_USERS_TABLE_MISMATCH([table.name, `has both columns ${names}, so that none can be renamed`])
  }
  const name = nameOf(change.rename)
  const lower = dropLower(table, columns, name)
  const folded = `lower(${dialect.foldName(name)})`
  return [
    ...(lower.length === 0 ? [] : await drop((index) => index.keys.includes(folded))),
    ...lower,
    `ALTER TABLE ${sql} RENAME COLUMN ${dialect.quote(name)} TO ${dialect.quote(nameOf(change.to))}`
  ]
}

/** Returns the statement that drops the generated lower-case form of a column, which refers to the column. */
function dropLower ({ dialect, sql }: Table, columns: StoredTable['columns'], name: string): string[] {
  const lower = dialect.lowerColumn?.name(name)
  const isStored = lower !== undefined && columns.has(dialect.foldName(lower))
  return isStored ? [`ALTER TABLE ${sql} DROP COLUMN ${dialect.quote(lower)}`] : []
}

/**
 * Returns the statements that drop indexes. MySQL needs an index on each column with a foreign key: if a dropped one
 * was the only one, it gets its own.
 */
async function dropStatements (
  database: MigrationDatabase,
  table: Table,
  indexes: readonly StoredIndex[],
  which: (index: StoredIndex) => boolean
): Promise<string[]> {
  const names = new Set(indexes.filter(which).map(({ name }) => name))
  const remaining = new Set(indexes.filter(({ name }) => !names.has(name)).map(({ keys }) => keys[0]))
  const dropped = new Set(indexes.filter(({ name }) => names.has(name)).map(({ keys }) => keys[0]))
  const { dialect, sql } = table
  const kept = table.columns.filter(({ name, definition }) => {
    const key = dialect.foldName(name)
    return dialect.indexesInTable && definition.references !== undefined && dropped.has(key) && !remaining.has(key)
  })
  const statements = kept.map(
    ({ sql: column, name }) => `CREATE INDEX ${dialect.quote(`ix_${table.name}_${name}`)} ON ${sql} (${column})`
  )
  for (const name of names) statements.push(await database.dropIndex(table.name, name))
  return statements
}

/** Returns the table as it is after a change, for the plan of later changes. */
function afterChange (
  { dialect }: Table,
  { columns, indexes }: StoredTable,
  change: ColumnChange,
  nameOf: (field: string) => string
): StoredTable {
  const key = (field: string): string => dialect.foldName(nameOf(field))
  if ('dropIndex' in change) {
    const keys = change.dropIndex.map(key).join('\n')
    return { columns, indexes: indexes.filter((index) => index.keys.map(plainKey).join('\n') !== keys) }
  }
  if ('drop' in change) {
    return {
      columns: new Map([...columns].filter(([name]) => name !== key(change.drop))),
      indexes: indexes.filter((index) => !index.keys.map(plainKey).includes(key(change.drop)))
    }
  }
  const [from, to] = [key(change.rename), key(change.to)]
  const renamed = (name: string): string => (name === from ? to : name === `lower(${from})` ? `lower(${to})` : name)
  return {
    columns: new Map([...columns].map(([name, column]) => [renamed(name), column])),
    indexes: indexes.map((index) => ({ ...index, keys: index.keys.map(renamed) }))
  }
}

/** Returns the column in the key of an index. */
function plainKey (key: string): string {
  return /^lower\((.*)\)$/.exec(key)?.[1] ?? key
}

function columnName ({ model }: Table, mappings: TableMappings, field: string): string {
  return mappingOf(model, mappings).columns?.[field] ?? field
}

async function describe (database: MigrationDatabase, { name }: Table): Promise<StoredTable> {
  const found = await database.describe(name)
  if (found === null) throw FST_USERS_TABLE_MISMATCH([name, 'the table does not exist any more'])
  return found
}
