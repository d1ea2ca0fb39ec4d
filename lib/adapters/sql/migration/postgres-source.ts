import { FST_USERS_STORE_UNAVAILABLE } from '../../../errors.js'
import { limitTime } from '../../../shared/time-limit.js'
import { connectionOptionError } from '../../shared/connection-errors.js'
import type { Dialect } from '../dialects/dialect.js'
import { postgresIn, visibleSql } from '../dialects/postgres.js'
import { inPgTransaction, LOCK_TABLES, type RunInTransaction } from '../drivers/pg.js'
import type { PgPool } from '../drivers/pg-pool.js'
import type { TableMappings } from '../schema.js'
import type {
  InTransaction,
  Migration,
  MigrationDatabase,
  MigrationSession,
  Rows,
  StoredIndex,
  StoredTable,
  TransactionMode
} from './migration-source.js'
import { namesIn } from './stored-rows.js'

const CONNECT_TIMEOUT = 10_000 // milliseconds
/**
 * Limits the wait for another migration and for the application's transactions to 60 seconds, since other statements
 * queue behind the change.
 */
const LOCK_TIMEOUT = "SET LOCAL lock_timeout = '60s'"
const BEGIN: Record<TransactionMode, readonly string[]> = {
  read: ['BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'],
  write: ['BEGIN', LOCK_TIMEOUT, LOCK_TABLES]
}
/** Matches the expression of the package's lower-case index in the server's notation, with and without a cast. */
const LOWER = /^lower\(+("(?:[^"]|"")+"|[\p{L}\p{N}_$]+)\)?(?:::text)?\)? COLLATE "C"\)+$/u

const columnsSql = (
  visible: string
): string => `SELECT a.attname, CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END AS width, a.attnotnull::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND ${visible} AND c.relname = $1::name
ORDER BY a.attnum`
const indexesSql = (
  visible: string
): string => `SELECT i.indexrelid, i.indisunique::text, a.attname, x.relname, pg_catalog.pg_get_indexdef(i.indexrelid, k.n, true)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k (n) LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1]
WHERE i.indpred IS NULL AND i.indisvalid AND m.amname = 'btree' AND ${visible} AND c.relname = $1::name
ORDER BY i.indexrelid, k.n`
/** Returns the query that finds a unique constraint of a table by name. */
const isConstraintSql = (visible: string): string =>
  `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_constraint o ON o.conrelid = c.oid WHERE o.contype = 'u' AND ${visible} AND c.relname = $1::name AND o.conname = $2::name`
/** Returns the query that finds an index by name, in the schema of the tables. */
const hasIndexSql = (schema?: string): string =>
  `SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname = $1::name AND ${
    schema === undefined
      ? '(pg_catalog.pg_table_is_visible(c.oid) OR c.relnamespace = pg_catalog.to_regnamespace(current_schema()::text))'
      : visibleSql(schema)
  }`
/** Returns the query for the names of the tables with a foreign key to a table. */
const referencingSql = (visible: string): string =>
  `SELECT DISTINCT r.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_constraint o ON o.confrelid = c.oid JOIN pg_catalog.pg_class r ON r.oid = o.conrelid WHERE o.contype = 'f' AND ${visible} AND c.relname = $1::name ORDER BY r.relname`
const NOW = 'SELECT round(extract(epoch FROM clock_timestamp()) * 1000)'

/** Returns the migration of a PostgreSQL database, or of one of its schemas. The application closes the pool. */
export function postgresMigration (pool: PgPool, mappings: TableMappings, schema?: string): Migration {
  const dialect = postgresIn(schema)
  return {
    dialect,
    isAtomic: true,
    mappings,
    async connect () {
      await checkConnection(pool)
      return {
        close () {},
        transaction: (mode, work) =>
          inPgTransaction(pool, BEGIN[mode], (query) =>
            work(postgresMigrationDatabase(postgresSession(query), dialect, schema))
          )
      }
    }
  }
}

