import { storeUnavailable } from '../../../errors.js'
import { mysqlDialect } from '../dialects/mysql.js'
import { checkMysqlSession } from '../drivers/mysql2-session.js'
import type { MysqlPool } from '../drivers/mysql2-pool.js'
import { isMysqlRefusal } from '../drivers/mysql2-errors.js'
import { inSession, LOCK_TABLES, UNLOCK_TABLES, useMysql2, type RunInSession } from '../drivers/mysql2.js'
import { mapOpeningErrors } from '../drivers/driver-errors.js'
import type { TableMappings } from '../schema.js'
import type {
  InTransaction,
  Migration,
  MigrationDatabase,
  MigrationSession,
  Rows,
  StoredIndex,
  StoredTable
} from './migration-source.js'
import { namesIn } from './stored-rows.js'

/** Milliseconds that a command waits for a connection and for the checks of its session. */
const TIMEOUT_MS = 10_000
/** Limits the wait for the application's transactions to 60 seconds, since other statements queue behind the change. */
const LOCK_TIMEOUT = ['SET @fastify_users_wait = @@lock_wait_timeout', 'SET SESSION lock_wait_timeout = 60']
/** Sets the session to UTC, because columns of type TIMESTAMP are read and written in its time zone. */
const IN_UTC = ['SET @fastify_users_zone = @@time_zone', "SET time_zone = '+00:00'"]
const RESTORE_SESSION = [
  'SET SESSION lock_wait_timeout = @fastify_users_wait',
  'SET time_zone = @fastify_users_zone',
  UNLOCK_TABLES
]
const COLUMNS = `SELECT c.COLUMN_NAME, CASE WHEN c.DATA_TYPE IN ('char', 'varchar') THEN c.CHARACTER_MAXIMUM_LENGTH END AS WIDTH, c.COLLATION_NAME, c.IS_NULLABLE
FROM information_schema.COLUMNS c JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE t.TABLE_SCHEMA = database() AND t.TABLE_TYPE = 'BASE TABLE' AND BINARY t.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION`
const INDEXES = `SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = database() AND BINARY TABLE_NAME = ? AND INDEX_TYPE = 'BTREE' ORDER BY INDEX_NAME, SEQ_IN_INDEX`
const HAS_INDEX = 'SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = database() AND INDEX_NAME = ?'
const REFERENCING = `SELECT DISTINCT TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = database() AND REFERENCED_TABLE_SCHEMA = database() AND BINARY REFERENCED_TABLE_NAME = ? ORDER BY TABLE_NAME`
const NOW = 'SELECT round(unix_timestamp(now(6)) * 1000)'

/** Matches the type, character set and NOT NULL at the start of a column definition, before anything in quotes. */
const NOT_NULL = /^([\w(), ]*) NOT NULL\b/

const { quote } = mysqlDialect

/**
 * Returns the migration of a MySQL or MariaDB database. The application closes the pool. Each change of a table is
 * committed separately.
 */
export function mysqlMigration (pool: MysqlPool, mappings: TableMappings): Migration {
  return {
    dialect: mysqlDialect,
    isAtomic: false,
    mappings,
    async connect () {
      await mapOpeningErrors(isMysqlRefusal, () => checkMysqlSession(useMysql2(pool, TIMEOUT_MS)))
      return {
        close () {},
        transaction: (mode, work) => inSession(pool, TIMEOUT_MS, (run) => inMysql(mysqlSession(run), mode, work))
      }
    }
  }
}

/**
 * Runs a change of the tables on a connection of any client, one process at a time. Throws
 * `FST_USERS_STORE_UNAVAILABLE` if the lock is not free in time.
 */
export const inMysql: InTransaction = async (session, mode, work) => {
  const database = mysqlMigrationDatabase(session)
  if (mode === 'read') return await work(database)
  if (Number((await session.all(LOCK_TABLES))[0]?.[0]) !== 1) {
    throw storeUnavailable('another process holds the lock of the tables')
  }
  try {
    for (const text of [...LOCK_TIMEOUT, ...IN_UTC]) await session.run(text)
    return await work(database)
  } finally {
    // a lost connection ends its session too
    for (const text of RESTORE_SESSION) await Promise.resolve(session.all(text)).catch(() => {})
  }
}

