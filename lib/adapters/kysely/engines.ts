import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { isUnreachable } from '../shared/unreachable.js'
import type { Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { asMysqlText, asPostgresText, withNames } from '../sql/dialects/named-columns.js'
import { postgresIn } from '../sql/dialects/postgres.js'
import { sqliteDialect, sqliteWithoutNul } from '../sql/dialects/sqlite.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import * as mysql2Session from '../sql/drivers/mysql2-session.js'
import { hadNoEffect, isMysqlRefusal } from '../sql/drivers/mysql2-errors.js'
import * as mysql2 from '../sql/drivers/mysql2.js'
import * as pgSession from '../sql/drivers/pg-session.js'
import * as pg from '../sql/drivers/pg.js'
import { isPgRefusal } from '../sql/drivers/pg-errors.js'
import type { InTransaction, Migration } from '../sql/migration/migration-source.js'
import { inMysql } from '../sql/migration/mysql-source.js'
import { inPostgres } from '../sql/migration/postgres-source.js'
import { inSqlite } from '../sql/migration/sqlite-source.js'
import type { KyselyInstance } from './instance.js'

/** The use of one kind of database through Kysely. */
export interface Engine {
  readonly dialect: Dialect
  /** False for an embedded database, which has no round trips to share. */
  readonly isServer: boolean
  /** Checks and sets session settings when the adapter opens. */
  readonly start?: (driver: SqlDriver) => Promise<void>
  /**
   * Statements that begin a schema change and exclude other writers, on one connection. A result of 0 means that the
   * lock is not free.
   */
  readonly begin: readonly string[]
  readonly commit: string
  readonly rollback: string
  /** Returns the statement with UTC as its time zone. */
  readonly inUtc?: (sql: string) => string
  /**
   * Returns true if a working database refused the statement. An error without a code comes from the client, which is
   * closed.
   */
  readonly isRefusal: (error: unknown) => boolean
  /** Returns true if a statement failed without an effect and can be retried. */
  readonly hadNoEffect?: (error: unknown) => boolean
  /** The migration of the tables on one connection. */
  readonly migration: Pick<Migration, 'dialect' | 'isAtomic'> & { readonly inTransaction: InTransaction }
}

/** Rows are objects here. Values are read as text, so that the parsers of the application's client have no effect. */
const postgresEngine = (schema?: string): Engine => ({
  dialect: withNames(postgresIn(schema), asPostgresText),
  isServer: true,
  start: pgSession.checkPgSession,
  begin: ['BEGIN', pg.LOCK_TABLES],
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  isRefusal: isPgRefusal,
  migration: { dialect: postgresIn(schema), isAtomic: true, inTransaction: inPostgres(schema) }
})

/** The dialect for clients that may cut text at U+0000. */
const sqlite: Engine = {
  dialect: withNames(sqliteWithoutNul),
  isServer: false,
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
  dialect: withNames(mysqlDialect, asMysqlText),
  isServer: true,
  async start (driver) {
    await mysql2Session.checkMysqlSession(driver)
    await mysql2Session.checkEscapes(driver, 'kysely')
  },
  begin: [mysql2.LOCK_TABLES],
  commit: mysql2.UNLOCK_TABLES,
  rollback: mysql2.UNLOCK_TABLES,
  inUtc: mysql2.inUtc,
  isRefusal: isMysqlRefusal,
  hadNoEffect,
  migration: { dialect: mysqlDialect, isAtomic: false, inTransaction: inMysql }
}

/** Engines by the SQL that their dialect compiles for one test query. Quotes and placeholders differ. */
const engines: ReadonlyMap<string, (schema?: string) => Engine> = new Map([
  ['select $1 as "a"', postgresEngine],
  ['select ? as "a"', () => sqlite],
  ['select ? as `a`', () => mysql]
])

/**
 * Returns the engine of an instance. Throws `FST_USERS_INVALID_OPTION` for other databases, and for the option `schema`
 * without PostgreSQL.
 */
export function kyselyEngineOf (db: KyselyInstance, schema?: string): Engine {
  const { sql } = db.selectNoFrom((expressions) => expressions.val(1).as('a')).compile()
  const make = engines.get(sql)
  if (make === undefined) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'pass to kysely() an instance for PostgreSQL, MySQL or SQLite'])
  }
  if (schema !== undefined && make !== postgresEngine) {
    throw FST_USERS_INVALID_OPTION(['schema', 'is available for PostgreSQL only; leave it out'])
  }
  return make(schema)
}
