import type { Column, Table } from '../table.js'
import type { MigrationDatabase, Rows } from './migration-source.js'

const PAGE = 5000

/** Rows that have equal values where only one row may have them. */
export interface Duplicates {
  readonly values: readonly unknown[]
  readonly ids: readonly unknown[]
}

/** Rows whose values clash in a group of fields, without case where a field ignores it; at most `limit` groups. */
export async function findDuplicates (
  database: MigrationDatabase,
  table: Table,
  fields: readonly string[],
  limit: number
): Promise<Duplicates[]> {
  const { dialect, sql, primaryKey } = table
  const keys = columnsOf(table, fields).map((column) =>
    column.definition.ignoreCase === true ? dialect.lower(column.sql) : column.sql
  )
  const groups = await database.all(
    `SELECT ${selectList(keys)} FROM ${sql} WHERE ${keys.map((key) => `${key} IS NOT NULL`).join(' AND ')} GROUP BY ${keys.join(', ')} HAVING COUNT(*) > 1 ORDER BY ${keys.join(', ')} LIMIT ${limit}`
  )
  const same = keys.map((key, position) => `${key} = ${dialect.placeholder(position + 1)}`).join(' AND ')
  const duplicates: Duplicates[] = []
  for (const group of groups) {
    duplicates.push({
      values: group,
      ids: firstColumn(
        await database.all(`SELECT ${primaryKey.sql} FROM ${sql} WHERE ${same} ORDER BY ${primaryKey.sql}`, group)
      )
    })
  }
  return duplicates
}

/** Names of the columns that must have a value and do not have one everywhere, with the number of such rows. */
export async function findNulls (
  database: MigrationDatabase,
  { columns, sql }: Table
): Promise<{ column: string; count: number }[]> {
  const required = columns.filter(({ definition }) => definition.nullable !== true)
  const counts = (
    await database.all(`SELECT ${selectList(required.map((column) => `COUNT(*) - COUNT(${column.sql})`))} FROM ${sql}`)
  ).flat()
  return required
    .map(({ name }, position) => ({ column: name, count: Number(counts[position]) }))
    .filter(({ count }) => count > 0)
}

/** Whether a table has any row. */
export async function hasRows (database: MigrationDatabase, { sql }: Table): Promise<boolean> {
  return (await database.all(`SELECT 1 FROM ${sql} LIMIT 1`)).length > 0
}

/** The number of rows whose user is gone. */
export async function countOrphans (database: MigrationDatabase, table: Table, users: Table): Promise<number> {
  return Number((await database.all(`SELECT COUNT(*) FROM ${table.sql} WHERE ${isOrphan(table, users)}`)).flat()[0])
}

/** Removes the rows whose user is gone, and returns their number. */
export async function removeOrphans (database: MigrationDatabase, table: Table, users: Table): Promise<number> {
  return await database.run(`DELETE FROM ${table.sql} WHERE ${isOrphan(table, users)}`)
}

/** All rows, page by page in the order of the primary key: the values of some fields, which the key leads. */
export async function * eachRow (
  database: MigrationDatabase,
  table: Table,
  fields: readonly string[]
): AsyncGenerator<readonly unknown[]> {
  const { primaryKey, sql, dialect } = table
  const names = selectList([primaryKey, ...columnsOf(table, fields)].map((column) => column.sql))
  yield * pages((last) =>
    database.all(
      `SELECT ${names} FROM ${sql}${last.length === 0 ? '' : ` WHERE ${primaryKey.sql} > ${dialect.placeholder(1)}`} ORDER BY ${primaryKey.sql} LIMIT ${PAGE}`,
      last
    )
  )
}

/** A stored token, the stamp beside it, and the fields of its user that a stamp is made of. */
export interface PlainToken {
  token: string
  stamp: string | null
  user: { session_stamp: string | null; hashed_password: string }
}

/**
 * Tokens of users who are there: those without a stamp, and those whose stamp begins with `mark`, are plain. All are
 * when the table has no stamps (`mark` is null).
 */
