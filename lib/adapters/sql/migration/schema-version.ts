import type { Model } from '../../../contracts/models.js'
import { createTableStatements } from '../schema.js'
import type { Dialect } from '../dialects/dialect.js'
import { type FoundTable, makeTable, type Table } from '../table.js'
import type { MigrationDatabase } from './migration-source.js'

/**
 * Functions that return the statements which upgrade the rows of a table, by version. They are for changes that columns
 * and indexes do not show.
 */
export type Upgrades = ReadonlyMap<number, (table: Table) => readonly string[]>

/** The schema version of this package and the upgrades to it. */
export interface SchemaVersions {
  readonly current: number
  readonly upgrades: Upgrades
}

/** The version increases when stored rows must change. Tables without a stored version have version 1. */
export const schemaVersions: SchemaVersions = { current: 1, upgrades: new Map() }

const FIRST = 1

/** The table that stores the schema version of each table. */
const versionModel: Model = {
  name: 'fastify_users_schema',
  table: 'fastify_users_schema',
  fields: { table_name: { type: 'text', maxLength: 255 }, version: { type: 'integer' } }
}

/** The stored versions of all tables. */
export interface StoredVersions {
  /** The statements that create the table of versions; empty if it exists. */
  readonly create: readonly string[]
  /** Returns the version of a table; 1 if none is stored. */
  of(table: Table): number
  /** Returns the statement that stores a version, or null if it is already stored. */
  record(table: Table, version: number): string | null
}

/**
 * Returns the statements that record the version of tables which are about to be created, so that a later version of
 * the package knows the form of their rows. They run first: without a common transaction, a version without its table
 * does no harm.
 */
export function recordVersionStatements (
  dialect: Dialect,
  made: readonly Table[],
  found: ReadonlyMap<string, FoundTable>,
  current = schemaVersions.current
): string[] {
  if (made.length === 0) return []
  const own = makeTable(versionModel, dialect, {})
  const [name, version] = own.columns.map(({ sql }) => sql)
  const rows = made
    .map((table) => dialect.literal(table.name))
    .flatMap((text) => [
      `DELETE FROM ${own.sql} WHERE ${name} = ${text}`,
      `INSERT INTO ${own.sql} (${name}, ${version}) VALUES (${text}, ${current})`
    ])
  const schema = dialect.createSchema === undefined ? [] : [dialect.createSchema]
  return [...schema, ...(found.has(dialect.foldName(own.name)) ? [] : createTableStatements(own, new Map())), ...rows]
}

/** Reads the versions of all tables. */
export async function readVersions (database: MigrationDatabase): Promise<StoredVersions> {
  const { dialect } = database
  const own = makeTable(versionModel, dialect, {})
  const exists = (await database.describe(own.name)) !== null
  const [name, version] = own.columns.map(({ sql }) => sql)
  const rows = exists ? await database.all(`SELECT ${name}, ${version} FROM ${own.sql}`) : []
  const stored = new Map(rows.map(([table, number]) => [String(table), Number(number)]))
  return {
    create: exists ? [] : createTableStatements(own, new Map()),
    of: (table) => stored.get(table.name) ?? FIRST,
    record (table, number) {
      const known = stored.get(table.name)
      if (known === number) return null
      const text = dialect.literal(table.name)
      return known === undefined
        ? `INSERT INTO ${own.sql} (${name}, ${version}) VALUES (${text}, ${number})`
        : `UPDATE ${own.sql} SET ${version} = ${number} WHERE ${name} = ${text}`
    }
  }
}
