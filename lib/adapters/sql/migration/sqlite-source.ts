import { existsSync } from 'node:fs'
import type { MaybePromise } from '../../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { sqliteDialect } from '../dialects/sqlite.js'
import { createPrivateFile } from '../drivers/private-file.js'
import type { OwnSqliteDatabase, SqliteDatabase } from '../drivers/sqlite-database.js'
import type { TableMappings } from '../schema.js'
import type {
  ColumnChange,
  InTransaction,
  Migration,
  MigrationDatabase,
  MigrationSession,
  MigrationSource,
  Rows,
  StoredColumn,
  StoredIndex,
  StoredTable,
  WhenMissing
} from './migration-source.js'
import { namesIn } from './stored-rows.js'
import { alterTable, definedIndexKeys } from './sqlite-definition.js'

/** Milliseconds that a migration waits until another one has ended. */
const BUSY_TIMEOUT = 30_000
const WIDTH = /char[^(]*\(\s*(\d+)/i
const REFERENCING =
  'SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = \'table\' AND f."table" = ? COLLATE NOCASE ORDER BY m.name'
const { quote, foldName } = sqliteDialect

/** Returns the migration of an SQLite file or of an open database. */
export function sqliteMigration (pathOrDatabase: string | SqliteDatabase, mappings: TableMappings): Migration {
  return {
    dialect: sqliteDialect,
    isAtomic: true,
    mappings,
    connect: (missing) =>
      typeof pathOrDatabase === 'string' ? openSource(pathOrDatabase, missing) : makeSource(pathOrDatabase, () => {})
  }
}

/**
 * Opens a database file without changing its journal mode. Throws `FST_USERS_INVALID_OPTION` if it cannot be opened.
 */
async function openSource (path: string, missing: WhenMissing): Promise<MigrationSource> {
  const file = missing === 'pretend' && !existsSync(path) ? ':memory:' : path
  let database: OwnSqliteDatabase
  try {
    const { default: Database } = await import('better-sqlite3')
    if (missing !== 'refuse') createPrivateFile(file)
    database = new Database(file, { fileMustExist: missing === 'refuse', timeout: BUSY_TIMEOUT })
  } catch (cause) {
    throw FST_USERS_INVALID_OPTION(['adapter', `there is no database file "${path}", or it cannot be opened`], { cause })
  }
  return makeSource(database, () => {
    database.close()
  })
}

function makeSource (database: SqliteDatabase, close: () => void): MigrationSource {
  const session: MigrationSession = {
    // raw rows are arrays
    all: (sql, parameters = []) => database.prepare(sql).raw(true).safeIntegers(false).all(parameters) as Rows,
    run: (sql, parameters = []) => Number(database.prepare(sql).run(parameters).changes)
  }
  return { close, transaction: (mode, work) => inSqlite(session, mode, work) }
}

/** Runs a transaction on a connection of any client. */
export const inSqlite: InTransaction = async (session, mode, work) => {
  const foreignKeys = await pragma(session, 'foreign_keys')
  // the old table is dropped after its copy, which must not delete rows that reference it
  // (https://sqlite.org/lang_altertable.html, section 7)
  await session.run('PRAGMA foreign_keys = OFF')
  const legacy = await pragma(session, 'legacy_alter_table')
  await session.run('PRAGMA legacy_alter_table = ON')
  try {
    await session.run(mode === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
    return await commitOrRollBack(session, () =>
      mode === 'write'
        ? keepReferences(session, () => work(sqliteMigrationDatabase(session)))
        : work(sqliteMigrationDatabase(session))
    )
  } finally {
    await session.run(`PRAGMA legacy_alter_table = ${legacy}`)
    await session.run(`PRAGMA foreign_keys = ${foreignKeys}`)
  }
}

async function commitOrRollBack<T> (session: MigrationSession, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    await session.run('COMMIT')
    return result
  } catch (error) {
    await ignoreErrors(() => session.run('ROLLBACK')) // some errors end the transaction
    throw error
  }
}

async function ignoreErrors<T> (work: () => MaybePromise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch {
    return undefined
  }
}

function sqliteMigrationDatabase (session: MigrationSession): MigrationDatabase {
  const { all } = session
  return {
    dialect: sqliteDialect,
    ...session,
    attempt: async (sql) => (await ignoreErrors(async () => await all(sql))) ?? null,
    hasIndex: async (name) =>
      (await all("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ? COLLATE NOCASE", [name])).length > 0,
    referencing: async (table) => namesIn(await all(REFERENCING, [table])),
    async describe (table) {
      const columns = await all(
        'SELECT c.name, c.type, c."notnull" FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = \'table\' AND m.name = ? COLLATE NOCASE',
        [table]
      )
      return columns.length === 0
        ? null
        : ({
            columns: new Map(columns.map(readColumn)),
            indexes: await readSqliteIndexes(session, table)
          } satisfies StoredTable)
    },
    alter: (table, columns) => rebuild(session, table, columns),
    dropIndex: (_table, index) => `DROP INDEX ${quote(index)}`,
    exclusively: (work) => work(), // the transaction excludes other writers
    rowLock: '',
    now: () => null
  }
}

function readColumn ([name, type, required]: readonly unknown[]): [string, StoredColumn] {
  const width = WIDTH.exec(String(type))?.[1]
  return [
    foldName(String(name)),
    { name: String(name), width: width === undefined ? null : Number(width), nullable: required === 0 }
  ]
}

async function readSqliteIndexes ({ all }: MigrationSession, table: string): Promise<StoredIndex[]> {
  const lists = await all(
    'SELECT i.name, i."unique", m.sql FROM pragma_index_list(?) i LEFT JOIN sqlite_master m ON m.type = \'index\' AND m.name = i.name WHERE i.partial = 0',
    [table]
  )
  const indexes: StoredIndex[] = []
  for (const [name, unique, sql] of lists) {
    // indexes of table constraints have no SQL and consist of plain columns
    const written = typeof sql === 'string' ? definedIndexKeys(sql) : []
    const keys = await all('SELECT name FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno', [name])
    indexes.push({
      name: String(name),
      unique: unique === 1,
      keys: keys.map(([column], position) =>
        typeof column === 'string' ? foldName(column) : String(written[position])
      )
    })
  }
  return indexes
}

/**
 * Returns the statements that rebuild a table, by SQLite's procedure for changes that ALTER TABLE does not support.
 * Indexes and triggers are dropped with the old table and created again.
 */
async function rebuild (
  session: MigrationSession,
  table: string,
  changes: ReadonlyMap<string, ColumnChange>
): Promise<readonly string[] | null> {
  const { all } = session
  const copy = `${table}_fastify_users_migration`
  const [stored, sql] = (
    await all("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE", [table])
  ).flat()
  const create = alterTable(String(sql), quote(copy), changes)
  if (create === null) return null
  const columns = (await all('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0', [table]))
    .map(([name]) => quote(String(name)))
    .join(', ')
  const own = await all(
    "SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name = ? COLLATE NOCASE ORDER BY rowid",
    [table]
  )
  return [
    create,
    `INSERT INTO ${quote(copy)} (${columns}) SELECT ${columns} FROM ${quote(table)}`,
    ...(await keepSequence(session, String(stored), copy)),
    `DROP TABLE ${quote(table)}`,
    `ALTER TABLE ${quote(copy)} RENAME TO ${quote(String(stored))}`,
    ...own.map(([statement]) => String(statement))
  ]
}

/** Returns the statements that keep the AUTOINCREMENT counter, so that ids of deleted rows are not reused. */
async function keepSequence ({ all }: MigrationSession, stored: string, copy: string): Promise<string[]> {
  if ((await all("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")).length === 0) return []
  const [sequence] = (await all('SELECT seq FROM sqlite_sequence WHERE name = ?', [stored])).flat()
  if (sequence === undefined) return []
  const name = `'${copy.replaceAll("'", "''")}'`
  return [
    `DELETE FROM sqlite_sequence WHERE name = ${name}`,
    `INSERT INTO sqlite_sequence (name, seq) VALUES (${name}, ${Number(sequence)})`
  ]
}

async function pragma ({ all }: MigrationSession, name: string): Promise<number> {
  return Number((await all(`PRAGMA ${name}`))[0]?.[0])
}

/**
 * Runs work while foreign keys are not enforced. Throws `FST_USERS_TABLE_MISMATCH` if more rows than before have
 * dangling references.
 */
async function keepReferences<T> (session: MigrationSession, work: () => Promise<T>): Promise<T> {
  const before = await brokenReferences(session)
  const result = await work()
  for (const [table, count] of await brokenReferences(session)) {
    const known = before.get(table)
    if (known !== undefined && count > known) {
      throw FST_USERS_TABLE_MISMATCH([
        table,
        'the change would delete rows that its rows reference; delete those rows first'
      ])
    }
  }
  return result
}

/** Returns the number of rows with dangling foreign keys, by table. */
async function brokenReferences (session: MigrationSession): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const [table] of await session.all("SELECT name FROM sqlite_master WHERE type = 'table'")) {
    counts.set(String(table), await countBroken(session, String(table)))
  }
  return counts
}

async function countBroken ({ all }: MigrationSession, table: string): Promise<number> {
  try {
    return (await all(`PRAGMA foreign_key_check(${quote(table)})`)).length
  } catch {
    return 0 // SQLite cannot check a foreign key that references columns without a unique index
  }
}
