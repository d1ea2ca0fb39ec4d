import type { Field, Model } from '../../../contracts/models.js'

/** Converts the values of one field to values that a driver binds, and results back. Null is not converted. */
export interface Codec {
  encode: (value: unknown) => unknown
  /** Returns the value of a result; undefined if the result has another type. */
  decode: (raw: unknown) => unknown
  /**
   * Returns false for values of the field's type that a column cannot store. Writes of such a value are refused, and
   * conditions with it match no row. Default: columns can store all values.
   */
  holds?: (value: unknown) => boolean
}

/**
 * The unique constraint that a write violated, as the database names it: by its columns, or by the name of its index
 * and the names in the key of that index.
 */
export type UniqueViolation = { columns: readonly string[] } | { index: string; words?: readonly string[] }

/** A field of a model. */
export interface Place {
  readonly model: Model
  readonly field: string
}

/** A column without a field in the model, for which the client creates the values of new or changed rows. */
export interface FilledColumn {
  readonly name: string
  /** Returns the value of a new row, as the driver binds it. */
  readonly onInsert?: () => unknown
  /** Returns the value of a changed row, as the driver binds it. */
  readonly onUpdate?: () => unknown
}

/** The differences between SQL databases. */
export interface Dialect {
  readonly name: string
  /**
   * A query that returns one row for each column of all tables, with these values:
   * 1. the name of the table;
   * 2. the name of the column;
   * 3. 1 if a column of the table may have its own collation, otherwise 0;
   * 4. the declared width of a text column in characters, or null;
   * 5. the type of the column as a definition has it, or null;
   * 6. the name of a unique index on the column, or null. A column with several indexes has one row for each;
   * 7. `required` if an INSERT must contain the column, `optional` if not, `filled` if the database sets it, or null if
   *    that is not known;
   * 8. the `kind` of the type, as `matchesColumn` expects it.
   */
  readonly catalog: string
  /** True if an INSERT returns the generated id by RETURNING. Otherwise the driver reports the id. */
  readonly returnsId: boolean
  /** The end of an ascending ORDER BY term that puts nulls first. */
  readonly nullsFirst: string
  /** True if the database uses an index for `(a, b) > (x, y)`. */
  readonly comparesRows: boolean
  /** Returns the codec of a field. `type` is the type of its column, if `catalog` returns types. */
  codec(field: Field, type?: string, place?: Place): Codec
  /** Returns the columns of a model's table that have no field, and whose values the client creates. Default: none. */
  filled?(model: Model): readonly FilledColumn[]
  quote(name: string): string
  /**
   * Returns the quoted name of a table with its schema, if the adapter has the option `schema`. Default: `quote`.
   */
  qualify?(name: string): string
  /** A statement that creates that schema if it is missing. It runs before tables are created. */
  readonly createSchema?: string
  /** Returns text as an SQL literal. */
  literal(text: string): string
  /** Returns the placeholder of a parameter. The first position is 1. */
  placeholder(position: number): string
  /**
   * Returns the SELECT expression of a column, in the form that its codec decodes. `name` is unique in the SELECT list,
   * for clients whose rows are objects.
   */
  read(expression: string, field: Field, name: string): string
  /**
   * Returns an expression that compares a column with a placeholder's value without an error if the value is outside of
   * the column's range. `type` is the type of the column, if `catalog` returns types.
   */
  comparand(placeholder: string, field: Field, type?: string): string
  /** Returns an expression with ASCII letters in lower case. */
  lower(expression: string): string
  /** Returns an expression that is compared byte by byte. */
  binary(expression: string): string
  /** Returns an expression that is sorted in the order of its bytes. */
  ordered(expression: string): string
  columnType(field: Field): string
  /** Returns true if a column of this kind and width can store the values of a field. */
  matchesColumn(field: Field, kind: string, width: number | null): boolean
  /** Returns a query for the foreign keys of one column. Its rows contain the column and the referenced table. */
  referencesSql(table: string): string
  /** Returns a query whose rows `readChecks` reads. */
  checksSql(table: string): string
  /** Returns the conditions of the CHECK constraints of a table. */
  readChecks(rows: readonly (readonly unknown[])[]): readonly string[]
  /** Returns a value in the form that `samplesSql` expects. */
  sample(codec: Codec, value: unknown): unknown
  /** Returns a derived table, for FROM, with rows that are not stored. `table` is the quoted name of their table. */
  samplesSql(table: string, samples: readonly Record<string, unknown>[]): string
  /** Returns true if columns of this type treat text as equal that differs in the case of ASCII letters. */
  ignoresCase?(type: string): boolean
  /** Returns true if values of this type depend on the time zone of the session. */
  isZoned?(type: string): boolean
  /** The generated column with the lower-case form of another column. Only for databases without expression indexes. */
  readonly lowerColumn?: { name: (column: string) => string; type: (expression: string, field: Field) => string }
  /** True if CREATE TABLE contains the indexes, because the database cannot roll back the creation of a table. */
  readonly indexesInTable: boolean
  /** The end of a CREATE TABLE statement, after the brackets. */
  readonly tableOptions: string
  /** The end of the definition of a primary key that the database generates, after its type. */
  readonly identity: string
  /** Returns a table or column name in the form in which the database compares names. */
  foldName(name: string): string
  /** Returns the unique constraint that a write violated, or null for other errors. */
  uniqueViolation(error: unknown): UniqueViolation | null
  /** Returns true if a write was refused because a value does not fit its column. */
  isInvalidValue(error: unknown): boolean
  /** Returns true if a write was refused by NOT NULL, a check, a foreign key, or the type or width of a column. */
  isConstraint(error: unknown): boolean
  /**
   * Returns true if a lookup was refused because the database's character set lacks one of its characters. No row can
   * match such a lookup.
   */
  isUnknownLetter?(error: unknown): boolean
}
