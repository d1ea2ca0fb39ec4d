import type { Column as DrizzleColumn } from 'drizzle-orm'
import type { Field, Model } from '../../contracts/models.js'
import { camelCase } from '../shared/camel-case.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { type Column, makeTable } from '../sql/table.js'
import { columnText } from './column-text.js'
import type { DefinedColumn, Definitions } from './definitions.js'

const PREFIX = /^(?:Pg|MySql|SQLite)/
const TEXTS = 'Text|Varchar|VarChar|Char|EnumColumn|EnumObjectColumn|CustomColumn'
const INTEGERS = 'Integer|Int|BigInt53|BigInt64|BigSerial53|BigSerial64|Serial|SmallInt|SmallSerial|MediumInt|TinyInt'

/**
 * Matches the column types that can store a field: the names of the classes of Drizzle without the database, such as
 * `Text` for `PgText`.
 */
const FITTING: Record<Exclude<Field['type'], 'id'>, RegExp> = {
  text: RegExp(`^(?:${TEXTS})$`),
  boolean: /^(?:Boolean|TinyInt)$/,
  integer: RegExp(`^(?:${INTEGERS})$`),
  number: /^(?:DoublePrecision|Double|Real|Float|Numeric\w*|Decimal\w*)$/,
  time: /^(?:Timestamp|TimestampString|DateTime|DateTimeString)$/,
  json: /^(?:Json|Jsonb|TextJson|Text)$/
}
const TEXT_IDS = RegExp(`^(?:UUID|${TEXTS})$`)

/**
 * Returns the lines to add to a definition, and those to change with the reason. They are source text of TypeScript.
 */
export function columnProblems (definitions: Definitions, model: Model, models: readonly Model[]): string[] {
  const { database } = definitions
  // the dialect does not matter for the names of columns
  const table = makeTable(model, mysqlDialect, {})
  return table.columns.flatMap((column) => {
    const defined = definitions.columnOf(model, column.field)
    const { key, name } = defined ?? { key: camelCase(column.field), name: column.name }
    const line = `  ${columnText(database, table, column, models, { key, name })},`
    if (defined === undefined) return column.definition.optional === true ? [] : [line]
    const reason = misfitReasonOf(column, defined)
    return reason === null ? [] : [`${line} // ${reason}`]
  })
}

/** Returns the reason why a column cannot store the values of a field, or null. */
function misfitReasonOf ({ definition }: Column, { column }: DefinedColumn): string | null {
  const type = column.columnType.replace(PREFIX, '')
  if (column.columnType.startsWith('SQLite') && definition.type === 'time') {
    if (type === 'Timestamp' && modeOf(column) === 'timestamp') return 'seconds are too coarse for this time'
    return /^(?:Timestamp|Text)$/.test(type) ? null : 'its type cannot store a time'
  }
  if (!fittingTypes(definition).test(type)) return `its type cannot store values of type ${definition.type}`
  return definition.nullable === true && column.notNull ? 'it must accept null' : null
}

function fittingTypes ({ type, id }: Field): RegExp {
  if (type !== 'id') return FITTING[type]
  return id?.storage === 'integer' ? FITTING.integer : TEXT_IDS
}

function modeOf (column: DrizzleColumn): unknown {
  return (column as { mode?: unknown }).mode // columns of times have a mode
}