/**
 * Returns a function that runs a transaction on a connection of another client, for the tables of a schema if one is
 * given.
 */
export function inPostgres (schema?: string): InTransaction {
  const dialect = postgresIn(schema)
  return async (session, mode, work) => {
    try {
      for (const text of BEGIN[mode]) await session.all(text)
      const result = await work(postgresMigrationDatabase(session, dialect, schema))
      await session.all('COMMIT')
      return result
    } catch (error) {
      await Promise.resolve(session.all('ROLLBACK')).catch(() => {}) // a lost connection rolls back too
      throw error
    }
  }
}

/**
 * Throws `FST_USERS_STORE_UNAVAILABLE` if the server refuses a connection or does not answer in time. The pool itself
 * may have no time limit.
 */
async function checkConnection (pool: PgPool): Promise<void> {
  const connect = async (): Promise<void> => {
    const client = await pool.connect().catch((cause: unknown) => {
      throw connectionOptionError(cause) ?? FST_USERS_STORE_UNAVAILABLE([], { cause })
    })
    client.release()
  }
  await limitTime(connect, CONNECT_TIMEOUT, () => FST_USERS_STORE_UNAVAILABLE())
}

function postgresSession (query: RunInTransaction): MigrationSession {
  return {
    all: async (sql, parameters) => (await query(sql, parameters)).rows,
    run: async (sql, parameters) => Number((await query(sql, parameters)).rowCount)
  }
}

function postgresMigrationDatabase (session: MigrationSession, dialect: Dialect, schema?: string): MigrationDatabase {
  const { all } = session
  const { quote, qualify = quote } = dialect
  const visible = visibleSql(schema)
  return {
    dialect,
    ...session,
    async attempt (sql) {
      await all('SAVEPOINT fastify_users_attempt')
      try {
        return await all(sql)
      } catch {
        await all('ROLLBACK TO SAVEPOINT fastify_users_attempt')
        return null
      }
    },
    hasIndex: async (name) => (await all(hasIndexSql(schema), [name])).length > 0,
    referencing: async (table) => namesIn(await all(referencingSql(visible), [table])),
    async describe (table) {
      const columns = await all(columnsSql(visible), [table])
      if (columns.length === 0) return null
      return {
        columns: new Map(
          columns.map(([name, width, required]) => [
            String(name),
            { name: String(name), width: width === null ? null : Number(width), nullable: required === 'false' }
          ])
        ),
        indexes: readPostgresIndexes(await all(indexesSql(visible), [table]))
      } satisfies StoredTable
    },
    alter: (table, columns) =>
      [...columns].flatMap(([name, { type, nullable }]) =>
        [...(type === undefined ? [] : [`TYPE ${type}`]), ...(nullable === true ? ['DROP NOT NULL'] : [])].map(
          (change) => `ALTER TABLE ${qualify(table)} ALTER COLUMN ${quote(name)} ${change}`
        )
      ),
    dropIndex: async (table, index) =>
      (await all(isConstraintSql(visible), [table, index])).length > 0
        ? `ALTER TABLE ${qualify(table)} DROP CONSTRAINT ${quote(index)}`
        : `DROP INDEX ${qualify(index)}`,
    exclusively: (work) => work(), // in the transaction of the migration
    rowLock: ' FOR UPDATE',
    now: async () => Number((await all(NOW))[0]?.[0])
  }
}

function readPostgresIndexes (rows: Rows): StoredIndex[] {
  const indexes = new Map<unknown, StoredIndex & { keys: string[] }>()
  for (const [id, unique, column, name, expression] of rows) {
    const index = indexes.get(id) ?? { name: String(name), unique: unique === 'true', keys: [] }
    index.keys.push(typeof column === 'string' ? column : indexKeyOf(String(expression)))
    indexes.set(id, index)
  }
  return [...indexes.values()]
}

function indexKeyOf (expression: string): string {
  const name = LOWER.exec(expression)?.[1]
  return name === undefined
    ? expression
    : `lower(${name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name})`
}
