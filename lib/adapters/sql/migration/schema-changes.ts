import type { SchemaStep } from '../../../contracts/store-schema.js'
import { quoted } from '../../../shared/text.js'
import { columnTypeSql, createIndexSql, indexPlans, type IndexPlan } from '../schema.js'
import type { Column, Table } from '../table.js'
import { columnsOf } from './stored-rows.js'
import type { ColumnChange, MigrationDatabase, StoredIndex, StoredTable } from './migration-source.js'

export type SchemaChange = SchemaStep

/** The minimum width of columns in characters, by field; null for unlimited text. */
export type Widths = Readonly<Record<string, number | null>>

/** Returns the widths that the fields of a model need. */
export function widthsOf ({ columns }: Table): Widths {
  return Object.fromEntries(
    columns
      .filter(({ definition: { type } }) => type === 'text')
      .map(({ field, definition }) => [field, definition.maxLength ?? null])
  )
}

/** Returns the names of the required columns that a table lacks, without those of the fields that can be added. */
export function missingColumns (
  { columns, dialect }: Table,
  stored: StoredTable,
  added: ReadonlySet<string>
): string[] {
  return columns
    .filter(({ name }) => !stored.columns.has(dialect.foldName(name)))
    .filter(({ field, definition: { optional, references } }) =>
      added.has(field) ? references !== undefined : optional !== true
    )
    .map(({ name }) => name)
}

/**
 * Returns the changes that an existing table needs, in the order in which they can run: widths, columns, indexes.
 * `unreadable` is true if its definition cannot be parsed.
 */
export async function schemaChanges (
  database: MigrationDatabase,
  table: Table,
  stored: StoredTable,
  widths: Widths
): Promise<{ changes: SchemaChange[]; unreadable: boolean }> {
  const altered = columnsToAlter(table, stored, widths)
  const statements = altered.size === 0 ? [] : await database.alter(table.name, altered)
  const changes: SchemaChange[] = altered.size === 0 ? [] : [describeAlteration(altered, statements ?? [])]
  for (const column of table.columns) {
    if (!stored.columns.has(table.dialect.foldName(column.name))) changes.push(columnChange(table, column))
  }
  for (const plan of indexPlans(table)) {
    if (hasIndexFor(table, stored, plan)) continue
    changes.push(...lowerColumns(table, stored, plan))
    const name = await freeName(database, plan.name)
    changes.push({
      kind: 'index',
      text: `add the ${plan.unique ? 'unique ' : ''}index ${quoted(name)} on ${foldedKeysOf(table, plan).join(', ')}`,
      statements: [createIndexSql(table, { ...plan, name })]
    })
  }
  return { changes, unreadable: statements === null }
}

/** Returns the columns, by folded name, that are too narrow, or NOT NULL although the field is nullable. */
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

function describeAlteration (altered: ReadonlyMap<string, ColumnChange>, statements: readonly string[]): SchemaChange {
  const wider = [...altered].flatMap(([name, { type }]) => (type === undefined ? [] : [`${quoted(name)} to ${type}`]))
  const looser = [...altered].flatMap(([name, { nullable }]) => (nullable === true ? [quoted(name)] : []))
  const texts = [
    ...(wider.length > 0 ? [`widen ${wider.join(', ')}`] : []),
    ...(looser.length > 0 ? [`make nullable: ${looser.join(', ')}`] : [])
  ]
  return { kind: wider.length > 0 ? 'width' : 'null', text: texts.join('; '), statements }
}

/** Returns true if the table already has an index that serves a plan. */
export function hasIndexFor (table: Table, { indexes }: StoredTable, plan: IndexPlan): boolean {
  return indexes.some((index) => indexCovers(table, index, plan))
}

/** Returns the step that adds a column. Existing rows get the field's default, or null. */
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
    text: `add the column ${quoted(name)} (${type}${nullable === true ? ', nullable' : ''})`,
    statements: [`ALTER TABLE ${table.sql} ADD COLUMN ${sql} ${columnTypeSql(table, column)}${given}`]
  }
}

/**
 * Returns the steps that add the missing generated columns with lower-case forms, if the index of a plan is on such
 * columns.
 */
function lowerColumns (table: Table, stored: StoredTable, { fields, lower }: IndexPlan): SchemaChange[] {
  const {
    dialect: { lowerColumn, quote, lower: lowered }
  } = table
  if (!lower || lowerColumn === undefined) return []
  return columnsOf(table, fields)
    .filter(({ name, definition }) => definition.ignoreCase === true && !stored.columns.has(lowerColumn.name(name)))
    .map(({ name, sql, definition }) => ({
      kind: 'index',
      text: `add the column ${quoted(lowerColumn.name(name))}, which the database computes, for its index`,
      statements: [
        `ALTER TABLE ${table.sql} ADD COLUMN ${quote(lowerColumn.name(name))} ${lowerColumn.type(lowered(sql), definition)}`
      ]
    }))
}

function literalOf ({ dialect }: Table, value: unknown): string {
  return typeof value === 'number' ? String(value) : dialect.literal(String(value))
}

/**
 * Returns true if an index serves a plan. A unique index must have exactly the same keys; any other one must begin with
 * them.
 */
function indexCovers (table: Table, { unique, keys }: StoredIndex, plan: IndexPlan): boolean {
  const wanted = foldedKeysOf(table, plan)
  const begins = wanted.every((key, position) => keys[position] === key)
  return plan.unique ? unique && begins && keys.length === wanted.length : begins
}

function foldedKeysOf (table: Table, { fields, lower }: IndexPlan): string[] {
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
