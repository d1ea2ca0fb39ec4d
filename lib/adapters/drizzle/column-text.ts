import type { Field, Model } from '../../contracts/models.js'
import { camelCase } from '../shared/camel-case.js'
import { optionNameOf } from '../../shared/tenant.js'
import { type Column, databaseMakesId, type Table } from '../sql/table.js'

/** The databases for which Drizzle has definitions of tables. */
export type DrizzleDatabase = 'postgres' | 'mysql' | 'sqlite'

/** A function of Drizzle that creates a column, and its options as source text. */
export interface ColumnBuilder {
  readonly name: string
  readonly options?: string
}

const INT_MAXIMUM = 2_147_483_647
const IDENTIFIER = /^[\p{L}_$][\p{L}\p{N}_$]*$/u

type ValueType = Exclude<Field['type'], 'id' | 'text'>

/** The builders of each database. `id` has those of ids that are not text. */
const builders: Record<DrizzleDatabase, Record<ValueType, ColumnBuilder> & { id: Record<string, ColumnBuilder> }> = {
  postgres: {
    boolean: { name: 'boolean' },
    integer: { name: 'bigint', options: "{ mode: 'number' }" },
    number: { name: 'doublePrecision' },
    time: { name: 'timestamp', options: '{ withTimezone: true }' },
    json: { name: 'json' },
    id: { uuid: { name: 'uuid' }, objectid: { name: 'char', options: '{ length: 24 }' }, integer: { name: 'integer' } }
  },
  mysql: {
    boolean: { name: 'boolean' },
    integer: { name: 'bigint', options: "{ mode: 'number' }" },
    number: { name: 'double' },
    time: { name: 'datetime', options: '{ fsp: 6 }' },
    json: { name: 'json' },
    id: {
      uuid: { name: 'char', options: '{ length: 36 }' },
      objectid: { name: 'char', options: '{ length: 24 }' },
      integer: { name: 'int' }
    }
  },
  sqlite: {
    boolean: { name: 'integer', options: "{ mode: 'boolean' }" },
    integer: { name: 'integer' },
    number: { name: 'real' },
    time: { name: 'integer', options: "{ mode: 'timestamp_ms' }" },
    json: { name: 'text', options: "{ mode: 'json' }" },
    id: {
      uuid: { name: 'text', options: '{ length: 36 }' },
      objectid: { name: 'text', options: '{ length: 24 }' },
      integer: { name: 'integer' }
    }
  }
}

/** Source text after the type of a primary key that the database generates. */
const identities: Record<DrizzleDatabase, string> = {
  postgres: '.primaryKey().generatedByDefaultAsIdentity()',
  mysql: '.autoincrement().primaryKey()',
  sqlite: '.primaryKey({ autoIncrement: true })'
}

/** The property and the column that an existing definition has for a field. */
export interface ColumnNames {
  readonly key: string
  readonly name: string
}

/** Returns the builder of a field. */
export function builderOf (database: DrizzleDatabase, field: Field): ColumnBuilder {
  const { type, id } = field
  if (type === 'text') return textBuilder(database, field.maxLength)
  if (type !== 'id') return builders[database][type]
  const storage = id?.storage ?? 'uuid'
  if (storage === 'integer' && database !== 'sqlite' && Number(id?.schema['maximum']) > INT_MAXIMUM) {
    return builders[database].integer
  }
  // MySQL cannot index text without a width
  const width = id?.maxLength ?? (database === 'mysql' ? 255 : undefined)
  return builders[database].id[storage] ?? textBuilder(database, width)
}

/** Returns the line of a column in a definition, without its comma. */
export function columnText (
  database: DrizzleDatabase,
  table: Table,
  { field, definition, name }: Column,
  models: readonly Model[],
  names: ColumnNames = { key: camelCase(field), name }
): string {
  const { name: builder, options } = builderOf(database, definition)
  const given = [stringLiteral(names.name), options].filter(Boolean).join(', ')
  const start = `${propertyKeyText(names.key)}: ${builder}(${given})`
  if (field === table.primaryKey.field) {
    return `${start}${databaseMakesId(table) ? identities[database] : '.primaryKey()'}`
  }
  const target = models.find((model) => model.name === definition.references)
  return [
    start,
    definition.nullable === true ? '' : '.notNull()',
    definition.default === undefined || definition.default === null ? '' : `.default(${valueText(definition.default)})`,
    target === undefined ? '' : `.references(() => ${referenceText(target)}, { onDelete: 'cascade' })`
  ].join('')
}

/** Returns the name of the constant that a definition is stored in. */
export function constantOf (model: Model): string {
  return camelCase(optionNameOf(model))
}

/** Returns text as a JavaScript literal. */
export function stringLiteral (text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&').replaceAll('\n', '\\n')}'`
}

/** Returns the expression that reads a property. */
export function propertyText (object: string, key: string): string {
  return IDENTIFIER.test(key) ? `${object}.${key}` : `${object}[${stringLiteral(key)}]`
}

function referenceText (model: Model): string {
  const [key = 'id'] = Object.keys(model.fields)
  return propertyText(constantOf(model), camelCase(key))
}

function propertyKeyText (key: string): string {
  return IDENTIFIER.test(key) ? key : stringLiteral(key)
}

function textBuilder (database: DrizzleDatabase, width: number | undefined): ColumnBuilder {
  const options = width === undefined ? {} : { options: `{ length: ${width} }` }
  if (database === 'sqlite') return { name: 'text', ...options }
  if (width === undefined) return { name: database === 'mysql' ? 'longtext' : 'text' }
  return { name: 'varchar', ...options }
}

function valueText (value: unknown): string {
  if (typeof value === 'string') return stringLiteral(value)
  return value instanceof Date ? `new Date(${stringLiteral(value.toISOString())})` : JSON.stringify(value)
}
