import { createIndexSql, indexPlans, type IndexPlan } from '../schema.js'
import type { Table } from '../table.js'
import { columnsOf } from './stored-rows.js'
import type { MigrationDatabase, StoredIndex, StoredTable } from './migration-source.js'

/** One change of a table: what it is, in words, and the statements that make it. */
export interface SchemaChange { readonly text: string, readonly statements: readonly string[] }

/** Characters that columns must hold at least, by field; null for unbounded text. */
export type Widths = Readonly<Record<string, number | null>>

/** Names of the columns that a table lacks and cannot do without. */
export function missingColumns ({ columns, dialect }: Table, stored: StoredTable): string[] {
  return columns.filter(({ name, definition }) => definition.optional !== true && !stored.columns.has(dialect.foldName(name))).map(({ name }) => name)
}

/** What an adopted table lacks of a table of ours, in the order in which it can be made: widths, optional columns, indexes. */
export async function schemaChanges (database: MigrationDatabase, table: Table, stored: StoredTable, widths: Widths): Promise<{ changes: SchemaChange[], unreadable: boolean }> {
  const narrow = narrowColumns(table, stored, widths)
  const statements = narrow.size === 0 ? [] : await database.retype(table.name, narrow)
  const changes: SchemaChange[] = narrow.size === 0 ? [] : [{ text: `make wider: ${[...narrow].map(([name, type]) => `${quoted(name)} to ${type}`).join(', ')}`, statements: statements ?? [] }]
  for (const { name, sql, definition } of table.columns) {
    if (definition.optional !== true || stored.columns.has(table.dialect.foldName(name))) continue
    const type = table.dialect.columnType(definition)
    changes.push({ text: `add the column ${quoted(name)} (${type}, may be null)`, statements: [`ALTER TABLE ${table.sql} ADD COLUMN ${sql} ${type}`] })
  }
  for (const plan of indexPlans(table)) {
    if (stored.indexes.some((index) => serves(table, index, plan))) continue
    const name = await freeName(database, plan.name)
    changes.push({ text: `add the ${plan.unique ? 'unique ' : ''}index ${quoted(name)} on ${keysOf(table, plan).join(', ')}`, statements: [createIndexSql(table, { ...plan, name })] })
  }
  return { changes, unreadable: statements === null }
}

/** The types of columns that are too narrow, by folded name. */
function narrowColumns ({ dialect, columns }: Table, stored: StoredTable, widths: Widths): Map<string, string> {
  const narrow = new Map<string, string>()
  for (const { field, name, definition } of columns) {
    const least = widths[field]
    const width = stored.columns.get(dialect.foldName(name))?.width
    if (least !== undefined && typeof width === 'number' && (least === null || width < least)) narrow.set(dialect.foldName(name), dialect.columnType(definition))
  }
  return narrow
}

/** A unique index must be the same; for look-ups it is enough to begin with the keys. */
function serves (table: Table, { unique, keys }: StoredIndex, plan: IndexPlan): boolean {
  const wanted = keysOf(table, plan)
  const begins = wanted.every((key, position) => keys[position] === key)
  return plan.unique ? unique && begins && keys.length === wanted.length : begins
}

function keysOf (table: Table, { fields, lower }: IndexPlan): string[] {
  const { foldName } = table.dialect
  return columnsOf(table, fields).map(({ name, definition }) => lower && definition.ignoreCase === true ? `lower(${foldName(name)})` : foldName(name))
}

async function freeName (database: MigrationDatabase, wanted: string): Promise<string> {
  let name = wanted
  for (let count = 2; await database.hasIndex(name); count++) name = `${wanted}_${count}`
  return name
}

function quoted (name: string): string {
  return JSON.stringify(name)
}
