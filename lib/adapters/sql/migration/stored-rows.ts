import type { Column, Table } from '../table.js'
import type { MigrationDatabase, Rows } from './migration-source.js'

const PAGE = 5000

/** Rows with equal values that must be unique. */
export interface Duplicates {
  readonly values: readonly unknown[]
  readonly ids: readonly unknown[]
}

/**
 * Returns the groups of rows that have the same values in some fields, at most `limit` groups. Fields with `ignoreCase`
 * are compared without case.
 */
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

/** Returns the required columns in which rows have no value, with the number of such rows. */
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

export async function hasRows (database: MigrationDatabase, { sql }: Table): Promise<boolean> {
  return (await database.all(`SELECT 1 FROM ${sql} LIMIT 1`)).length > 0
}

/** Returns the number of rows that refer to a user who no longer exists. */
export async function countOrphans (database: MigrationDatabase, table: Table, users: Table): Promise<number> {
  return Number((await database.all(`SELECT COUNT(*) FROM ${table.sql} WHERE ${isOrphan(table, users)}`)).flat()[0])
}

/** Deletes the rows that refer to a user who no longer exists, and returns their number. */
export async function removeOrphans (database: MigrationDatabase, table: Table, users: Table): Promise<number> {
  return await database.run(`DELETE FROM ${table.sql} WHERE ${isOrphan(table, users)}`)
}

/** Yields the primary key and some fields of all rows, in the order of the primary key. Rows are read in pages. */
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

/** A token stored as plain text, its session stamp, and the fields of its user from which a stamp is computed. */
export interface PlainToken {
  token: string
  stamp: string | null
  user: { session_stamp: string | null; hashed_password: string }
}

/**
 * Returns the number of plain-text tokens of existing users. A token is plain if it has no stamp, or a stamp that
 * begins with `mark`. If the table has no stamps (`mark` is null), all tokens are plain.
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

/** Yields the plain-text tokens, read in pages. `storeDigest` may replace tokens during the iteration. */
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

/** Yields the rows of successive pages. Each page is read with the last key of the page before. */
async function * pages (read: (last: readonly unknown[]) => Promise<Rows> | Rows): AsyncGenerator<readonly unknown[]> {
  let last: readonly unknown[] = []
  for (;;) {
    const rows = await read(last)
    yield * rows
    if (rows.length < PAGE) return
    last = rows.slice(-1).flat().slice(0, 1)
  }
}

/** Returns a SELECT list with unique column names, for clients whose rows are objects. */
function selectList (expressions: readonly string[]): string {
  return expressions.map((expression, position) => `${expression} AS users_${position}`).join(', ')
}

/** Returns the condition of rows in which a column refers to a user who does not exist. */
function isOrphan (table: Table, users: Table): string {
  const conditions = table.columns
    .filter(({ definition }) => definition.references === users.model.name)
    .map(({ sql, definition }) => {
      const exists = `EXISTS (SELECT 1 FROM ${users.sql} u WHERE u.${users.primaryKey.sql} = ${table.sql}.${sql})`
      return definition.nullable === true ? `(${table.sql}.${sql} IS NOT NULL AND NOT ${exists})` : `NOT ${exists}`
    })
  return conditions.length === 0 ? '1 = 0' : `(${conditions.join(' OR ')})`
}

function isPlain (tokens: Table, prefix: string, mark: string): string {
  const stamp = prefix + sqlOf(tokens, 'session_stamp')
  return `(${stamp} IS NULL OR ${stamp} LIKE '${mark}%')`
}

/** Returns the columns of some fields, in the order of the fields. */
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

/** Returns the names in the first column of rows. */
export function namesIn (rows: Rows): string[] {
  return firstColumn(rows).map(String)
}

function firstColumn (rows: Rows): unknown[] {
  return rows.map(([value]) => value)
}
