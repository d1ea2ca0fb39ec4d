import { createHash } from 'node:crypto'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { checkDistinctStorage, type StorageName } from '../shared/claims.js'
import { invalidArgument } from '../shared/errors.js'
import { optionNameOf, tenantOf } from '../../shared/tenant.js'
import type { Dialect } from './dialects/dialect.js'
import { columnMismatches } from './table-check.js'
import {
  type Column,
  type FoundColumn,
  type FoundTable,
  databaseMakesId,
  makeTable,
  type Table,
  type TableMapping
} from './table.js'

const MAX_NAME_BYTES = 63
const ON_INSERT = ['required', 'optional', 'filled'] as const

/** Names of existing tables and their columns, by model name. */
export type TableMappings = Record<string, TableMapping>

/**
 * An index that the package creates on its tables. With `lower`, the index is on the lower-case form of `ignoreCase`
 * fields.
 */
export interface IndexPlan {
  name: string
  fields: readonly string[]
  unique: boolean
  lower: boolean
}

/**
 * Checks the models' tables against a database's catalog. Returns the tables and the statements that create the missing
 * ones. Existing tables are never changed.
 */
export function planTables (
  dialect: Dialect,
  models: readonly Model[],
  mappings: TableMappings,
  catalog: readonly (readonly unknown[])[]
): { tables: Map<string, Table>; missing: Table[]; found: Map<string, FoundTable>; statements: string[] } {
  const found = readCatalog(dialect, catalog)
  const tables = new Map<string, Table>()
  const missing: Table[] = []
  for (const model of models) {
    const mapping = mappingOf(model, mappings)
    const existing = found.get(dialect.foldName(mapping.table ?? model.table))
    if (existing !== undefined) checkColumns(model, mapping, existing, dialect)
    const table = makeTable(model, dialect, mapping, existing)
    const [mismatch] = existing === undefined ? [] : columnMismatches(table, existing)
    if (mismatch !== undefined) throw FST_USERS_TABLE_MISMATCH([table.name, mismatch])
    tables.set(model.name, table)
    if (existing === undefined) missing.push(table)
  }
  return { tables, missing, found, statements: missing.flatMap((table) => createTableStatements(table, tables)) }
}

/**
 * Throws `FST_USERS_UNKNOWN_OPTION` for mappings of unknown models, fields or properties, and
 * `FST_USERS_INVALID_OPTION` if two models have the same table.
 */
export function checkMappings (dialect: Dialect, models: readonly Model[], mappings: TableMappings): void {
  checkKnownKeys('tables.', mappings, [...new Set(models.map(optionNameOf))])
  for (const model of models) {
    const name = optionNameOf(model)
    const mapping = mappings[name]
    if (mapping === undefined) continue
    checkKnownKeys(`tables.${name}.`, mapping, ['table', 'columns'])
    checkKnownKeys(`tables.${name}.columns.`, mapping.columns ?? {}, Object.keys(model.fields))
  }
  checkDistinctStorage('tables', tableNamesOf(dialect, models, mappings))
}

/** Returns the configured names of a model's table and columns. */
export function mappingOf (model: Model, mappings: TableMappings): TableMapping {
  return mappings[optionNameOf(model)] ?? {}
}

/** Returns the SQL name of each model's table, with its tenant. */
export function tableNamesOf (dialect: Dialect, models: readonly Model[], mappings: TableMappings): StorageName[] {
  return models.map((model) => {
    const table = mappingOf(model, mappings).table ?? model.table
    return [`the table ${dialect.foldName(dialect.qualify?.(table) ?? dialect.quote(table))}`, tenantOf(model)]
  })
}

/**
 * Returns the fields of a unique index that a violation names. An index of this package is found by its name, another
 * one by the column names in `words`. Otherwise the fields are guessed: the first unique group that ignores case, or
 * all unique fields.
 */
export function fieldsOfIndex (
  table: Table,
  index: string,
  words: readonly string[] = table.indexes.get(index) ?? []
): readonly string[] {
  const own = indexPlans(table).find(({ name }) => name === index)
  const named = table.columns.filter(({ name }) => words.includes(name)).map(({ field }) => field)
  if (own === undefined && words.length > 0) return named.length > 0 ? named : words
  const groups = table.model.unique ?? []
  return own?.fields ?? groups.find((fields) => ignoresCase(table.model, fields)) ?? groups.flat()
}

/** Returns the tables of a catalog result, by folded name. */
export function readCatalog (dialect: Dialect, catalog: readonly (readonly unknown[])[]): Map<string, FoundTable> {
  const tables = new Map<string, FoundTable & { columns: Map<string, FoundColumn>; indexes: Map<string, string[]> }>()
  for (const [tableName, columnName, collated, width, type, index, onInsert, kind] of catalog) {
    const name = dialect.foldName(String(tableName))
    const table = tables.get(name) ?? { columns: new Map(), collated: Number(collated) !== 0, indexes: new Map() }
    table.columns.set(dialect.foldName(String(columnName)), {
      width: width === null ? null : Number(width),
      type: type === null ? undefined : (type as string | undefined), // the catalog returns text
      onInsert: ON_INSERT.find((one) => one === onInsert),
      kind: typeof kind === 'string' ? kind : undefined
    })
    if (typeof index === 'string') table.indexes.set(index, [...(table.indexes.get(index) ?? []), String(columnName)])
    tables.set(name, table)
  }
  return tables
}

