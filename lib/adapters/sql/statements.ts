import type { Dialect } from './dialects/dialect.js'
import { isComparedTwice, prefersExact, type Shape, type Term } from './shape.js'
import type { Column, Table } from './table.js'

const signs = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

/** One column to set, or to count up. */
export interface Assignment {
  column: Column
  increment: boolean
}

/** How a list is sorted and where it continues: from the start, after a null of the sort column, or after a value. */
export interface ListOrder {
  column: Column
  after: 'start' | 'null' | 'value'
}

/** Reads one row. Its parameters are followed by the values at the shape's `exact` positions. */
export function selectOneSql ({ table, terms }: Shape): string {
  const bind = binder(table.dialect)
  return `SELECT ${columnList(table)} FROM ${table.sql}${where(table.dialect, terms, bind)}${orderExactFirst(table, terms, bind)} LIMIT 1`
}

/** Reads one row and its user. Parameters as for `selectOneSql`. */
export function selectWithUserSql ({ table, terms }: Shape, users: Table): string {
  const reference = table.byField.get('user_id')?.sql ?? ''
  const bind = binder(table.dialect)
  return (
    `SELECT ${columnList(table, 't.')}, ${columnList(users, 'u.')} FROM ${table.sql} t JOIN ${users.sql} u ON u.${users.primaryKey.sql} = t.${reference}` +
    `${where(table.dialect, terms, bind, 't.')}${orderExactFirst(table, terms, bind, 't.')} LIMIT 1`
  )
}

/** Reads rows in order. The conditions' parameters are followed by the values to continue after, and the limit. */
export function selectManySql ({ table, terms }: Shape, { column, after }: ListOrder): string {
  const { dialect, primaryKey } = table
  const bind = binder(dialect)
  const conditions = terms.map((term) => condition(dialect, term, bind, ''))
  const isKey = column === primaryKey
  const comparand = ({ definition, type }: Column): string => dialect.comparand(bind(), definition, type)
  const isBehind = (first: Column, last: Column): string =>
    dialect.comparesRows
      ? `(${first.sql}, ${last.sql}) > (${comparand(first)}, ${comparand(last)})`
      : `${first.sql} >= ${comparand(first)} AND (${first.sql} > ${comparand(first)} OR ${last.sql} > ${comparand(last)})`
  if (after === 'null') conditions.push(`(${column.sql} IS NOT NULL OR ${primaryKey.sql} > ${comparand(primaryKey)})`)
  else if (after === 'value') {
    conditions.push(isKey ? `${primaryKey.sql} > ${comparand(primaryKey)}` : isBehind(column, primaryKey))
  }
  const order = isKey
    ? primaryKey.sql
    : `${column.sql}${column.definition.nullable === true ? dialect.nullsFirst : ''}, ${primaryKey.sql}`
  return `SELECT ${columnList(table)} FROM ${table.sql}${all(conditions)} ORDER BY ${order} LIMIT ${bind()}`
}

/** Counts rows. */
export function countSql ({ table, terms }: Shape): string {
  return `SELECT count(*) FROM ${table.sql}${where(table.dialect, terms, binder(table.dialect))}`
}

/** Stores one row; without its primary key where the database makes it. */
export function insertSql (table: Table, columns: readonly Column[]): string {
  const { dialect, primaryKey } = table
  const bind = binder(dialect)
  const returning = dialect.returnsId && !columns.includes(primaryKey) ? ` RETURNING ${primaryKey.sql}` : ''
  return `INSERT INTO ${table.sql} (${columns.map(({ sql }) => sql).join(', ')}) VALUES (${columns.map(bind).join(', ')})${returning}`
}

/** Changes rows. The assigned values come before the conditions' parameters. */
export function updateSql ({ table, terms }: Shape, assignments: readonly Assignment[]): string {
  const bind = binder(table.dialect)
  const set = assignments.map(({ column: { sql }, increment }) =>
    increment ? `${sql} = ${sql} + ${bind()}` : `${sql} = ${bind()}`
  )
  return `UPDATE ${table.sql} SET ${set.join(', ')}${where(table.dialect, terms, bind)}`
}

/** Removes rows. */
export function deleteSql ({ table, terms }: Shape): string {
  return `DELETE FROM ${table.sql}${where(table.dialect, terms, binder(table.dialect))}`
}

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
  return all(terms.map((term) => condition(dialect, term, bind, prefix)))
}

function all (conditions: readonly string[]): string {
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
  if (collated) return `${dialect.binary(sql)} ${signs[operator]} ${bind()}`
  return `${definition.type === 'text' ? dialect.ordered(sql) : sql} ${signs[operator]} ${dialect.comparand(bind(), definition)}`
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

function orderExactFirst ({ dialect, primaryKey }: Table, terms: readonly Term[], bind: () => string, prefix = ''): string {
  const exact = terms
    .filter(prefersExact)
    .map(({ column }) => `(${dialect.binary(prefix + column.sql)} = ${bind()}) DESC`)
  return exact.length === 0 ? '' : ` ORDER BY ${exact.join(', ')}, ${prefix}${primaryKey.sql}`
}
