import type { Field } from '../../../contracts/models.js'

/**
 * How one type of field travels: the value that a driver binds, and the value that its result becomes. Neither meets
 * null; `decode` returns undefined for values that it cannot read.
 */
export interface Codec {
  encode: (value: unknown) => unknown
  decode: (raw: unknown) => unknown
  /**
   * Whether a column can hold a value (default: any of its type). What it cannot is refused when written, and equals
   * nothing.
   */
  holds?: (value: unknown) => boolean
}

/**
 * What clashed, as far as the database says: columns, or the name of an index, with the words of its definition that
 * the message shows.
 */
export type UniqueViolation = { columns: readonly string[] } | { index: string; words?: readonly string[] }

/** What differs between SQL databases. */
export interface Dialect {
  readonly name: string
  /**
   * Reads every table: rows of table name, column name, whether columns may have collations of their own (0 or 1), and
   * the width that a text column is declared with, in characters, or null. Four more values are optional: the column's
   * type in the words of a definition; a unique index that the column is in, with a row for each; whether an INSERT
   * must give a value (`required`, `optional`, `filled` by the database); and the kind of its type, for `fits`.
   */
  readonly catalog: string
  /** Ends an INSERT that lets the database make the id; empty where the driver reports it. */
  readonly returnsId: boolean
  /** Ends an ascending ORDER BY term so that nulls come first. */
  readonly nullsFirst: string
  /** Whether an index serves `(a, b) > (x, y)`. */
  readonly comparesRows: boolean
  /** The codec of a field; `type` is its column's, where the catalog has types. */
  codec(field: Field, type?: string): Codec
  quote(name: string): string
  /**
   * The name of a table with its schema, quoted, where tables are in one that the connection does not look in by itself
   * (default: `quote`).
   */
  qualify?(name: string): string
  /** Creates that schema unless it exists. It runs before tables are made. */
  readonly createSchema?: string
  /** Text as a literal. */
  literal(text: string): string
  /** The placeholder of a parameter, counted from 1. */
  placeholder(position: number): string
  /**
   * A column in a list of results, in the form that its codec decodes. The name is its own in that list, for clients
   * whose rows are objects.
   */
  read(expression: string, field: Field, name: string): string
  /**
   * The placeholder of a value to compare a column with, so that one outside the column's range is no error. `type` is
   * the column's, where the catalog has types.
   */
  comparand(placeholder: string, field: Field, type?: string): string
  /** Lower-cases the ASCII letters of an expression. */
  lower(expression: string): string
  /** Compares an expression byte by byte, whatever its collation. */
  binary(expression: string): string
  /** Compares text in the order of its bytes, whatever the database's language. */
  ordered(expression: string): string
  columnType(field: Field): string
  /** Whether a column of that kind and width can hold the values of a field. */
  matchesColumn(field: Field, kind: string, width: number | null): boolean
  /** Reads the references of one column to another table: rows of column and table name. */
  referencesSql(table: string): string
  /** Reads the checks of a table, for `readChecks`. */
  checksSql(table: string): string
  readChecks(rows: readonly (readonly unknown[])[]): readonly string[]
  /** A value as `samplesSql` takes it. */
  sample(codec: Codec, value: unknown): unknown
  /** Rows of a table that are not stored, as a source of a SELECT. `table` is quoted. */
  samplesSql(table: string, samples: readonly Record<string, unknown>[]): string
  /**
   * Whether columns of this type take text for equal that differs in the case of ASCII letters, so that their index
   * finds it.
   */
  ignoresCase?(type: string): boolean
  /** Whether values of this type are read and written in the time zone of the session. */
  isZoned?(type: string): boolean
  /** Where no index is on an expression: the column that holds the lower-case form of another, kept by the database. */
  readonly lowerColumn?: { name: (column: string) => string; type: (expression: string, field: Field) => string }
  /** Whether indexes are made with their table: there is no transaction that makes both or none. */
  readonly indexesInTable: boolean
  /** What follows the definition of a table. */
  readonly tableOptions: string
  /** What follows the type of a primary key that the database makes itself. */
  readonly identity: string
  /** The form of a table or column name by which the database finds it. */
  foldName(name: string): string
  uniqueViolation(error: unknown): UniqueViolation | null
  /** Whether a write was refused because a value does not fit its column. */
  isInvalidValue(error: unknown): boolean
  /** Whether a write was refused by a constraint, a type or a width of the table: no value, a check, a reference. */
  isConstraint(error: unknown): boolean
  /**
   * Whether a look-up was refused because the database's character set lacks a letter of it, so that no row can have
   * it.
   */
  isUnknownLetter?(error: unknown): boolean
}
