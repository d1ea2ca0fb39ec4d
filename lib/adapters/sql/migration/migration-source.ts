import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { Dialect } from '../dialects/dialect.js'
import type { TableMappings } from '../schema.js'

/** Rows as lists of values. */
export type Rows = readonly (readonly unknown[])[]

/** A column as it is: the width is null for unbounded text and for what is no text. */
export interface StoredColumn { readonly name: string, readonly width: number | null }

/** An index without conditions. A key is a column's folded name, or `lower(<folded name>)`; other expressions are as the database writes them. */
export interface StoredIndex { readonly unique: boolean, readonly keys: readonly string[] }

/** A table as it is, its columns by folded name. */
export interface StoredTable {
  readonly columns: ReadonlyMap<string, StoredColumn>
  readonly indexes: readonly StoredIndex[]
}

/** A database in a transaction, as migrations see it. What differs between databases beyond the dialect is here. */
export interface MigrationDatabase {
  readonly dialect: Dialect
  all(sql: string, parameters?: readonly unknown[]): MaybePromise<Rows>
  /** Runs one statement and returns the number of rows that it changed. */
  run(sql: string, parameters?: readonly unknown[]): MaybePromise<number>
  /** A table, not a view; null without one of that name. */
  describe(table: string): MaybePromise<StoredTable | null>
  /** The statements that give columns (by folded name) other types and keep all else; null when the table's definition cannot be read. */
  retype(table: string, types: ReadonlyMap<string, string>): MaybePromise<readonly string[] | null>
  /** Whether an index has this name. */
  hasIndex(name: string): MaybePromise<boolean>
  /** Milliseconds since 1970 by the database's clock; null for a database on this machine. */
  now(): MaybePromise<number | null>
}

/** Where a migration finds a database. */
export interface MigrationSource {
  /** Runs work in one transaction: `read` sees one state, `write` keeps other writers out and changes all or nothing. */
  transaction<T>(mode: 'read' | 'write', work: (database: MigrationDatabase) => Promise<T>): Promise<T>
  close(): MaybePromise<void>
}

/** What happens without a database file: it is made, an error, or looked at as if it were empty. Servers have theirs. */
export type WhenMissing = 'create' | 'refuse' | 'pretend'

/** How an adapter's database is migrated. */
export interface Migration {
  readonly dialect: Dialect
  /** Names of adopted tables, as the adapter was told. */
  readonly mappings: TableMappings
  connect(missing: WhenMissing): MaybePromise<MigrationSource>
}
