import type { Model } from '../../../contracts/models.js'
import { createTableStatements } from '../schema.js'
import type { Dialect } from '../dialects/dialect.js'
import { type FoundTable, makeTable, type Table } from '../table.js'
import type { MigrationDatabase } from './migration-source.js'

/**
 * The statements that bring the rows of a table to a version, by version: what cannot be seen in its columns and
 * indexes.
 */
export type Upgrades = ReadonlyMap<number, (table: Table) => readonly string[]>

/** Our schema, as it is known here. */
export interface SchemaVersions {
  readonly current: number
  readonly upgrades: Upgrades
}

/** A version is counted up when rows must change. Tables without a stored version are of the first. */
export const schemaVersions: SchemaVersions = { current: 1, upgrades: new Map() }

const FIRST = 1

/** Where the version of each table is stored. */
const versionModel: Model = {
  name: 'fastify_users_schema',
  table: 'fastify_users_schema',
  fields: { table_name: { type: 'text', maxLength: 255 }, version: { type: 'integer' } }
}

/** The stored versions, read once. */
export interface StoredVersions {
  /** The statements that make the table of versions; none when it is there. */
  readonly create: readonly string[]
  of(table: Table): number
  /** The statement that stores a version; null when it is stored. */
  record(table: Table, version: number): string | null
}

/**
 * The statements that note the version of tables which are made next, so that a later version of the package knows in
 * what
 * form their rows are. They come first: where no transaction makes both, a note without its table does no harm.
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
