import type { Dialect } from './dialects/dialect.js'
import { isComparedTwice, prefersExact, type Shape, type Term } from './shape.js'
import type { Column, Table } from './table.js'

const comparisonSigns = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

/** A column that an UPDATE sets to a value or increments by a value. */
export interface Assignment {
  column: Pick<Column, 'field' | 'sql'>
  increment: boolean
}

/**
 * The sort column of a list, and the position of the page: at the start, after a row with null in the sort column, or
 * after a row with a value in it.
 */
export interface ListOrder {
  column: Column
  after: 'start' | 'null' | 'value'
}

/**
 * Returns the SELECT of one row. Its parameters are the values of the conditions, then the values at the shape's
 * `exact` positions.
 */
export function selectOneSql ({ table, terms }: Shape): string {
  const bind = binder(table.dialect)
  return `SELECT ${columnList(table)} FROM ${table.sql}${where(table.dialect, terms, bind)}${orderExactFirst(table, terms, bind)} LIMIT 1`
}

/** Returns the SELECT of one row and its user. It has the same parameters as `selectOneSql`. */
export function selectWithUserSql ({ table, terms }: Shape, users: Table): string {
  const reference = table.byField.get('user_id')?.sql ?? ''
  const bind = binder(table.dialect)
  return (
    `SELECT ${columnList(table, 't.')}, ${columnList(users, 'u.')} FROM ${table.sql} t JOIN ${users.sql} u ON u.${users.primaryKey.sql} = t.${reference}` +
    `${where(table.dialect, terms, bind, 't.')}${orderExactFirst(table, terms, bind, 't.')} LIMIT 1`
  )
}

/**
 * Returns the SELECT of one page of rows. Its parameters are the values of the conditions, the values of the last row
 * of the previous page, and the limit.
 */
export function selectManySql ({ table, terms }: Shape, { column, after }: ListOrder): string {
  const { dialect, primaryKey } = table
  const bind = binder(dialect)
  const conditions = terms.map((term) => condition(dialect, term, bind, ''))
  const isKey = column === primaryKey
  const comparand = ({ definition, type }: Column): string => dialect.comparand(bind(), definition, type)
  const followsLastRow = (first: Column, last: Column): string =>
    dialect.comparesRows
      ? `(${first.sql}, ${last.sql}) > (${comparand(first)}, ${comparand(last)})`
      : `${first.sql} >= ${comparand(first)} AND (${first.sql} > ${comparand(first)} OR ${last.sql} > ${comparand(last)})`
  if (after === 'null') conditions.push(`(${column.sql} IS NOT NULL OR ${primaryKey.sql} > ${comparand(primaryKey)})`)
  else if (after === 'value') {
    conditions.push(isKey ? `${primaryKey.sql} > ${comparand(primaryKey)}` : followsLastRow(column, primaryKey))
  }
  const order = isKey
    ? primaryKey.sql
    : `${column.sql}${column.definition.nullable === true ? dialect.nullsFirst : ''}, ${primaryKey.sql}`
  return `SELECT ${columnList(table)} FROM ${table.sql}${whereAll(conditions)} ORDER BY ${order} LIMIT ${bind()}`
}

export function countSql ({ table, terms }: Shape): string {
  return `SELECT count(*) FROM ${table.sql}${where(table.dialect, terms, binder(table.dialect))}`
}

/** Returns the INSERT of one row. `columns` lacks the primary key if the database generates it. */
export function insertSql (table: Table, columns: readonly Pick<Column, 'sql'>[]): string {
  const { dialect, primaryKey } = table
  const bind = binder(dialect)
  const returning = dialect.returnsId && !columns.includes(primaryKey) ? ` RETURNING ${primaryKey.sql}` : ''
  return `INSERT INTO ${table.sql} (${columns.map(({ sql }) => sql).join(', ')}) VALUES (${columns.map(bind).join(', ')})${returning}`
}

/** Returns the UPDATE of rows. Its parameters are the assigned values, then the values of the conditions. */
export function updateSql ({ table, terms }: Shape, assignments: readonly Assignment[]): string {
  const bind = binder(table.dialect)
  const set = assignments.map(({ column: { sql }, increment }) =>
    increment ? `${sql} = ${sql} + ${bind()}` : `${sql} = ${bind()}`
  )
  return `UPDATE ${table.sql} SET ${set.join(', ')}${where(table.dialect, terms, bind)}`
}

export function deleteSql ({ table, terms }: Shape): string {
  return `DELETE FROM ${table.sql}${where(table.dialect, terms, binder(table.dialect))}`
}

/** Returns a function that returns the placeholder of the next parameter. */
function binder (dialect: Dialect): () => string {
  let position = 0
  return () => dialect.placeholder(++position)
}

function columnList (table: Table, prefix = ''): string {
  return table.columns
    .map(({ sql, definition }, position) => table.dialect.read(prefix + sql, definition, `${prefix}c${position}`))
    .join(', ')
}

function where (dialect: Dialect, terms: readonly Term[], bind: () => string, prefix = ''): string {
  return whereAll(terms.map((term) => condition(dialect, term, bind, prefix)))
}

function whereAll (conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
}

function condition (dialect: Dialect, { column, operator, size }: Term, bind: () => string, prefix: string): string {
  if (column === undefined) return operator === 'null' ? '1 = 1' : '1 = 0'
  const sql = prefix + column.sql
  const { collated, definition } = column
  if (operator === 'null') return `${sql} IS NULL`
  if (operator === '=' || operator === 'in') {
    return size === 0 ? '1 = 0' : equals(dialect, { column, operator, size }, bind, prefix)
  }
  if (collated) return `${dialect.binary(sql)} ${comparisonSigns[operator]} ${bind()}`
  return `${definition.type === 'text' ? dialect.ordered(sql) : sql} ${comparisonSigns[operator]} ${dialect.comparand(bind(), definition)}`
}

function equals (
  dialect: Dialect,
  { column, operator, size }: Term & { column: Column },
  bind: () => string,
  prefix: string
): string {
  const { definition, type, collated, lowerSql } = column
  const sql = prefix + column.sql
  const list = (write: () => string): string =>
    operator === '=' ? `= ${write()}` : `IN (${Array.from({ length: size }, write).join(', ')})`
  const byColumn = (): string => `${sql} ${list(() => dialect.comparand(bind(), definition, type))}`
  const exactly = (): string => {
    if (definition.ignoreCase === true) {
      return `${lowerSql === undefined ? dialect.lower(sql) : prefix + lowerSql} ${list(() => dialect.lower(bind()))}`
    }
    return collated ? `${dialect.binary(sql)} ${list(bind)}` : byColumn()
  }
  return isComparedTwice(column, operator) ? `${byColumn()} AND ${exactly()}` : exactly()
}

/** Returns the ORDER BY that puts rows first which match the conditions in case too. */
function orderExactFirst ({ dialect, primaryKey }: Table, terms: readonly Term[], bind: () => string, prefix = ''): string {
  const exact = terms
    .filter(prefersExact)
    .map(({ column }) => `(${dialect.binary(prefix + column.sql)} = ${bind()}) DESC`)
  return exact.length === 0 ? '' : ` ORDER BY ${exact.join(', ')}, ${prefix}${primaryKey.sql}`
}
