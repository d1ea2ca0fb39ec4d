import type { Row } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { invalidArgument } from '../shared/errors.js'
import { checkComparable, checkWrite, isWellFormed, newValueOf } from '../shared/values.js'
import { type Column, columnOf, databaseMakesId, type Table } from './table.js'

/**
 * Returns the encoded values of a new row in column order. Missing fields get their default or null; a missing primary
 * key is generated if its id kind can do that.
 */
export function encodeRow (table: Table, row: Row): unknown[] {
  for (const field in row) columnOf(table, field)
  return table.columns.map((column) => {
    const { definition, field } = column
    const value =
      column === table.primaryKey
        ? (row[field] ?? definition.id?.generate?.() ?? null)
        : newValueOf(definition, row[field])
    const isMadeByDatabase = value === null && column === table.primaryKey && databaseMakesId(table)
    return isMadeByDatabase ? null : encodeValue(table, column, value)
  })
}

/**
 * Returns the encoded form of a value to store. Throws `FST_USERS_TABLE_MISMATCH` for text that is longer than its
 * column, because some databases cut it silently.
 */
export function encodeValue (table: Table, column: Column, value: unknown): unknown {
  checkWrite(table.model, column.field, column.definition, column.accepts, value)
  if (typeof value === 'string' && column.width !== null && isLonger(value, column.width)) {
    throw FST_USERS_TABLE_MISMATCH([
      table.name,
      `column "${column.name}" holds ${column.width} characters, which is too few for ${column.field}; make the column wider`
    ])
  }
  if (value === null) return null
  if (!canHold(column, value)) {
    throw invalidArgument(
      table.model.name,
      column.field,
      `cannot be stored in a column of type ${table.dialect.columnType(column.definition)}`
    )
  }
  return column.codec.encode(value)
}

/**
 * Returns the encoded form of a value to compare with. A value that no column can hold, such as text without a UTF-8
 * form, becomes null, which equals nothing.
 */
export function encodeComparison (table: Table, column: Column, value: unknown): unknown {
  checkComparable(table.model, column.field, column.definition, column.accepts, value)
  return (typeof value === 'string' && !isWellFormed(value)) || !canHold(column, value)
    ? null
    : column.codec.encode(value)
}

/**
 * Returns the row of a table from the values of a result, starting at `offset`. Throws `FST_USERS_TABLE_MISMATCH` for a
 * value that cannot be decoded.
 */
export function decodeRow ({ columns, name }: Table, values: readonly unknown[], offset = 0): Row {
  const row: Row = {}
  let position = offset
  for (const column of columns) {
    const raw = values[position++]
    const value = raw === null ? null : column.codec.decode(raw)
    if (value === undefined) {
      throw FST_USERS_TABLE_MISMATCH([
        name,
        `column "${column.name}" holds a value that is not of type ${column.definition.type}`
      ])
    }
    row[column.field] = value
  }
  return row
}

function canHold ({ codec }: Column, value: unknown): boolean {
  return codec.holds === undefined || codec.holds(value)
}

/** Compares the number of characters, which databases count, instead of UTF-16 units. */
function isLonger (text: string, width: number): boolean {
  return text.length > width && [...text].length > width
}
