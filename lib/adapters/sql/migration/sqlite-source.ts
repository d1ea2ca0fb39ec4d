import { existsSync } from 'node:fs'
import { FST_USERS_INVALID_OPTION, FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { sqliteDialect } from '../dialects/sqlite.js'
import type { OwnSqliteDatabase, SqliteDatabase } from '../drivers/sqlite-database.js'
import type { TableMappings } from '../schema.js'
import type { Migration, MigrationDatabase, MigrationSource, Rows, StoredColumn, StoredIndex, StoredTable, WhenMissing } from './migration-source.js'
import { indexKeys, retypeTable } from './sqlite-definition.js'

const BUSY_TIMEOUT = 30_000 // milliseconds that a migration waits for another one
const WIDTH = /char[^(]*\(\s*(\d+)/i
const { quote, foldName } = sqliteDialect

/** How a SQLite database is migrated: of a path, or open. */
export function sqliteMigration (pathOrDatabase: string | SqliteDatabase, mappings: TableMappings): Migration {
  return {
    dialect: sqliteDialect,
    mappings,
    connect: (missing) => typeof pathOrDatabase === 'string' ? openSource(pathOrDatabase, missing) : makeSource(pathOrDatabase, () => {})
  }
}

/** Opens a database file as it is, without changing its journal mode. Throws `FST_USERS_INVALID_OPTION` when that cannot be. */
async function openSource (path: string, missing: WhenMissing): Promise<MigrationSource> {
  const file = missing === 'pretend' && !existsSync(path) ? ':memory:' : path
  let database: OwnSqliteDatabase
  try {
    const { default: Database } = await import('better-sqlite3')
    database = new Database(file, { fileMustExist: missing === 'refuse', timeout: BUSY_TIMEOUT })
  } catch (cause) {
    throw FST_USERS_INVALID_OPTION(['adapter', `there is no database file "${path}" that can be opened`], { cause })
  }
  return makeSource(database, () => { database.close() })
}

function makeSource (database: SqliteDatabase, close: () => void): MigrationSource {
  const view = migrationDatabase(database)
  return {
    close,
    async transaction (mode, work) {
      const foreignKeys = pragma(database, 'foreign_keys')
      // a table is rebuilt by dropping it, which must touch no other (https://sqlite.org/lang_altertable.html, section 7)
      database.pragma('foreign_keys = OFF')
      const legacy = pragma(database, 'legacy_alter_table')
      database.pragma('legacy_alter_table = ON')
      try {
        return await inTransaction(database, mode, () => work(view))
      } finally {
        database.pragma(`legacy_alter_table = ${legacy}`)
        database.pragma(`foreign_keys = ${foreignKeys}`)
      }
    }
  }
}

async function inTransaction<T> (database: SqliteDatabase, mode: 'read' | 'write', work: () => Promise<T>): Promise<T> {
  database.exec(mode === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
  try {
    const result = mode === 'write' ? await keepReferences(database, work) : await work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK')     // some faults end it by themselves
    throw error
  }
}

function migrationDatabase (database: SqliteDatabase): MigrationDatabase {
  const all = (sql: string, parameters: readonly unknown[] = []): Rows => database.prepare(sql).raw(true).safeIntegers(false).all(parameters) as Rows     // raw rows are arrays
  return {
    dialect: sqliteDialect,
    all,
    run: (sql, parameters = []) => Number(database.prepare(sql).run(parameters).changes),
    hasIndex: (name) => all("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ? COLLATE NOCASE", [name]).length > 0,
    describe (table) {
      const columns = all("SELECT c.name, c.type FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name = ? COLLATE NOCASE", [table])
      return columns.length === 0 ? null : { columns: new Map(columns.map(readColumn)), indexes: readIndexes(all, table) } satisfies StoredTable
    },
    retype: (table, types) => rebuild(all, table, types),
    now: () => null
  }
}

type All = (sql: string, parameters?: readonly unknown[]) => Rows

function readColumn ([name, type]: readonly unknown[]): [string, StoredColumn] {
  const width = WIDTH.exec(String(type))?.[1]
  return [foldName(String(name)), { name: String(name), width: width === undefined ? null : Number(width) }]
}

function readIndexes (all: All, table: string): StoredIndex[] {
  const lists = all('SELECT i.name, i."unique", m.sql FROM pragma_index_list(?) i LEFT JOIN sqlite_master m ON m.type = \'index\' AND m.name = i.name WHERE i.partial = 0', [table])
  return lists.map(([name, unique, sql]) => {
    const written = typeof sql === 'string' ? indexKeys(sql) : []     // constraints of the table have indexes without a statement, of plain columns
    const keys = all('SELECT name FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno', [name])
    return { unique: unique === 1, keys: keys.map(([column], position) => typeof column === 'string' ? foldName(column) : String(written[position])) }
  })
}

/** SQLite's procedure for changes of a table that ALTER TABLE does not know; indexes and triggers go with the table and are made again. */
function rebuild (all: All, table: string, types: ReadonlyMap<string, string>): readonly string[] | null {
  const copy = `${table}_fastify_users_migration`
  const [stored, sql] = all("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE", [table]).flat()
  const create = retypeTable(String(sql), quote(copy), types)
  if (create === null) return null
  const columns = all('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0', [table]).map(([name]) => quote(String(name))).join(', ')
  const own = all("SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name = ? COLLATE NOCASE ORDER BY rowid", [table])
  return [
    create,
    `INSERT INTO ${quote(copy)} (${columns}) SELECT ${columns} FROM ${quote(table)}`,
    ...keepSequence(all, String(stored), copy),
    `DROP TABLE ${quote(table)}`,
    `ALTER TABLE ${quote(copy)} RENAME TO ${quote(String(stored))}`,
    ...own.map(([statement]) => String(statement))
  ]
}

/** With AUTOINCREMENT no id is given twice, that of a removed row neither. */
function keepSequence (all: All, stored: string, copy: string): string[] {
  if (all("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").length === 0) return []
  const [sequence] = all('SELECT seq FROM sqlite_sequence WHERE name = ?', [stored]).flat()
  if (sequence === undefined) return []
  const name = `'${copy.replaceAll("'", "''")}'`
  return [`DELETE FROM sqlite_sequence WHERE name = ${name}`, `INSERT INTO sqlite_sequence (name, seq) VALUES (${name}, ${Number(sequence)})`]
}

function pragma (database: SqliteDatabase, name: string): number {
  const [row] = database.prepare(`PRAGMA ${name}`).raw(true).all([]) as Rows     // raw rows are arrays
  return Number(row?.[0])
}

/** Runs work with the check of foreign keys off. Throws `FST_USERS_TABLE_MISMATCH` when more rows than before refer to nothing. */
async function keepReferences<T> (database: SqliteDatabase, work: () => Promise<T>): Promise<T> {
  const before = brokenReferences(database)
  const result = await work()
  for (const [table, count] of brokenReferences(database)) {
    const known = before.get(table)
    if (known !== undefined && count > known) throw FST_USERS_TABLE_MISMATCH([table, 'it has rows that refer to rows which would be removed; remove those first'])
  }
  return result
}

/** Number of rows whose foreign key leads nowhere, by table. */
function brokenReferences (database: SqliteDatabase): Map<string, number> {
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").raw(true).all([]) as Rows     // raw rows are arrays
  return new Map(tables.map(([table]) => [String(table), countBroken(database, String(table))]))
}

function countBroken (database: SqliteDatabase, table: string): number {
  try {
    return database.prepare(`PRAGMA foreign_key_check(${quote(table)})`).raw(true).all([]).length
  } catch {
    return 0     // a key that refers to no unique columns: SQLite cannot check it, before and after
  }
}
