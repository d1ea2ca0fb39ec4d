import type { Field, Model } from '../../contracts/models.js'
import { invalidArgument } from '../shared/errors.js'
import { type TypeCheck, typeCheckOf } from '../shared/values.js'
import type { Codec, Dialect, FilledColumn, Place } from './dialects/dialect.js'

/** The names of an existing table and of its columns, by field. */
export interface TableMapping {
  table?: string
  columns?: Record<string, string>
}

/** One field of a model as a column. */
export interface Column {
  readonly field: string
  readonly definition: Field
  readonly name: string
  readonly sql: string
  readonly accepts: TypeCheck
  readonly codec: Codec
  /** The SQL type, if the catalog has types. */
  readonly type: string | undefined
  /** True if the text columns of the table may have a non-default collation. */
  readonly collated: boolean
  /** The quoted name of the generated column with the lower-case form of this one. */
  readonly lowerSql: string | undefined
  /** True if the collation of the column ignores case, so that its index finds all candidates. */
  readonly ignoresCase: boolean
  /** The number of characters that a text column holds; null if it is not limited. */
  readonly width: number | null
}

/** A model with its names, types and codecs in one database. */
export interface Table {
  readonly model: Model
  readonly dialect: Dialect
  readonly name: string
  readonly sql: string
  readonly primaryKey: Column
  /** The existing columns, in the order of the model. */
  readonly columns: readonly Column[]
  readonly byField: ReadonlyMap<string, Column>
  /** The columns of the unique indexes, if the catalog has them. */
  readonly indexes: ReadonlyMap<string, readonly string[]>
  /** Columns without a field. The client creates their values. */
  readonly filled: readonly FilledColumn[]
}

/** A column of the catalog. */
export interface FoundColumn {
  readonly width: number | null
  readonly type: string | undefined
  /**
   * `required` if an INSERT must contain the column, `optional` if not, `filled` if the database sets it; undefined if
   * that is not known.
   */
  readonly onInsert: 'required' | 'optional' | 'filled' | undefined
  /** The kind of its type, as `Dialect.matchesColumn` expects it. */
  readonly kind: string | undefined
}

/** A table of the catalog, with its columns by folded name. */
export interface FoundTable {
  readonly columns: ReadonlyMap<string, FoundColumn>
  readonly collated: boolean
  readonly indexes: ReadonlyMap<string, readonly string[]>
}

/**
 * Creates a table from a model. Columns that the existing table lacks are left out; without `found`, all columns of the
 * model are included.
 */
export function makeTable (model: Model, dialect: Dialect, mapping: TableMapping, found?: FoundTable): Table {
  const columns: Column[] = []
  for (const [field, definition] of Object.entries(model.fields)) {
    const name = mapping.columns?.[field] ?? field
    if (found === undefined || found.columns.has(dialect.foldName(name))) {
      columns.push(makeColumn({ model, field }, definition, name, dialect, found))
    }
  }
  const [primaryKey] = columns
  if (primaryKey === undefined) throw invalidArgument(model.name, '', 'has no columns; check the option `tables`')
  const name = mapping.table ?? model.table
  return {
    model,
    dialect,
    name,
    sql: dialect.qualify?.(name) ?? dialect.quote(name),
    primaryKey,
    columns,
    byField: new Map(columns.map((column) => [column.field, column])),
    indexes: found?.indexes ?? new Map(),
    filled: dialect.filled?.(model) ?? []
  }
}

function makeColumn (
  place: Place,
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
    field: place.field,
    definition,
    name,
    sql: dialect.quote(name),
    type,
    accepts: typeCheckOf(definition),
    codec: dialect.codec(definition, type, place),
    collated: isText && found?.collated === true,
    lowerSql,
    ignoresCase: lowerSql === undefined && type !== undefined && dialect.ignoresCase?.(type) === true,
    width: definition.type === 'text' ? width : null
  }
}

/**
 * Returns the column of a field, or undefined if an existing table lacks it. Throws `FST_USERS_INVALID_OPTION` for an
 * unknown field.
 */
export function columnOf (table: Table, field: string): Column | undefined {
  const column = table.byField.get(field)
  if (column === undefined && !Object.hasOwn(table.model.fields, field)) {
    throw invalidArgument(table.model.name, field, 'is not a field of the model')
  }
  return column
}

/** Returns true if the database generates the primary key. */
export function databaseMakesId ({ primaryKey: { definition } }: Table): boolean {
  return definition.type === 'id' && definition.id?.storage === 'integer' && definition.id.generate === undefined
}
