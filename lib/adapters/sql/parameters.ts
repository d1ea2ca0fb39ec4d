import type { Changes, Row } from '../../contracts/database-adapter.js'
import { invalidArgument } from '../shared/errors.js'
import { incrementOf } from '../shared/values.js'
import { encodeComparison, encodeValue } from './encoder.js'
import type { Assignment } from './statements.js'
import { type Column, columnOf, type Table } from './table.js'

/**
 * Appends the values of an update to `parameters`, and returns the assignments in the same order. Columns that an
 * existing table lacks are left out.
 */
export function appendChangedValues (table: Table, changes: Changes, parameters: unknown[]): Assignment[] {
  for (const field in changes) columnOf(table, field)
  const assignments: Assignment[] = []
  for (const column of table.columns) {
    const change: unknown = changes[column.field]
    if (change === undefined) continue
    const step = incrementOf(table.model, column.field, column.definition, column.accepts, change)
    assignments.push({ column, increment: step !== undefined })
    parameters.push(step ?? encodeValue(table, column, change))
  }
  if (assignments.length === 0) return assignments
  for (const { name, onUpdate } of table.filled) {
    if (onUpdate === undefined) continue
    assignments.push({ column: { field: name, sql: table.dialect.quote(name) }, increment: false })
    parameters.push(onUpdate())
  }
  return assignments
}

/**
 * Appends the values of `after`, the last row of the previous page, to `parameters`. Returns `null` if the sort column
 * of that row is null, otherwise `value`.
 */
export function appendStartValues (table: Table, column: Column, after: Row, parameters: unknown[]): 'null' | 'value' {
  const { primaryKey } = table
  for (const { field } of [column, primaryKey]) {
    if (after[field] === undefined) throw invalidArgument(table.model.name, field, 'is missing in `after`')
  }
  const isNull = after[column.field] === null
  if (!isNull && column !== primaryKey) {
    const value = encodeComparison(table, column, after[column.field])
    parameters.push(value)
    if (!table.dialect.comparesRows) parameters.push(value)
  }
  parameters.push(encodeComparison(table, primaryKey, after[primaryKey.field]))
  return isNull ? 'null' : 'value'
}
