import { entityKind } from 'drizzle-orm'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { isObject } from '../../shared/values.js'
import type { DrizzleDatabase } from './column-text.js'

/**
 * The properties of a Drizzle instance that identify it. Declared here, so that instances of all databases and schemas
 * fit.
 */
export interface DrizzleInstance {
  readonly $client: unknown
  readonly _: object
}

/** Used methods of an instance or a transaction. */
export interface DrizzleMethods {
  select(): { from(table: object): { toSQL(): { sql: string } } }
  /** Exists only for PostgreSQL and MySQL. */
  execute(query: object): Promise<unknown>
}

const databases: ReadonlyMap<unknown, DrizzleDatabase> = new Map([
  ['PgDatabase', 'postgres'],
  ['MySqlDatabase', 'mysql'],
  ['BaseSQLiteDatabase', 'sqlite']
])
const transactions: ReadonlySet<unknown> = new Set(['PgTransaction', 'MySqlTransaction', 'SQLiteTransaction'])

/** Returns the database of an instance. Throws `FST_USERS_INVALID_OPTION` for other values and for transactions. */
export function databaseOf (db: unknown): DrizzleDatabase {
  const kinds = entityKindsOf(db)
  const database = kinds.map((kind) => databases.get(kind)).find((one) => one !== undefined)
  if (database === undefined || kinds.some((kind) => transactions.has(kind))) {
    throw FST_USERS_INVALID_OPTION([
      'adapter',
      'pass to drizzle() an instance of Drizzle for PostgreSQL, MySQL or SQLite that is not a transaction'
    ])
  }
  return database
}

/** Returns the methods of a transaction of a database. Throws `FST_USERS_INVALID_OPTION` for other values. */
export function transactionOf (value: unknown, database: DrizzleDatabase): DrizzleMethods {
  const kinds = entityKindsOf(value)
  if (!kinds.some((kind) => transactions.has(kind)) || !kinds.some((kind) => databases.get(kind) === database)) {
    throw FST_USERS_INVALID_OPTION(['transaction', 'must be the transaction that Drizzle passes to its callback'])
  }
  return value as DrizzleMethods // the class was checked
}

/** Returns the names by which Drizzle identifies the class of a value and its base classes. */
function entityKindsOf (value: unknown): unknown[] {
  const kinds: unknown[] = []
  let prototype: unknown = isObject(value) ? Object.getPrototypeOf(value) : null
  while (isObject(prototype)) {
    const { constructor } = prototype as { constructor?: { [entityKind]?: unknown } } // a prototype of a class has one
    kinds.push(constructor?.[entityKind])
    prototype = Object.getPrototypeOf(prototype)
  }
  return kinds
}
