import { FST_USERS_STORE_UNAVAILABLE } from '../../../errors.js'
import { postgresDialect } from '../dialects/postgres.js'
import { inTransaction, LOCK_TABLES, type RunInTransaction } from '../drivers/pg.js'
import type { PgPool } from '../drivers/pg-pool.js'
import type { TableMappings } from '../schema.js'
import type { Migration, MigrationDatabase, Rows, StoredIndex, StoredTable } from './migration-source.js'

const CONNECT_TIMEOUT = 10_000 // milliseconds
/** How long a migration waits for another one, and for the application's transactions, before it gives up: others wait behind it. */
const PATIENCE = "SET LOCAL lock_timeout = '60s'"
/** The expression of our index that ignores case, as the server writes it; with and without a cast. */
const LOWER = /^lower\(+("(?:[^"]|"")+"|[\p{L}\p{N}_$]+)\)?(?:::text)?\)? COLLATE "C"\)+$/u

const COLUMNS = `SELECT a.attname, CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace AND c.relname = $1::name
ORDER BY a.attnum`
const INDEXES = `SELECT i.indexrelid, i.indisunique, a.attname, pg_catalog.pg_get_indexdef(i.indexrelid, k.n, true)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k (n) LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1]
WHERE i.indpred IS NULL AND i.indisvalid AND m.amname = 'btree' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace AND c.relname = $1::name
ORDER BY i.indexrelid, k.n`
const HAS_INDEX = 'SELECT 1 FROM pg_catalog.pg_class WHERE relname = $1::name AND (pg_catalog.pg_table_is_visible(oid) OR relnamespace = pg_catalog.to_regnamespace(current_schema()::text))'
const NOW = 'SELECT round(extract(epoch FROM clock_timestamp()) * 1000)'

/** How a PostgreSQL database is migrated; the pool stays open. */
export function postgresMigration (pool: PgPool, mappings: TableMappings): Migration {
  return {
    dialect: postgresDialect,
    mappings,
    async connect () {
      await reach(pool)
      return {
        close () {},
        transaction: (mode, work) => inTransaction(pool, mode === 'read' ? ['BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'] : ['BEGIN', PATIENCE, LOCK_TABLES], (run) => work(migrationDatabase(run)))
      }
    }
  }
}

/** Throws `FST_USERS_STORE_UNAVAILABLE` when the server refuses, or does not answer in time whatever the pool waits. */
async function reach (pool: PgPool): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(reject, CONNECT_TIMEOUT) })
  const attempt = pool.connect().then((client) => { client.release() })
  await Promise.race([attempt, late])
    .catch((cause: unknown) => { throw FST_USERS_STORE_UNAVAILABLE([], { cause }) })
    .finally(() => { clearTimeout(timer) })
}

function migrationDatabase (query: RunInTransaction): MigrationDatabase {
  const all = async (sql: string, parameters?: readonly unknown[]): Promise<Rows> => (await query(sql, parameters)).rows
  return {
    dialect: postgresDialect,
    all,
    run: async (sql, parameters) => Number((await query(sql, parameters)).rowCount),
    hasIndex: async (name) => (await all(HAS_INDEX, [name])).length > 0,
    async describe (table) {
      const columns = await all(COLUMNS, [table])
      if (columns.length === 0) return null
      return {
        columns: new Map(columns.map(([name, width]) => [String(name), { name: String(name), width: width === null ? null : Number(width) }])),
        indexes: readIndexes(await all(INDEXES, [table]))
      } satisfies StoredTable
    },
    retype: (table, types) => [...types].map(([name, type]) => `ALTER TABLE ${postgresDialect.quote(table)} ALTER COLUMN ${postgresDialect.quote(name)} TYPE ${type}`),
    now: async () => Number((await all(NOW))[0]?.[0])
  }
}

function readIndexes (rows: Rows): StoredIndex[] {
  const indexes = new Map<unknown, { unique: boolean, keys: string[] }>()
  for (const [id, unique, column, expression] of rows) {
    const index = indexes.get(id) ?? { unique: unique === 't', keys: [] }
    index.keys.push(typeof column === 'string' ? column : keyOf(String(expression)))
    indexes.set(id, index)
  }
  return [...indexes.values()]
}

function keyOf (expression: string): string {
  const name = LOWER.exec(expression)?.[1]
  return name === undefined ? expression : `lower(${name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name})`
}
