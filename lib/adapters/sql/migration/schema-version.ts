import type { Model } from '../../../contracts/models.js'
import type { SchemaStep } from '../../../contracts/store-schema.js'
import { FIRST_VERSION, type PendingStep, type Progress, versionMismatch, versionOf } from '../../shared/upgrades.js'
import type { Dialect } from '../dialects/dialect.js'
import { createTableStatements } from '../schema.js'
import { type FoundTable, makeTable, type Table } from '../table.js'
import type { MigrationDatabase, Rows } from './migration-source.js'

/** The table that stores, for each table, the version of the model to which its rows were upgraded. */
const versionModel: Model = {
  name: 'fastify_users_schema',
  table: 'fastify_users_schema',
  fields: { table_name: { type: 'text', maxLength: 255 }, version: { type: 'integer' } }
}

/** The stored versions of all tables. */
export interface StoredVersions {
  /** The statements that create the table of versions; empty if it exists. */
  readonly create: readonly string[]
  /** Returns the version of the rows of a table. Without a stored version, it is 1. */
  of(table: Table): Progress
  /** Returns the statements that store the current version of a table; empty if it is stored. */
  current(table: Table): readonly string[]
  /** Returns the statements that store that an upgrade step is done. They must run in one transaction. */
  done(table: Table, step: PendingStep): readonly string[]
}

/**
 * Returns the statements that record the version of tables which are about to be created, so that a later version of
 * their model knows the form of their rows. They run first: without a common transaction, a version without its table
 * does no harm.
 */
export function recordVersionStatements (
  dialect: Dialect,
  made: readonly Table[],
  found: ReadonlyMap<string, FoundTable>
): string[] {
  if (made.length === 0) return []
  const own = makeTable(versionModel, dialect, {})
  const schema = dialect.createSchema === undefined ? [] : [dialect.createSchema]
  return [
    ...schema,
    ...(found.has(dialect.foldName(own.name)) ? [] : createTableStatements(own, new Map())),
    ...made.flatMap((table) => [
      `DELETE FROM ${own.sql} WHERE ${own.primaryKey.sql} IN (${[table.name, stepKey(table)].map(dialect.literal).join(', ')})`,
      insertStatement(own, table.name, versionOf(table.model))
    ])
  ]
}

/** Throws `FST_USERS_TABLE_MISMATCH` if the rows of an existing table have another version than that of its model. */
export async function checkVersions (
  all: (sql: string) => Promise<Rows>,
  tables: Iterable<Table>,
  found: ReadonlyMap<string, FoundTable>
): Promise<void> {
  let stored: StoredVersions | undefined
  for (const table of tables) {
    const { dialect, model, name } = table
    if (!found.has(dialect.foldName(name))) continue
    stored ??= await readStoredVersions(all, dialect, found.has(dialect.foldName(versionModel.table)))
    const mismatch = versionMismatch(model, name, stored.of(table))
    if (mismatch !== null) throw mismatch
  }
}

/** Reads the versions of all tables. */
export async function readTableVersions ({ dialect, describe, all }: MigrationDatabase): Promise<StoredVersions> {
  const exists = (await describe(versionModel.table)) !== null
  return await readStoredVersions(async (sql) => await all(sql), dialect, exists)
}

/** Returns the step that records the current versions of tables, or null if they are recorded. */
export function recordingStep (tables: readonly Table[], stored: StoredVersions): SchemaStep | null {
  const statements = tables.map((table) => ({ table, own: stored.current(table) })).filter(({ own }) => own.length > 0)
  if (statements.length === 0) return null
  const numbers = [...new Set(statements.map(({ table }) => versionOf(table.model)))].toSorted((a, b) => a - b)
  return {
    kind: 'note',
    text: `record version ${numbers.join(', ')} of the schema in "${versionModel.table}"`,
    statements: [...stored.create, ...statements.flatMap(({ own }) => own)]
  }
}

async function readStoredVersions (
  all: (sql: string) => Promise<Rows>,
  dialect: Dialect,
  exists: boolean
): Promise<StoredVersions> {
  const own = makeTable(versionModel, dialect, {})
  const [name, version] = own.columns.map(({ sql }) => sql)
  const rows = exists ? await all(`SELECT ${name}, ${version} FROM ${own.sql}`) : []
  const stored = new Map(rows.map(([table, number]) => [String(table), Number(number)]))
  function write (key: string, number: number): string[] {
    const known = stored.get(key)
    stored.set(key, number)
    if (known === undefined) return [insertStatement(own, key, number)]
    return known === number ? [] : [`UPDATE ${own.sql} SET ${version} = ${number} WHERE ${name} = ${dialect.literal(key)}`]
  }

  return {
    create: exists ? [] : createTableStatements(own, new Map()),
    of: (table) => ({
      version: stored.get(table.name) ?? FIRST_VERSION,
      done: stored.get(stepKey(table)) ?? 0
    }),
    current (table) {
      const number = versionOf(table.model)
      return (stored.get(table.name) ?? 0) >= number ? [] : write(table.name, number)
    },
    done (table, { version: number, position, isLastOfVersion }) {
      if (!isLastOfVersion) return write(stepKey(table), position + 1)
      return [...write(table.name, number), ...(stored.has(stepKey(table)) ? write(stepKey(table), 0) : [])]
    }
  }
}

/**
 * Returns the key of the row that counts the finished steps of the next version. No table of this package has such a
 * name.
 */
function stepKey ({ name }: Table): string {
  return `${name} steps`
}

function insertStatement ({ sql, dialect, columns }: Table, key: string, number: number): string {
  return `INSERT INTO ${sql} (${columns.map((column) => column.sql).join(', ')}) VALUES (${dialect.literal(key)}, ${number})`
}