export async function countPlainTokens (
  database: MigrationDatabase,
  tokens: Table,
  users: Table,
  mark: string | null
): Promise<number> {
  const plain = mark === null ? '' : ` AND ${isPlain(tokens, '', mark)}`
  return Number(
    (await database.all(`SELECT COUNT(*) FROM ${tokens.sql} WHERE NOT ${isOrphan(tokens, users)}${plain}`)).flat()[0]
  )
}

/** The plain tokens, page by page; those read may be replaced meanwhile by `storeDigest`. */
export async function * eachPlainToken (
  database: MigrationDatabase,
  tokens: Table,
  users: Table,
  mark: string
): AsyncGenerator<PlainToken> {
  const { dialect, primaryKey } = tokens
  const key = `t.${primaryKey.sql}`
  const select = `SELECT ${selectList([key, `t.${sqlOf(tokens, 'session_stamp')}`, `u.${sqlOf(users, 'session_stamp')}`, `u.${sqlOf(users, 'hashed_password')}`])} FROM ${tokens.sql} t JOIN ${users.sql} u ON u.${users.primaryKey.sql} = t.${sqlOf(tokens, 'user_id')} WHERE ${isPlain(tokens, 't.', mark)}`
  const rows = pages((last) =>
    database.all(
      `${select}${last.length === 0 ? '' : ` AND ${key} > ${dialect.placeholder(1)}`} ORDER BY ${key} LIMIT ${PAGE}`,
      last
    )
  )
  for await (const [token, stamp, own, hash] of rows) {
    yield {
      token: String(token),
      stamp: textOrNull(stamp),
      user: { session_stamp: textOrNull(own), hashed_password: String(hash) }
    }
  }
}

/** Replaces a stored token and its stamp. */
export async function storeDigest (
  database: MigrationDatabase,
  tokens: Table,
  token: string,
  digest: string,
  stamp: string
): Promise<void> {
  const { sql, primaryKey, dialect } = tokens
  const stampSql = sqlOf(tokens, 'session_stamp')
  await database.run(
    `UPDATE ${sql} SET ${primaryKey.sql} = ${dialect.placeholder(1)}, ${stampSql} = ${dialect.placeholder(2)} WHERE ${primaryKey.sql} = ${dialect.placeholder(3)}`,
    [digest, stamp, token]
  )
}

/** Rows of successive pages; each page is asked for with the last key of the one before. */
async function * pages (read: (last: readonly unknown[]) => Promise<Rows> | Rows): AsyncGenerator<readonly unknown[]> {
  let last: readonly unknown[] = []
  for (;;) {
    const rows = await read(last)
    yield * rows
    if (rows.length < PAGE) return
    last = rows.slice(-1).flat().slice(0, 1)
  }
}

/** A list of results whose names differ, for clients whose rows are objects. */
function selectList (expressions: readonly string[]): string {
  return expressions.map((expression, position) => `${expression} AS users_${position}`).join(', ')
}

function isOrphan (table: Table, users: Table): string {
  return `NOT EXISTS (SELECT 1 FROM ${users.sql} u WHERE u.${users.primaryKey.sql} = ${table.sql}.${sqlOf(table, 'user_id')})`
}

function isPlain (tokens: Table, prefix: string, mark: string): string {
  const stamp = prefix + sqlOf(tokens, 'session_stamp')
  return `(${stamp} IS NULL OR ${stamp} LIKE '${mark}%')`
}

/** The columns of fields, in their order. */
export function columnsOf ({ columns }: Table, fields: readonly string[]): Column[] {
  return fields.flatMap((field) => columns.filter((column) => column.field === field))
}

function sqlOf (table: Table, field: string): string {
  return columnsOf(table, [field])
    .map(({ sql }) => sql)
    .join()
}

function textOrNull (value: unknown): string | null {
  return value === null ? null : String(value)
}

function firstColumn (rows: Rows): unknown[] {
  return rows.map(([value]) => value)
}
