import type { NewRow, Row } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_INVALID_USER, FST_USERS_TABLE_MISMATCH, FST_USERS_UNIQUE_VIOLATION } from '../../errors.js'
import { resolveRow } from '../shared/row-references.js'
import type { SqlDriver, SqlStatement, SqlWrite, SqlWritten } from './drivers/driver.js'
import { decodeRow, encodeRow } from './encoder.js'
import { fieldsOfIndex } from './schema.js'
import { insertSql } from './statements.js'
import type { Column, Table } from './table.js'

/** A row to insert. Columns and parameters leave out an id that the database generates. */
export interface Insert {
  readonly columns: readonly Pick<Column, 'sql'>[]
  readonly parameters: readonly unknown[]
  /** Returns the row as it is stored. */
  stored(insertId: unknown): Row
}

const CONSTRAINT =
  'the database refused a row because of a constraint, a column type or a column width; the cause says which'
const INVALID_VALUE = 'a value is outside the range of its column'

/** Returns the columns and encoded values of a new row. */
export function insertOf (table: Table, row: Row): Insert {
  const values = encodeRow(table, row)
  const skipped = values[0] === null ? 1 : 0 // the database generates the primary key
  const made = table.filled.flatMap(({ name, onInsert }) =>
    onInsert === undefined ? [] : [{ sql: table.dialect.quote(name), value: onInsert() }]
  )
  return {
    columns: [...table.columns.slice(skipped), ...made],
    parameters: [...values.slice(skipped), ...made.map(({ value }) => value)],
    stored: (insertId) => decodeRow(table, skipped === 0 ? values : [Number(insertId), ...values.slice(skipped)])
  }
}

/** Inserts all rows in one transaction. */
export async function insertAll (
  driver: SqlDriver,
  tableOf: (model: Model) => Table,
  rows: readonly NewRow[]
): Promise<Row[]> {
  let [table] = rows.map(([model]) => tableOf(model)) // the table of the row that is being written

  function * writes (): Generator<SqlWrite, Row[], SqlWritten> {
    const inserted: Row[] = []
    for (const [position, [model]] of rows.entries()) {
      table = tableOf(model)
      const { columns, parameters, stored } = insertOf(table, resolveRow(rows, position, inserted))
      const { insertId } = yield { sql: insertSql(table, columns), parameters }
      inserted.push(stored(insertId))
    }
    return inserted
  }

  try {
    return await driver.transaction(writes)
  } catch (cause) {
    throw table === undefined ? cause : writeErrorOf(table, cause)
  }
}

/**
 * Runs a write. Throws `FST_USERS_UNIQUE_VIOLATION` with field names, `FST_USERS_INVALID_USER` for a value out of
 * range, and `FST_USERS_TABLE_MISMATCH` for other constraints.
 */
export async function runWrite (
  table: Table,
  statement: SqlStatement,
  parameters: readonly unknown[]
): Promise<SqlWritten> {
  try {
    return await statement.run(parameters)
  } catch (cause) {
    throw writeErrorOf(table, cause)
  }
}

/**
 * Returns the coded error for a duplicate, for a value out of range and for another constraint. Other errors are
 * returned unchanged.
 */
function writeErrorOf (table: Table, cause: unknown): unknown {
  if (table.dialect.isInvalidValue(cause)) {
    return FST_USERS_INVALID_USER([INVALID_VALUE], { detail: [{ path: '', keyword: 'column', message: INVALID_VALUE }], cause })
  }
  const violation = table.dialect.uniqueViolation(cause)
  if (violation === null) {
    return table.dialect.isConstraint(cause) ? FST_USERS_TABLE_MISMATCH([table.name, CONSTRAINT], { cause }) : cause
  }
  const fields =
    'index' in violation
      ? fieldsOfIndex(table, violation.index, violation.words)
      : violation.columns.map((name) => table.columns.find((column) => column.name === name)?.field ?? name)
  return FST_USERS_UNIQUE_VIOLATION([fields.join(', ')], { fields, cause })
}
