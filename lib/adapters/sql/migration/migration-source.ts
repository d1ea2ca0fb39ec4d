import type { MaybePromise } from '../../../contracts/database-adapter.js'
import type { Dialect } from '../dialects/dialect.js'
import type { TableMappings } from '../schema.js'

/** Rows as arrays of values. */
export type Rows = readonly (readonly unknown[])[]

/** An existing column. The width is null for unlimited text and for other types. */
export interface StoredColumn {
  readonly name: string
  readonly width: number | null
  readonly nullable: boolean
}

/** The change of a column. Everything else of the column stays. */
export interface ColumnChange {
  readonly type?: string
  readonly nullable?: true
}

/**
 * An existing index without a WHERE condition. A key is the folded name of a column or `lower(<folded name>)`; other
 * expressions are in the database's notation.
 */
export interface StoredIndex {
  readonly name: string
  readonly unique: boolean
  readonly keys: readonly string[]
}

/** An existing table, with its columns by folded name. */
export interface StoredTable {
  readonly columns: ReadonlyMap<string, StoredColumn>
  readonly indexes: readonly StoredIndex[]
}

/** One connection of any client. Clients whose rows are objects need a unique name for each column of a SELECT. */
export interface MigrationSession {
  all(sql: string, parameters?: readonly unknown[]): MaybePromise<Rows>
  /** Runs one statement and returns the number of rows that it changed. */
  run(sql: string, parameters?: readonly unknown[]): MaybePromise<number>
}

/**
 * A database in a transaction, as migrations use it. It contains the differences between databases beyond the dialect.
 */
export interface MigrationDatabase extends MigrationSession {
  readonly dialect: Dialect
  /** Returns an existing table, or null if there is none with that name. Views are ignored. */
  describe(table: string): MaybePromise<StoredTable | null>
  /**
   * Returns the statements that change columns (by folded name) and keep everything else, or null if the definition of
   * the table cannot be parsed.
   */
  alter(table: string, columns: ReadonlyMap<string, ColumnChange>): MaybePromise<readonly string[] | null>
  /** Returns the rows of a SELECT, or null if the database refuses it. The transaction continues. */
  attempt(sql: string): Promise<Rows | null>
  /** Returns true if an index with this name exists. */
  hasIndex(name: string): MaybePromise<boolean>
  /** Returns the names of the tables with a foreign key to a table. */
  referencing(table: string): MaybePromise<readonly string[]>
  /** Returns the statement that drops an index of a table, with the constraint that it belongs to. */
  dropIndex(table: string, index: string): MaybePromise<string>
  /** Runs writes that must not mix with those of the application. Rows that `rowLock` has selected stay unchanged. */
  exclusively<T>(work: () => Promise<T>): Promise<T>
  /** The end of a SELECT that locks its rows until the work of `exclusively` ends. */
  readonly rowLock: string
  /** Returns milliseconds since 1970 by the database's clock, or null for a database on this machine. */
  now(): MaybePromise<number | null>
}

/**
 * `read` sees one consistent state. `write` excludes other writers and, if the migration is atomic, changes everything
 * or nothing.
 */
export type TransactionMode = 'read' | 'write'

/** Runs work in one transaction of a connection, and restores the session settings afterwards. */
export type InTransaction = <T>(
  session: MigrationSession,
  mode: TransactionMode,
  work: (database: MigrationDatabase) => Promise<T>
) => Promise<T>

/** A connection to the database that is migrated. */
export interface MigrationSource {
  /** Runs work in one transaction. */
  transaction<T>(mode: TransactionMode, work: (database: MigrationDatabase) => Promise<T>): Promise<T>
  close(): MaybePromise<void>
}

/**
 * The action if the database file does not exist: create it, throw an error, or plan for an empty database. Servers
 * ignore this.
 */
export type WhenMissing = 'create' | 'refuse' | 'pretend'

/** The migration of an adapter's database. */
export interface Migration {
  readonly dialect: Dialect
  /** True if an interrupted migration changes nothing. Otherwise each statement is kept, and the next run continues. */
  readonly isAtomic: boolean
  /** The adapter's option `tables`. */
  readonly mappings: TableMappings
  connect(missing: WhenMissing): MaybePromise<MigrationSource>
}
