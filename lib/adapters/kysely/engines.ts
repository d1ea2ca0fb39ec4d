import type { Field } from '../../contracts/models.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { isUnreachable } from '../shared/unreachable.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { postgresIn } from '../sql/dialects/postgres.js'
import { sqliteDialect, sqliteWithoutNul } from '../sql/dialects/sqlite.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import * as mysql2Session from '../sql/drivers/mysql2-session.js'
import * as mysql2 from '../sql/drivers/mysql2.js'
import * as pgSession from '../sql/drivers/pg-session.js'
import * as pg from '../sql/drivers/pg.js'
import type { InTransaction, Migration } from '../sql/migration/migration-source.js'
import { inMysql } from '../sql/migration/mysql-source.js'
import { inPostgres } from '../sql/migration/postgres-source.js'
import { inSqlite } from '../sql/migration/sqlite-source.js'
import type { KyselyInstance } from './instance.js'

/** How one database is used through Kysely. */
export interface Engine {
  readonly dialect: Dialect
  /** What must be so, or is made so, when the adapter opens. */
  readonly start?: (driver: SqlDriver) => Promise<void>
  /**
   * What begins and ends a change of the schema, which excludes other writers, on one connection. A lock that is not
   * given is a 0.
   */
  readonly begin: readonly string[]
  readonly commit: string
  readonly rollback: string
  /** A statement as it runs in UTC. */
  readonly inUtc?: (sql: string) => string
  /** Whether a database that can serve refused. An error without a code is of the client: it is closed. */
  readonly isRefusal: (error: unknown) => boolean
  /** Whether a statement failed without an effect, and may run again. */
  readonly hadNoEffect?: (error: unknown) => boolean
  /** How the tables are migrated on one connection. */
  readonly migration: Pick<Migration, 'dialect' | 'isAtomic'> & { readonly inTransaction: InTransaction }
}

/**
 * Rows are objects here, so columns have names of their own; and the application's client parses what is not text, so
 * all is read as text.
 */
const postgresEngine = (schema?: string): Engine => ({
  dialect: withNames(postgresIn(schema), (expression, field) => (isText(field) ? expression : `(${expression})::text`)),
  start: pgSession.checkSession,
  begin: ['BEGIN', pg.LOCK_TABLES],
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  isRefusal: pg.isRefusal,
  migration: { dialect: postgresIn(schema), isAtomic: true, inTransaction: inPostgres(schema) }
})

/** Some clients of SQLite cut text at U+0000. */
const sqlite: Engine = {
  dialect: withNames(sqliteWithoutNul, (expression) => expression),
  start: async (driver) => {
    await driver.prepare('PRAGMA foreign_keys = ON').run([])
  },
  begin: ['BEGIN IMMEDIATE'],
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  isRefusal: (error) => error instanceof Error && 'code' in error && !isUnreachable(error),
  migration: { dialect: sqliteDialect, isAtomic: true, inTransaction: inSqlite }
}

const mysql: Engine = {
  dialect: withNames(mysqlDialect, (expression, field) => (isText(field) ? expression : `cast(${expression} AS CHAR)`)),
  async start (driver) {
    await mysql2Session.checkSession(driver)
    const row = await driver.prepare('SELECT @@sql_mode').get([])
    // Kysely has mysql2 write values into the statement, with a backslash before quotes
    if (String(row?.[0]).includes('NO_BACKSLASH_ESCAPES')) {
      throw FST_USERS_INVALID_OPTION([
        'adapter',
        'kysely(): sql_mode NO_BACKSLASH_ESCAPES would let values become SQL; remove it'
      ])
    }
  },
  begin: [mysql2.LOCK_TABLES],
  commit: mysql2.UNLOCK_TABLES,
  rollback: mysql2.UNLOCK_TABLES,
  inUtc: mysql2.inUtc,
  isRefusal: mysql2.isRefusal,
  hadNoEffect: mysql2.hadNoEffect,
  migration: { dialect: mysqlDialect, isAtomic: false, inTransaction: inMysql }
}

/** Engines by what their dialect makes of one query: quotes and placeholders tell them apart. */
const engines: ReadonlyMap<string, (schema?: string) => Engine> = new Map([
  ['select $1 as "a"', postgresEngine],
  ['select ? as "a"', () => sqlite],
  ['select ? as `a`', () => mysql]
])

/**
 * Returns the engine of an instance. Throws `FST_USERS_INVALID_OPTION` for other databases, and for a schema outside of
 * PostgreSQL.
 */
export function engineOf (db: KyselyInstance, schema?: string): Engine {
  const { sql } = db.selectNoFrom((expressions) => expressions.val(1).as('a')).compile()
  const make = engines.get(sql)
  if (make === undefined) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'kysely() takes an instance for PostgreSQL, MySQL or SQLite'])
  }
  if (schema !== undefined && make !== postgresEngine) {
    throw FST_USERS_INVALID_OPTION(['schema', 'is for PostgreSQL only'])
  }
  return make(schema)
}

function withNames (dialect: Dialect, form: (expression: string, field: Field) => string): Dialect {
  return {
    ...dialect,
    read: (expression, field, name) => `${form(dialect.read(expression, field, name), field)} AS ${dialect.quote(name)}`
  }
}

function isText ({ type, id }: Field): boolean {
  return type === 'text' || (type === 'id' && id?.storage !== 'integer')
}
