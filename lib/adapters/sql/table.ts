import type { Field, Model } from '../../contracts/models.js'
import { misuse } from '../shared/errors.js'
import { type Accepts, acceptorOf } from '../shared/values.js'
import type { Codec, Dialect } from './dialects/dialect.js'

/** Names of an adopted table: its own, and its columns' by field. */
export interface TableMapping {
  table?: string
  columns?: Record<string, string>
}

/** One field of a model as a column. */
export interface Column {
  readonly field: string
  readonly definition: Field
  readonly name: string
  /** The name, quoted. */
  readonly sql: string
  readonly accepts: Accepts
  readonly codec: Codec
  /** The type, in the words of a definition, where the catalog has it. */
  readonly type: string | undefined
  /** The table's text columns may have a collation of their own. */
  readonly collated: boolean
  /** The column, quoted, that holds the lower-case form of this one. */
  readonly lowerSql: string | undefined
  /**
   * Equality of the column ignores case, as that of its lower-case form does: what its index finds is what may match.
   */
  readonly ignoresCase: boolean
  /** Characters that a text column holds; null for any number. */
  readonly width: number | null
}

/** A model with the names, types and codecs of one database. */
export interface Table {
  readonly model: Model
  readonly dialect: Dialect
  readonly name: string
  /** The name, quoted. */
  readonly sql: string
  readonly primaryKey: Column
  /** The columns that the table has, in the model's order. */
  readonly columns: readonly Column[]
  readonly byField: ReadonlyMap<string, Column>
  /** The columns of the table's unique indexes, where the catalog has them. */
  readonly indexes: ReadonlyMap<string, readonly string[]>
}

/** What a catalog says of a column. */
export interface FoundColumn {
  readonly width: number | null
  readonly type: string | undefined
  /**
   * Whether an INSERT must give a value, may leave it out, or can leave it to the database; undefined where that is not
   * known.
   */
  readonly demand: 'required' | 'optional' | 'filled' | undefined
  /** The kind of its type in the words of the dialect. */
  readonly kind: string | undefined
}

/** What a catalog says of a table, its columns by folded name. */
export interface FoundTable {
  readonly columns: ReadonlyMap<string, FoundColumn>
  readonly collated: boolean
  readonly indexes: ReadonlyMap<string, readonly string[]>
}

/**
 * Makes a table of a model. Columns that a found table lacks are left out; without one it has all, as the model says.
 */
export function makeTable (model: Model, dialect: Dialect, mapping: TableMapping, found?: FoundTable): Table {
  const columns: Column[] = []
  for (const [field, definition] of Object.entries(model.fields)) {
    const name = mapping.columns?.[field] ?? field
    if (found === undefined || found.columns.has(dialect.foldName(name))) {
      columns.push(makeColumn(field, definition, name, dialect, found))
    }
  }
  const [primaryKey] = columns
  if (primaryKey === undefined) throw misuse(model.name, '', 'has no columns')
  const name = mapping.table ?? model.table
  return {
    model,
    dialect,
    name,
    sql: dialect.qualify?.(name) ?? dialect.quote(name),
    primaryKey,
    columns,
    byField: new Map(columns.map((column) => [column.field, column])),
    indexes: found?.indexes ?? new Map()
  }
}

function makeColumn (
  field: string,
  definition: Field,
  name: string,
  dialect: Dialect,
  found: FoundTable | undefined
): Column {
  const { width, type }: Pick<FoundColumn, 'width' | 'type'> = found?.columns.get(dialect.foldName(name)) ?? {
    width: definition.maxLength ?? null,
    type: undefined
  }
  const isText = definition.type === 'text' || (definition.type === 'id' && definition.id?.storage !== 'integer')
  const lower = definition.ignoreCase === true ? dialect.lowerColumn?.name(name) : undefined
  const lowerSql =
    lower !== undefined && found?.columns.has(dialect.foldName(lower)) === true ? dialect.quote(lower) : undefined
  return {
    field,
    definition,
    name,
    sql: dialect.quote(name),
    type,
    accepts: acceptorOf(definition),
    codec: dialect.codec(definition, type),
    collated: isText && found?.collated === true,
    lowerSql,
    ignoresCase: lowerSql === undefined && type !== undefined && dialect.ignoresCase?.(type) === true,
    width: definition.type === 'text' ? width : null
  }
}

/**
 * The column of a field; undefined when an adopted table lacks it. Throws `FST_USERS_INVALID_OPTION` for an unknown
 * field.
 */
export function columnOf (table: Table, field: string): Column | undefined {
  const column = table.byField.get(field)
  if (column === undefined && !Object.hasOwn(table.model.fields, field)) {
    throw misuse(table.model.name, field, 'there is no such field')
  }
  return column
}

/** Whether the database makes the primary key. */
export function databaseMakesId ({ primaryKey: { definition } }: Table): boolean {
  return definition.type === 'id' && definition.id?.storage === 'integer' && definition.id.generate === undefined
}
