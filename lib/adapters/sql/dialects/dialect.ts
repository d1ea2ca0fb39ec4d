import type { Field } from '../../../contracts/models.js'

/** How one type of field travels: the value that a driver binds, and the value that its result becomes. Neither meets null; `decode` gives undefined for what it cannot read. */
export interface Codec {
  encode: (value: unknown) => unknown
  decode: (raw: unknown) => unknown
  /** Whether a column can hold a value (default: any of its type). What it cannot is refused when written, and equals nothing. */
  holds?: (value: unknown) => boolean
}

/** What clashed, as far as the database says: columns, or the name of an index, with the words of its definition that the message shows. */
export type UniqueViolation = { columns: readonly string[] } | { index: string, words?: readonly string[] }

/** What differs between SQL databases. */
export interface Dialect {
  readonly name: string
  /** Reads every table: rows of table name, column name, whether columns may have collations of their own (0 or 1), and the width that a text column is declared with, in characters, or null. */
  readonly catalog: string
  /** Ends an INSERT that lets the database make the id; empty where the driver reports it. */
  readonly returnsId: boolean
  /** Ends an ascending ORDER BY term so that nulls come first. */
  readonly nullsFirst: string
  codec(field: Field): Codec
  quote(name: string): string
  /** The placeholder of a parameter, counted from 1. */
  placeholder(position: number): string
  /** A column in a list of results, in the form that its codec decodes. */
  read(expression: string, field: Field): string
  /** The placeholder of a value to compare a column with, so that one outside the column's range is no error. */
  comparand(placeholder: string, field: Field): string
  /** Lower-cases the ASCII letters of an expression. */
  lower(expression: string): string
  /** Compares an expression byte by byte, whatever its collation. */
  binary(expression: string): string
  /** Compares text in the order of its bytes, whatever the database's language. */
  ordered(expression: string): string
  columnType(field: Field): string
  /** What follows the type of a primary key that the database makes itself. */
  readonly identity: string
  /** The form of a table or column name by which the database finds it. */
  foldName(name: string): string
  uniqueViolation(error: unknown): UniqueViolation | null
  /** Whether a write was refused because a value does not fit its column. */
  isMisfit(error: unknown): boolean
}
