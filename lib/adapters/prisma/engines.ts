import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import type { Codec, Dialect } from '../sql/dialects/dialect.js'
import { mysqlDialect } from '../sql/dialects/mysql.js'
import { asMysqlText, asPostgresText, type ReadForm, withNames } from '../sql/dialects/named-columns.js'
import { postgresIn } from '../sql/dialects/postgres.js'
import { sqliteWithoutNul } from '../sql/dialects/sqlite.js'
import type { SqlDriver } from '../sql/drivers/driver.js'
import * as mysql2Session from '../sql/drivers/mysql2-session.js'
import * as mysqlErrors from '../sql/drivers/mysql2-errors.js'
import { inUtc } from '../sql/drivers/mysql2.js'
import * as pgErrors from '../sql/drivers/pg-errors.js'
import { isUnreachable } from '../shared/unreachable.js'
import type { PrismaDatabase } from './client.js'

/** The use of one kind of database through Prisma. */
export interface PrismaEngine {
  readonly database: PrismaDatabase
  readonly dialect: Dialect
  /** Checks session settings when the adapter opens. */
  readonly start?: (driver: SqlDriver) => Promise<void>
  readonly inUtc?: (sql: string) => string
  readonly isRefusal: (error: unknown) => boolean
  readonly hadNoEffect?: (error: unknown) => boolean
}

/** The name of one unique index of each column, which Prisma reports for a duplicate; the primary key first. */
const UNIQUE_INDEX = `(SELECT i.relname::text FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = c.oid AND x.indisunique AND a.attnum = ANY (x.indkey) ORDER BY x.indisprimary DESC, i.relname LIMIT 1) AS unique_index`

/** Times as a driver adapter of Prisma stores them in SQLite: text in the form of ISO 8601, or milliseconds. */
const sqliteTime: Codec = { encode: (value) => value, decode: decodeSqliteTime }

/** Reads values in a form that does not depend on the declared type of the column. */
const asSqliteValue: ReadForm = (expression, { type, id }) => {
  if (type === 'time' || type === 'json') return `CAST(${expression} AS TEXT)`
  if (type === 'number') return `CAST(${expression} AS REAL)`
  const isWhole = type === 'boolean' || type === 'integer' || id?.storage === 'integer'
  return isWhole ? `CAST(${expression} AS INTEGER)` : expression
}

/**
 * Returns the engine of a database. `schema` is the schema of the tables in PostgreSQL. Throws
 * `FST_USERS_INVALID_OPTION` for a schema of another database.
 */
export function prismaEngineOf (database: PrismaDatabase, schema: string | undefined): PrismaEngine {
  if (schema !== undefined && database !== 'postgres') {
    throw FST_USERS_INVALID_OPTION(['schema', 'is available for PostgreSQL only; leave it out'])
  }
  if (database === 'postgres') {
    const base = withNames(postgresIn(schema), asPostgresText)
    return {
      database,
      dialect: {
        ...base,
        catalog: base.catalog.replace('NULL AS unique_index', UNIQUE_INDEX),
        uniqueViolation (error) {
          const violation = base.uniqueViolation(error)
          // Prisma does not report the columns of the index
          return violation !== null && 'index' in violation ? { index: violation.index } : violation
        }
      },
      isRefusal: pgErrors.isPgRefusal
    }
  }
  if (database === 'mysql') {
    return {
      database,
      dialect: { ...withNames(mysqlDialect, asMysqlText), returnsId: true },
      start: mysql2Session.checkMysqlSession,
      inUtc,
      isRefusal: mysqlErrors.isMysqlRefusal,
      hadNoEffect: mysqlErrors.hadNoEffect
    }
  }
  return {
    database,
    dialect: {
      ...withNames(sqliteWithoutNul, asSqliteValue),
      returnsId: true,
      codec: (field, type) => (field.type === 'time' ? sqliteTime : sqliteWithoutNul.codec(field, type))
    },
    isRefusal: (error) =>
      error instanceof Error && 'code' in error && /^SQLITE_/.test(String(error.code)) && !isUnreachable(error)
  }
}

/** Returns a time, or undefined for other values. In a new row, the value is the date that was bound. */
function decodeSqliteTime (raw: unknown): Date | undefined {
  if (raw instanceof Date) return new Date(raw)
  const text = String(raw)
  const time = new Date(/^-?\d+$/.test(text) ? Number(text) : text)
  return Number.isNaN(time.getTime()) ? undefined : time
}
