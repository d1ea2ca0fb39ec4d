import type { SchemaStep } from '../../../contracts/store-schema.js'
import { columnTypeSql, createIndexSql, indexPlans, type IndexPlan } from '../schema.js'
import type { Column, Table } from '../table.js'
import { columnsOf } from './stored-rows.js'
import type { ColumnChange, MigrationDatabase, StoredIndex, StoredTable } from './migration-source.js'

/** One change of a table. */
export type SchemaChange = SchemaStep

/** Characters that columns must hold at least, by field; null for unbounded text. */
export type Widths = Readonly<Record<string, number | null>>

/** Names of the columns that a table lacks and cannot do without. */
export function missingColumns ({ columns, dialect }: Table, stored: StoredTable): string[] {
  return columns
    .filter(({ name, definition }) => definition.optional !== true && !stored.columns.has(dialect.foldName(name)))
    .map(({ name }) => name)
}

/** What an adopted table lacks of a table of ours, in the order in which it can be made: widths, columns, indexes. */
export async function schemaChanges (
  database: MigrationDatabase,
  table: Table,
  stored: StoredTable,
  widths: Widths
): Promise<{ changes: SchemaChange[]; unreadable: boolean }> {
  const altered = columnsToAlter(table, stored, widths)
  const statements = altered.size === 0 ? [] : await database.alter(table.name, altered)
  const changes: SchemaChange[] = altered.size === 0 ? [] : [alteration(altered, statements ?? [])]
  for (const column of table.columns) {
    if (!stored.columns.has(table.dialect.foldName(column.name))) changes.push(columnChange(table, column))
  }
  for (const plan of indexPlans(table)) {
    if (hasIndexFor(table, stored, plan)) continue
    changes.push(...lowerColumns(table, stored, plan))
    const name = await freeName(database, plan.name)
    changes.push({
      kind: 'index',
      text: `add the ${plan.unique ? 'unique ' : ''}index ${quoted(name)} on ${keysOf(table, plan).join(', ')}`,
      statements: [createIndexSql(table, { ...plan, name })]
    })
  }
  return { changes, unreadable: statements === null }
}

/** The columns that are too narrow, or must have a value that not every row has, by folded name. */
function columnsToAlter ({ dialect, columns }: Table, stored: StoredTable, widths: Widths): Map<string, ColumnChange> {
  const altered = new Map<string, ColumnChange>()
  for (const { field, name, definition } of columns) {
    const least = widths[field]
    const { width = null, nullable = true } = stored.columns.get(dialect.foldName(name)) ?? {}
    const isNarrow = least !== undefined && width !== null && (least === null || width < least)
    const isRequired = !nullable && definition.nullable === true
    if (isNarrow || isRequired) {
      altered.set(dialect.foldName(name), {
        ...(isNarrow ? { type: dialect.columnType(definition) } : {}),
        ...(isRequired ? { nullable: true as const } : {})
      })
    }
  }
  return altered
}

function alteration (altered: ReadonlyMap<string, ColumnChange>, statements: readonly string[]): SchemaChange {
  const wider = [...altered].flatMap(([name, { type }]) => (type === undefined ? [] : [`${quoted(name)} to ${type}`]))
  const looser = [...altered].flatMap(([name, { nullable }]) => (nullable === true ? [quoted(name)] : []))
  const texts = [
    ...(wider.length > 0 ? [`make wider: ${wider.join(', ')}`] : []),
    ...(looser.length > 0 ? [`let be null: ${looser.join(', ')}`] : [])
  ]
  return { kind: wider.length > 0 ? 'width' : 'null', text: texts.join('; '), statements }
}

/** Whether an index of the table does what a plan is for. */
export function hasIndexFor (table: Table, { indexes }: StoredTable, plan: IndexPlan): boolean {
  return indexes.some((index) => indexCovers(table, index, plan))
}

/** The rows that are there get the field's default, or null. */
function columnChange (table: Table, column: Column): SchemaChange {
  const {
    name,
    sql,
    definition: { nullable, default: fallback },
    codec
  } = column
  const type = table.dialect.columnType(column.definition)
  const given = fallback === undefined ? '' : ` DEFAULT ${literalOf(table, codec.encode(fallback))}`
  return {
    kind: 'column',
    text: `add the column ${quoted(name)} (${type}${nullable === true ? ', may be null' : ''})`,
    statements: [`ALTER TABLE ${table.sql} ADD COLUMN ${sql} ${columnTypeSql(table, column)}${given}`]
  }
}

/** The columns that hold lower-case forms, where an index that ignores case is on such a column and it is not there. */
function lowerColumns (table: Table, stored: StoredTable, { fields, lower }: IndexPlan): SchemaChange[] {
  const {
    dialect: { lowerColumn, quote, lower: lowered }
  } = table
  if (!lower || lowerColumn === undefined) return []
  return columnsOf(table, fields)
    .filter(({ name, definition }) => definition.ignoreCase === true && !stored.columns.has(lowerColumn.name(name)))
    .map(({ name, sql, definition }) => ({
      kind: 'index',
      text: `add the column ${quoted(lowerColumn.name(name))}, which the database fills, for its index`,
      statements: [
        `ALTER TABLE ${table.sql} ADD COLUMN ${quote(lowerColumn.name(name))} ${lowerColumn.type(lowered(sql), definition)}`
      ]
    }))
}

function literalOf ({ dialect }: Table, value: unknown): string {
  return typeof value === 'number' ? String(value) : dialect.literal(String(value))
}

/** A unique index must be the same; for look-ups it is enough to begin with the keys. */
function indexCovers (table: Table, { unique, keys }: StoredIndex, plan: IndexPlan): boolean {
  const wanted = keysOf(table, plan)
  const begins = wanted.every((key, position) => keys[position] === key)
  return plan.unique ? unique && begins && keys.length === wanted.length : begins
}

function keysOf (table: Table, { fields, lower }: IndexPlan): string[] {
  const { foldName } = table.dialect
  return columnsOf(table, fields).map(({ name, definition }) =>
    lower && definition.ignoreCase === true ? `lower(${foldName(name)})` : foldName(name)
  )
}

async function freeName (database: MigrationDatabase, wanted: string): Promise<string> {
  let name = wanted
  for (let count = 2; await database.hasIndex(name); count++) name = `${wanted}_${count}`
  return name
}

/** A value of the database, without control characters. */
export function quoted (name: unknown): string {
  return JSON.stringify(name)
}