function checkColumns (model: Model, mapping: TableMapping, { columns }: FoundTable, dialect: Dialect): void {
  const missing = Object.entries(model.fields)
    .filter(([, { optional }]) => optional !== true)
    .map(([field]) => mapping.columns?.[field] ?? field)
    .filter((name) => !columns.has(dialect.foldName(name)))
  if (missing.length > 0) {
    throw FST_USERS_TABLE_MISMATCH([
      mapping.table ?? model.table,
      `columns are missing: ${missing.map((name) => `"${name}"`).join(', ')}; run \`npx fastify-users migrate\``
    ])
  }
}

/** Returns the statements that create a table and its indexes. */
export function createTableStatements (table: Table, tables: ReadonlyMap<string, Table>): string[] {
  return [
    createTableSql(table, tables),
    ...(table.dialect.indexesInTable ? [] : indexPlans(table).map((plan) => createIndexSql(table, plan)))
  ]
}

/** Returns the SQL type of a new column, with `NOT NULL` if the field is not nullable. */
export function columnTypeSql (
  { dialect }: Table,
  { definition }: Column,
  type: string = dialect.columnType(definition)
): string {
  return `${type}${definition.nullable === true ? '' : ' NOT NULL'}`
}

function createTableSql (table: Table, tables: ReadonlyMap<string, Table>): string {
  const { dialect, primaryKey } = table
  const plans = dialect.indexesInTable ? indexPlans(table) : []
  const lines = table.columns.map((column) => {
    const made = column === primaryKey && databaseMakesId(table) ? ` ${dialect.identity}` : ''
    return `${column.sql} ${columnTypeSql(table, column, referredType(table, column, tables))}${made}`
  })
  for (const { sql, name, field, definition } of table.columns) {
    const { lowerColumn } = dialect
    const isLowered = plans.some(({ fields, lower }) => lower && fields.includes(field))
    if (lowerColumn !== undefined && isLowered && definition.ignoreCase === true) {
      lines.push(`${dialect.quote(lowerColumn.name(name))} ${lowerColumn.type(dialect.lower(sql), definition)}`)
    }
  }
  if (!databaseMakesId(table)) lines.push(`PRIMARY KEY (${primaryKey.sql})`)
  for (const { name, unique, ...plan } of plans) {
    lines.push(`${unique ? 'UNIQUE ' : ''}INDEX ${dialect.quote(name)} (${indexKeySql(table, plan)})`)
  }
  for (const column of table.columns) {
    const target = referencedTable(table, column, tables)
    if (target !== undefined) {
      lines.push(`FOREIGN KEY (${column.sql}) REFERENCES ${target.sql} (${target.primaryKey.sql}) ON DELETE CASCADE`)
    }
  }
  return `CREATE TABLE ${table.sql} (\n\t${lines.join(',\n\t')}\n)${dialect.tableOptions}`
}

/**
 * Returns the type of the existing column that a new one references. Some databases require equal types and collations.
 */
function referredType (table: Table, column: Column, tables: ReadonlyMap<string, Table>): string | undefined {
  return referencedTable(table, column, tables)?.primaryKey.type
}

function referencedTable (
  table: Table,
  { field, definition: { references } }: Column,
  tables: ReadonlyMap<string, Table>
): Table | undefined {
  if (references === undefined) return undefined
  const target = tables.get(references)
  if (target === undefined) {
    throw invalidArgument(table.model.name, field, `references the model "${references}", which is not defined`)
  }
  return target
}

export function createIndexSql (table: Table, { name, unique, ...plan }: IndexPlan): string {
  return `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${table.dialect.quote(name)} ON ${table.sql} (${indexKeySql(table, plan)})`
}

function indexKeySql ({ dialect, byField }: Table, { fields, lower }: Pick<IndexPlan, 'fields' | 'lower'>): string {
  return fields
    .map((field) => {
      const { sql = '', name = '', definition } = byField.get(field) ?? {}
      if (!lower || definition?.ignoreCase !== true) return sql
      return dialect.lowerColumn === undefined ? dialect.lower(sql) : dialect.quote(dialect.lowerColumn.name(name))
    })
    .join(', ')
}

/**
 * Returns the indexes of a table, named as SQLAlchemy names them. A group of fields that ignores case has an index on
 * the lower-case form; if it is unique, it also has the plain index of the original schema.
 */
export function indexPlans (table: Table): IndexPlan[] {
  const plan = (fields: readonly string[], unique: boolean): IndexPlan[] => {
    const name = `ix_${table.name}_${fields.map((field) => table.byField.get(field)?.name ?? field).join('_')}`
    const plain = { name: shortName(name), fields, unique, lower: false }
    return ignoresCase(table.model, fields)
      ? [plain, { name: shortName(`${name}_lower`), fields, unique, lower: true }].slice(unique ? 0 : 1)
      : [plain]
  }
  return [
    ...(table.model.unique ?? []).flatMap((fields) => plan(fields, true)),
    ...(table.model.index ?? []).flatMap((fields) => plan(fields, false))
  ]
}

/** Returns a name that no database cuts or refuses. PostgreSQL keeps 63 bytes, MySQL 64 characters. */
function shortName (name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${Buffer.from(name)
    .subarray(0, MAX_NAME_BYTES - 9)
    .toString()
    .replaceAll('\ufffd', '')}_${digest}`
}

function ignoresCase (model: Model, fields: readonly string[]): boolean {
  return fields.some((field) => model.fields[field]?.ignoreCase === true)
}
