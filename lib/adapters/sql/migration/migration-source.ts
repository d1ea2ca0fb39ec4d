import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { Dialect } from '../dialects/dialect.js'
import type { TableMappings } from '../schema.js'

/** Rows as lists of values. */
export type Rows = readonly (readonly unknown[])[]

/** A column as it is: the width is null for unbounded text and for what is no text. */
export interface StoredColumn {
  readonly name: string
  readonly width: number | null
  readonly nullable: boolean
}

/** What changes of a column; all else of it stays. */
export interface ColumnChange {
  readonly type?: string
  readonly nullable?: true
}

/**
 * An index without conditions. A key is a column's folded name, or `lower(<folded name>)`; other expressions are as the
 * database writes them.
 */
export interface StoredIndex {
  readonly unique: boolean
  readonly keys: readonly string[]
}

/** A table as it is, its columns by folded name. */
export interface StoredTable {
  readonly columns: ReadonlyMap<string, StoredColumn>
  readonly indexes: readonly StoredIndex[]
}

/** One connection, whatever client it is of. Where rows are objects, a SELECT names its columns apart. */
export interface MigrationSession {
  all(sql: string, parameters?: readonly unknown[]): MaybePromise<Rows>
  /** Runs one statement and returns the number of rows that it changed. */
  run(sql: string, parameters?: readonly unknown[]): MaybePromise<number>
}

/** A database in a transaction, as migrations see it. What differs between databases beyond the dialect is here. */
export interface MigrationDatabase extends MigrationSession {
  readonly dialect: Dialect
  /** A table, not a view; null without one of that name. */
  describe(table: string): MaybePromise<StoredTable | null>
  /**
   * The statements that change columns (by folded name) and keep all else; null when the table's definition cannot be
   * read.
   */
  alter(table: string, columns: ReadonlyMap<string, ColumnChange>): MaybePromise<readonly string[] | null>
  /** The rows of a SELECT, or null when the database refuses it. The transaction goes on. */
  attempt(sql: string): Promise<Rows | null>
  /** Whether an index has this name. */
  hasIndex(name: string): MaybePromise<boolean>
  /** Milliseconds since 1970 by the database's clock; null for a database on this machine. */
  now(): MaybePromise<number | null>
}

/**
 * What a transaction is for: `read` sees one state; `write` keeps other writers out and, where the migration is atomic,
 * changes all or nothing.
 */
export type TransactionMode = 'read' | 'write'

/** Runs work in one transaction of a connection, which is afterwards as it was. */
export type InTransaction = <T>(
  session: MigrationSession,
  mode: TransactionMode,
  work: (database: MigrationDatabase) => Promise<T>
) => Promise<T>

/** Where a migration finds a database. */
export interface MigrationSource {
  /** Runs work in one transaction. */
  transaction<T>(mode: TransactionMode, work: (database: MigrationDatabase) => Promise<T>): Promise<T>
  close(): MaybePromise<void>
}

/**
 * What happens without a database file: it is made, an error, or looked at as if it were empty. Servers have theirs.
 */
export type WhenMissing = 'create' | 'refuse' | 'pretend'

/** How an adapter's database is migrated. */
export interface Migration {
  readonly dialect: Dialect
  /**
   * Whether what was begun and not ended has changed nothing; else each statement is kept, and the next run goes on.
   */
  readonly isAtomic: boolean
  /** Names of adopted tables, as the adapter was told. */
  readonly mappings: TableMappings
  connect(missing: WhenMissing): MaybePromise<MigrationSource>
}
