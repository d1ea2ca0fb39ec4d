import type { Field, Model } from '../../contracts/models.js'
import { optionNameOf } from '../../shared/tenant.js'
import { camelCase } from '../shared/camel-case.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { postgresDialect } from '../sql/dialects/postgres.js'
import { sqliteDialect } from '../sql/dialects/sqlite.js'
import { createIndexSql, indexPlans } from '../sql/schema.js'
import { type Column, databaseMakesId, makeTable, type Table } from '../sql/table.js'
import type { PrismaDatabase } from './client.js'

const dialects: Record<PrismaDatabase, Dialect> = {
  postgres: postgresDialect,
  mysql: mysqlDialect,
  sqlite: sqliteDialect
}
const INT_MAXIMUM = 2_147_483_647

/** The type of a field and the attribute of its type in the database. */
type FieldType = readonly [type: string, attribute?: string]

const types: Record<PrismaDatabase, Record<Exclude<Field['type'], 'id' | 'text'>, FieldType>> = {
  postgres: {
    boolean: ['Boolean'],
    integer: ['BigInt'],
    number: ['Float'],
    time: ['DateTime', '@db.Timestamptz(6)'],
    json: ['Json', '@db.Json']
  },
  mysql: {
    boolean: ['Boolean'],
    integer: ['BigInt'],
    number: ['Float'],
    time: ['DateTime', '@db.DateTime(6)'],
    json: ['Json']
  },
  sqlite: { boolean: ['Boolean'], integer: ['BigInt'], number: ['Float'], time: ['DateTime'], json: ['Json'] }
}

/** The name of the field and of the column that an existing model has for a field. */
export interface PrismaNames {
  readonly name: string
  readonly column: string
}

/** Returns the Prisma models of all tables as source text. */
export function prismaModels (database: PrismaDatabase, models: readonly Model[]): string {
  return models.map((model) => prismaModel(database, model, models)).join('\n\n')
}

/** Returns the Prisma model of a table, with comments for indexes that Prisma cannot define. */
export function prismaModel (database: PrismaDatabase, model: Model, models: readonly Model[]): string {
  const table = makeTable(model, dialects[database], {})
  const plans = indexPlans(table)
  const fields = table.columns.flatMap((column) => fieldLines(database, table, column, models))
  const relations = models.flatMap((other) =>
    Object.values(other.fields).some(({ references }) => references === model.name)
      ? [`${camelCase(optionNameOf(other))} ${modelNameOf(other)}[]`]
      : []
  )
  const indexes = plans
    .filter(({ lower, unique }) => !lower || (!unique && database === 'mysql'))
    .map(({ name, unique, fields }) => {
      const columns = fields.map(camelCase).join(', ')
      return `@@${unique ? 'unique' : 'index'}([${columns}], map: ${JSON.stringify(name)})`
    })
  // the collations of MySQL ignore case, so that its plain indexes suffice
  const expressions = database === 'mysql' ? [] : plans.filter(({ lower }) => lower)
  const comments = expressions.flatMap((plan) => [
    '// Prisma cannot define this index. Add it to a migration:',
    `// ${createIndexSql(table, plan)};`
  ])
  const lines = [...fields, ...relations, '', ...indexes, `@@map(${JSON.stringify(table.name)})`]
  const indented = lines.map((line) => (line === '' ? '' : `  ${line}`))
  return [...comments, `model ${modelNameOf(model)} {`, ...indented, '}'].join('\n')
}

/** Returns the line of a field in a model. */
export function fieldText (
  database: PrismaDatabase,
  table: Table,
  { field, definition, name }: Column,
  names: PrismaNames = { name: camelCase(field), column: name }
): string {
  const [type, attribute] = typeOf(database, definition)
  const isKey = field === table.primaryKey.field
  return [
    names.name,
    `${type}${definition.nullable === true && !isKey ? '?' : ''}`,
    isKey ? '@id' : '',
    isKey && databaseMakesId(table) ? '@default(autoincrement())' : '',
    isKey ? '' : defaultText(definition),
    names.name === names.column ? '' : `@map(${JSON.stringify(names.column)})`,
    attribute ?? ''
  ]
    .filter(Boolean)
    .join(' ')
}

/** Returns the name of a model in Prisma: `AuditEntry` for `audit_entry`. */
export function modelNameOf (model: Model): string {
  const name = camelCase(optionNameOf(model))
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`
}

/** Returns the line of a field and, for a reference, the line of its relation. */
function fieldLines (database: PrismaDatabase, table: Table, column: Column, models: readonly Model[]): string[] {
  const line = fieldText(database, table, column)
  const target = models.find(({ name }) => name === column.definition.references)
  if (target === undefined) return [line]
  const [key = 'id'] = Object.keys(target.fields)
  const attributes = `fields: [${camelCase(column.field)}], references: [${camelCase(key)}], onDelete: Cascade`
  const relation = `${camelCase(`${column.field}_row`)} ${modelNameOf(target)} @relation(${attributes})`
  return [line, relation]
}

function typeOf (database: PrismaDatabase, { type, id, maxLength }: Field): FieldType {
  if (type === 'text') return textType(database, maxLength)
  if (type !== 'id') return types[database][type]
  const storage = id?.storage ?? 'uuid'
  if (storage === 'integer') {
    return [Number(id?.schema['maximum']) > INT_MAXIMUM && database !== 'sqlite' ? 'BigInt' : 'Int']
  }
  if (database === 'sqlite') return ['String']
  if (storage === 'uuid') return ['String', database === 'postgres' ? '@db.Uuid' : '@db.Char(36)']
  if (storage === 'objectid') return ['String', '@db.Char(24)']
  return textType(database, id?.maxLength ?? (database === 'mysql' ? 255 : undefined))
}

function textType (database: PrismaDatabase, width: number | undefined): FieldType {
  if (database === 'sqlite' || (database === 'postgres' && width === undefined)) return ['String']
  return ['String', width === undefined ? '@db.LongText' : `@db.VarChar(${width})`]
}

/** Returns the default. The adapter sets defaults of JSON and times itself. */
function defaultText ({ type, default: value }: Field): string {
  if (value === undefined || value === null || type === 'json' || type === 'time') return ''
  return `@default(${JSON.stringify(value)})`
}
