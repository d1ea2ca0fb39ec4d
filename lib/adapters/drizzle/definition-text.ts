import type { Model } from '../../contracts/models.js'
import { camelCase } from '../shared/camel-case.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { postgresDialect } from '../sql/dialects/postgres.js'
import { sqliteDialect } from '../sql/dialects/sqlite.js'
import { indexPlans, type IndexPlan } from '../sql/schema.js'
import { type Column, makeTable, type Table } from '../sql/table.js'
import { builderOf, columnText, constantOf, type DrizzleDatabase, propertyText, stringLiteral } from './column-text.js'

const dialects: Record<DrizzleDatabase, Dialect> = {
  postgres: postgresDialect,
  mysql: mysqlDialect,
  sqlite: sqliteDialect
}
const packages: Record<DrizzleDatabase, { module: string; table: string }> = {
  postgres: { module: 'drizzle-orm/pg-core', table: 'pgTable' },
  mysql: { module: 'drizzle-orm/mysql-core', table: 'mysqlTable' },
  sqlite: { module: 'drizzle-orm/sqlite-core', table: 'sqliteTable' }
}
const MOST_WIDTH = 320

/** Returns a module with the Drizzle definitions of the tables of all models. */
export function drizzleModule (database: DrizzleDatabase, models: readonly Model[]): string {
  const { module, table } = packages[database]
  const definitions = models.map((model) => drizzleDefinition(database, model, models))
  const tables = models.map((model) => makeTable(model, dialects[database], {}))
  const plans = tables.flatMap(indexPlans)
  const names = new Set([
    table,
    ...tables.flatMap(({ columns }) => columns.map(({ definition }) => builderOf(database, definition).name)),
    ...(plans.some(({ unique }) => unique) ? ['uniqueIndex'] : []),
    ...(plans.some(({ unique }) => !unique) ? ['index'] : []),
    ...(plans.some(({ lower }) => lower) && database === 'mysql' ? ['varbinary'] : [])
  ])
  return [
    ...(plans.some(({ lower }) => lower) ? ["import { sql } from 'drizzle-orm'"] : []),
    `import { ${[...names].toSorted().join(', ')} } from ${stringLiteral(module)}`,
    ...definitions.map((definition) => `\n${definition}`)
  ].join('\n')
}

/** Returns the Drizzle definition of a model's table. */
export function drizzleDefinition (database: DrizzleDatabase, model: Model, models: readonly Model[]): string {
  const table = makeTable(model, dialects[database], {})
  const plans = indexPlans(table)
  const lines = table.columns.map((column) => columnText(database, table, column, models))
  if (database === 'mysql') lines.push(...loweredColumns(table, plans).map(loweredText))
  const indexes = plans.map(({ name, unique, fields, lower }) => {
    const keys = fields.map((field) => indexKeyText(database, table, field, lower)).join(', ')
    return `${unique ? 'uniqueIndex' : 'index'}(${stringLiteral(name)}).on(${keys})`
  })
  const end = indexes.length === 0 ? ')' : `, (t) => [\n${indented(indexes)}\n])`
  const opening = `${constantOf(model)} = ${packages[database].table}(${stringLiteral(table.name)}`
  return `export const ${opening}, {\n${indented(lines)}\n}${end}`
}

function indented (lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join(',\n')
}

/** Returns the columns whose lower-case form has an index. */
function loweredColumns ({ columns }: Table, plans: readonly IndexPlan[]): readonly Column[] {
  const fields = new Set(plans.filter(({ lower }) => lower).flatMap((plan) => plan.fields))
  return columns.filter(({ field, definition }) => definition.ignoreCase === true && fields.has(field))
}

/**
 * Returns the definition of a generated column with the lower-case form. It has the index, because MariaDB and older
 * versions of MySQL cannot index an expression.
 */
function loweredText ({ field, name, sql, definition: { maxLength = MOST_WIDTH } }: Column): string {
  const expression = JSON.stringify(mysqlDialect.lower(sql))
  const column = mysqlDialect.lowerColumn?.name(name) ?? ''
  const type = `varbinary(${stringLiteral(column)}, { length: ${maxLength * 4} })`
  return `${camelCase(loweredField(field))}: ${type}.generatedAlwaysAs(sql.raw(${expression}), { mode: 'stored' })`
}

function loweredField (field: string): string {
  return `${field}_lower`
}

/** Returns one key of an index. */
function indexKeyText (database: DrizzleDatabase, { byField }: Table, field: string, lower: boolean): string {
  const isLower = lower && byField.get(field)?.definition.ignoreCase === true
  if (isLower && database === 'mysql') return propertyText('t', camelCase(loweredField(field)))
  const key = propertyText('t', camelCase(field))
  return isLower ? `sql\`${dialects[database].lower(`\${${key}}`)}\`` : key
}
