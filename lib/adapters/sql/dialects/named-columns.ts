import type { Field } from '../../../contracts/models.js'
import type { Dialect } from './dialect.js'

/** Returns the expression of a field in the form in which a client reads it. */
export type ReadForm = (expression: string, field: Field) => string

/**
 * Returns the dialect for a client whose rows are objects: every result column gets a unique name. The application may
 * configure how the client parses other types than text, so `form` can read them as text.
 */
export function withNames (dialect: Dialect, form: ReadForm = (expression) => expression): Dialect {
  return {
    ...dialect,
    read: (expression, field, name) => `${form(dialect.read(expression, field, name), field)} AS ${dialect.quote(name)}`
  }
}

/** Reads values as text in PostgreSQL. */
export const asPostgresText: ReadForm = (expression, field) =>
  isTextField(field) ? expression : `(${expression})::text`

/** Reads values as text in MySQL. */
export const asMysqlText: ReadForm = (expression, field) =>
  isTextField(field) ? expression : `cast(${expression} AS CHAR)`

function isTextField ({ type, id }: Field): boolean {
  return type === 'text' || (type === 'id' && id?.storage !== 'integer')
}