function mysqlSession (run: RunInSession): MigrationSession {
  return {
    all: async (sql, parameters) => (await run(sql, parameters)) as Rows, // a SELECT returns rows
    // a change returns its result
    run: async (sql, parameters) => ((await run(sql, parameters)) as { affectedRows: number }).affectedRows
  }
}

function mysqlMigrationDatabase (session: MigrationSession): MigrationDatabase {
  const { all } = session
  return {
    dialect: mysqlDialect,
    ...session,
    attempt: (sql) => Promise.resolve(all(sql)).catch(() => null),
    hasIndex: async (name) => (await all(HAS_INDEX, [name])).length > 0,
    referencing: async (table) => namesIn(await all(REFERENCING, [table])),
    async describe (table) {
      const columns = await all(COLUMNS, [table])
      if (columns.length === 0) return null
      return {
        columns: new Map(
          columns.map(([name, width, , nullable]) => [
            String(name),
            { name: String(name), width: width === null ? null : Number(width), nullable: nullable === 'YES' }
          ])
        ),
        indexes: readMysqlIndexes(columns, await all(INDEXES, [table]))
      } satisfies StoredTable
    },
    async alter (table, columns) {
      const definition = String((await all(`SHOW CREATE TABLE ${quote(table)}`))[0]?.[1]).split('\n')
      const lines = [...columns].map(([name, { type, nullable }]) => {
        const start = `  ${quote(name)} `
        const line = definition
          .find((text) => text.startsWith(start))
          ?.slice(start.length)
          .replace(/,$/, '')
        const wider = type === undefined ? line : line?.replace(/^\w+\(\d+\)/, type)
        return nullable === true ? wider?.replace(NOT_NULL, '$1 NULL') : wider
      })
      return lines.includes(undefined)
        ? null
        : [...columns.keys()].map(
            (name, position) => `ALTER TABLE ${quote(table)} MODIFY COLUMN ${quote(name)} ${lines[position]}`
          )
    },
    dropIndex: (table, index) => `DROP INDEX ${quote(index)} ON ${quote(table)}`,
    async exclusively (work) {
      await session.run('SET autocommit = 0')
      try {
        const result = await work()
        await session.run('COMMIT')
        return result
      } catch (error) {
        await Promise.resolve(session.run('ROLLBACK')).catch(() => {}) // a lost connection rolls back too
        throw error
      } finally {
        await Promise.resolve(session.run('SET autocommit = 1')).catch(() => {})
      }
    },
    rowLock: ' FOR UPDATE',
    now: async () => Number((await all(NOW))[0]?.[0])
  }
}

/**
 * Returns the indexes of a table. An index on the generated lower-case column counts as one on `lower(column)`, and so
 * does an index on a column whose collation ignores case.
 */
function readMysqlIndexes (columns: Rows, rows: Rows): StoredIndex[] {
  const indexes = new Map<unknown, { unique: boolean; keys: string[]; folded: string[] }>()
  const lowered = new Map(
    columns.map(([name]) => [mysqlDialect.lowerColumn?.name(String(name)), `lower(${String(name)})`])
  )
  const ignoring = new Set(
    columns.filter(([, , collation]) => mysqlDialect.ignoresCase?.(String(collation)) === true).map(([name]) => name)
  )
  for (const [name, notUnique, column, part] of rows) {
    const index = indexes.get(name) ?? { unique: Number(notUnique) === 0, keys: [], folded: [] }
    // the column is null if the key is an expression
    const key = part === null ? String(column) : `${String(column)}(${String(part)})`
    index.keys.push(lowered.get(key) ?? key)
    index.folded.push(ignoring.has(key) ? `lower(${key})` : (lowered.get(key) ?? key))
    indexes.set(name, index)
  }
  return [...indexes].flatMap(([name, { unique, keys, folded }]) => [
    { name: String(name), unique, keys },
    { name: String(name), unique, keys: folded }
  ])
}
