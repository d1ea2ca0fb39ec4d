import type { UpgradeStep } from '../../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { quoted } from '../../../shared/text.js'
import type { Table } from '../table.js'
import type { MigrationDatabase, StoredIndex, StoredTable } from './migration-source.js'

/** An upgrade step that changes columns or indexes. */
export type TableChange = Exclude<UpgradeStep, { transform: unknown }>

/** Returns the statements of a change of columns or indexes; none if an interrupted migration has made it. */
export async function columnStatements (
  database: MigrationDatabase,
  table: Table,
  { columns, indexes }: StoredTable,
  change: TableChange,
  nameOf: (field: string) => string
): Promise<string[]> {
  const { dialect, sql } = table
  const has = (field: string): boolean => columns.has(dialect.foldName(nameOf(field)))
  const drop = (which: (index: StoredIndex) => boolean): Promise<string[]> =>
    dropStatements(database, table, indexes, which)
  if ('dropIndex' in change) {
    const keys = change.dropIndex.map((field) => dialect.foldName(nameOf(field)))
    return await drop((index) => index.keys.map(plainKey).join('\n') === keys.join('\n'))
  }
  if ('drop' in change) {
    if (!has(change.drop)) return []
    const name = nameOf(change.drop)
    const indexed = await drop((index) => index.keys.map(plainKey).includes(dialect.foldName(name)))
    return [...indexed, ...dropLower(table, columns, name), `ALTER TABLE ${sql} DROP COLUMN ${dialect.quote(name)}`]
  }
  if (!has(change.rename)) return []
  if (has(change.to)) {
    const names = [change.rename, change.to].map((field) => quoted(nameOf(field))).join(' and ')
    throw FST_USERS_TABLE_MISMATCH([table.name, `has both columns ${names}, so that none can be renamed`])
  }
  const name = nameOf(change.rename)
  const lower = dropLower(table, columns, name)
  const folded = `lower(${dialect.foldName(name)})`
  return [
    ...(lower.length === 0 ? [] : await drop((index) => index.keys.includes(folded))),
    ...lower,
    `ALTER TABLE ${sql} RENAME COLUMN ${dialect.quote(name)} TO ${dialect.quote(nameOf(change.to))}`
  ]
}

/** Returns the statement that drops the generated lower-case form of a column, which refers to the column. */
function dropLower ({ dialect, sql }: Table, columns: StoredTable['columns'], name: string): string[] {
  const lower = dialect.lowerColumn?.name(name)
  const isStored = lower !== undefined && columns.has(dialect.foldName(lower))
  return isStored ? [`ALTER TABLE ${sql} DROP COLUMN ${dialect.quote(lower)}`] : []
}

/**
 * Returns the statements that drop indexes. MySQL needs an index on each column with a foreign key: if a dropped one
 * was the only one, it gets its own.
 */
async function dropStatements (
  database: MigrationDatabase,
  table: Table,
  indexes: readonly StoredIndex[],
  which: (index: StoredIndex) => boolean
): Promise<string[]> {
  const names = new Set(indexes.filter(which).map(({ name }) => name))
  const remaining = new Set(indexes.filter(({ name }) => !names.has(name)).map(({ keys }) => keys[0]))
  const dropped = new Set(indexes.filter(({ name }) => names.has(name)).map(({ keys }) => keys[0]))
  const { dialect, sql } = table
  const kept = table.columns.filter(({ name, definition }) => {
    const key = dialect.foldName(name)
    return dialect.indexesInTable && definition.references !== undefined && dropped.has(key) && !remaining.has(key)
  })
  const statements = kept.map(
    ({ sql: column, name }) => `CREATE INDEX ${dialect.quote(`ix_${table.name}_${name}`)} ON ${sql} (${column})`
  )
  for (const name of names) statements.push(await database.dropIndex(table.name, name))
  return statements
}

/** Returns the table as it is after a change, for the plan of later changes. */
export function afterChange (
  { dialect }: Table,
  { columns, indexes }: StoredTable,
  change: TableChange,
  nameOf: (field: string) => string
): StoredTable {
  const key = (field: string): string => dialect.foldName(nameOf(field))
  if ('dropIndex' in change) {
    const keys = change.dropIndex.map(key).join('\n')
    return { columns, indexes: indexes.filter((index) => index.keys.map(plainKey).join('\n') !== keys) }
  }
  if ('drop' in change) {
    return {
      columns: new Map([...columns].filter(([name]) => name !== key(change.drop))),
      indexes: indexes.filter((index) => !index.keys.map(plainKey).includes(key(change.drop)))
    }
  }
  const [from, to] = [key(change.rename), key(change.to)]
  const renamed = (name: string): string => (name === from ? to : name === `lower(${from})` ? `lower(${to})` : name)
  return {
    columns: new Map([...columns].map(([name, column]) => [renamed(name), column])),
    indexes: indexes.map((index) => ({ ...index, keys: index.keys.map(renamed) }))
  }
}

/** Returns the column in the key of an index. */
function plainKey (key: string): string {
  return /^lower\((.*)\)$/.exec(key)?.[1] ?? key
}
