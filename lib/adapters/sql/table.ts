import type { Field, Model } from '../../contracts/models.js'
import { misuse } from '../shared/errors.js'
import { type Accepts, acceptorOf } from '../shared/values.js'
import type { Codec, Dialect } from './dialects/dialect.js'

/** Names of an adopted table: its own, and its columns' by field. */
export interface TableMapping { table?: string, columns?: Record<string, string> }

/** One field of a model as a column. */
export interface Column {
  readonly field: string
  readonly definition: Field
  readonly name: string
  /** The name, quoted. */
  readonly sql: string
  readonly accepts: Accepts
  readonly codec: Codec
  /** The table's text columns may have a collation of their own. */
  readonly collated: boolean
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
}

/** Makes a table of a model. `present` has the declared widths of the columns that exist by folded name (default: all, as the model says); others are left out. */
export function makeTable (model: Model, dialect: Dialect, mapping: TableMapping, { present, collated = false }: { present?: ReadonlyMap<string, number | null>, collated?: boolean } = {}): Table {
  const columns: Column[] = []
  for (const [field, definition] of Object.entries(model.fields)) {
    const name = mapping.columns?.[field] ?? field
    if (present !== undefined && !present.has(dialect.foldName(name))) continue
    const text = definition.type === 'text' || definition.type === 'id'
    const width = present === undefined ? definition.maxLength : present.get(dialect.foldName(name))
    columns.push({ field, definition, name, sql: dialect.quote(name), accepts: acceptorOf(definition), codec: dialect.codec(definition), collated: collated && text, width: definition.type === 'text' ? width ?? null : null })
  }
  const [primaryKey] = columns
  if (primaryKey === undefined) throw misuse(model.name, '', 'has no columns')
  const name = mapping.table ?? model.table
  return { model, dialect, name, sql: dialect.quote(name), primaryKey, columns, byField: new Map(columns.map((column) => [column.field, column])) }
}

/** The column of a field; undefined when an adopted table lacks it. Throws `FST_USERS_INVALID_OPTION` for an unknown field. */
export function columnOf (table: Table, field: string): Column | undefined {
  const column = table.byField.get(field)
  if (column === undefined && !Object.hasOwn(table.model.fields, field)) throw misuse(table.model.name, field, 'there is no such field')
  return column
}

/** Whether the database makes the primary key. */
export function makesId ({ primaryKey: { definition } }: Table): boolean {
  return definition.type === 'id' && definition.id?.storage === 'integer' && definition.id.generate === undefined
}
