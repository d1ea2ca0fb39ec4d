import type { Field } from '../../../contracts/models.js'
import { checksOf } from './checks.js'
import { storageOf, varchar } from './column-types.js'
import { decodeJson, wholeNumber } from './column-values.js'
import type { Codec, Dialect, UniqueViolation } from './dialect.js'
import { unionOf } from './samples.js'
import { decodeTimeText, encodeTimeText } from './time-text.js'

const VIOLATION = 'UNIQUE constraint failed: '

const text: Codec = { encode: (value) => value, decode: (raw) => raw }
const number: Codec = { ...text }
const integer: Codec = { ...text, decode: wholeNumber }

const codecs: Record<Field['type'], Codec> = {
  id: text,
  text,
  integer,
  number,
  boolean: { encode: (value) => (value === true ? 1 : 0), decode: (raw) => raw !== 0 },
  time: { encode: (value) => `${encodeTimeText(value)}000`, decode: decodeTimeText },
  // a column of type JSON has numeric affinity: SQLite returns a JSON number as a number, not as text
  json: { encode: (value) => JSON.stringify(value), decode: (raw) => (typeof raw === 'string' ? decodeJson(raw) : raw) }
}

/**
 * The dialect of SQLite. Column types are those of SQLAlchemy. Times are text in UTC with six digits of a second, so
 * that the order of the text is the order of the times.
 */
export const sqliteDialect: Dialect = {
  name: 'sqlite',
  codec: sqliteCodecOf,
  catalog: `SELECT m.name AS table_name, c.name AS column_name, m.sql LIKE '%collate%' AS collated,
CASE WHEN c.type LIKE '%char%(%' THEN CAST(substr(c.type, instr(c.type, '(') + 1) AS INTEGER) END AS width, NULL AS type, NULL AS unique_index,
CASE WHEN m.type <> 'table' THEN NULL WHEN c.dflt_value IS NOT NULL OR c.hidden > 1
OR (c.pk = 1 AND upper(c.type) = 'INTEGER' AND (SELECT count(*) FROM pragma_table_info(m.name) k WHERE k.pk > 0) = 1) THEN 'filled'
WHEN c."notnull" = 1 THEN 'required' ELSE 'optional' END AS on_insert, c.type AS kind
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type IN ('table', 'view')`,
  returnsId: false,
  nullsFirst: '',
  comparesRows: true,
  indexesInTable: false,
  tableOptions: '',
  identity: 'PRIMARY KEY AUTOINCREMENT', // otherwise SQLite reuses the id of a deleted user
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
  literal: (text) => `'${text.replaceAll("'", "''")}'`,
  // `+` changes no value, but hides the parameter from the planner. If the database has statistics (`ANALYZE`, `PRAGMA
  // optimize`), SQLite would otherwise compile a statement again each time that a value is bound to it, because another
  // value could have a better plan (https://sqlite.org/c3ref/prepare.html, "bound parameter").
  placeholder: () => '+?',
  read: (expression) => expression,
  comparand: (placeholder) => placeholder,
  lower: (expression) => `lower(${expression})`,
  binary: (expression) => `${expression} COLLATE BINARY`,
  ordered: (expression) => expression,
  columnType: sqliteColumnType,
  matchesColumn: matchesSqliteColumn,
  referencesSql: (table) =>
    `SELECT max("from") AS column_name, max("table") AS target FROM pragma_foreign_key_list(${sqliteDialect.literal(table)}) GROUP BY id HAVING count(*) = 1`,
  checksSql: (table) =>
    `SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ${sqliteDialect.literal(table)} COLLATE NOCASE`,
  readChecks: ([row]) => checksOf(String(row?.[0])),
  sample: (codec, value) => codec.encode(value),
  samplesSql: (_table, samples) => unionOf(sqliteDialect, samples),
  foldName: (name) => name.toLowerCase(),
  uniqueViolation: sqliteUniqueViolation,
  isInvalidValue: () => false,
  isConstraint
}

/**
 * The dialect for SQLite clients that cut text at U+0000. Text with U+0000 is refused by writes and matches no row.
 */
export const sqliteWithoutNul: Dialect = {
  ...sqliteDialect,
  codec (field) {
    const codec = sqliteCodecOf(field)
    return codec === text ? { ...text, holds: (value) => !String(value).includes('\0') } : codec
  }
}

/**
 * Column types with an affinity that converts text to numbers, and column types that do not convert numbers
 * (https://sqlite.org/datatype3.html, section 3.1).
 */
const NUMERIC = /INT|REAL|FLOA|DOUB/i
const TEXTUAL = /CHAR|CLOB|TEXT|UUID|BLOB/i

/**
 * Returns false if a column of this type changes or refuses the ids, because of its affinity. SQLite stores all other
 * values in columns of any type.
 */
function matchesSqliteColumn ({ type, id }: Field, kind: string): boolean {
  if (type !== 'id') return true
  return id?.storage === 'integer' ? NUMERIC.test(kind) || !TEXTUAL.test(kind) : !NUMERIC.test(kind)
}

const types = { boolean: 'BOOLEAN', integer: 'INTEGER', number: 'FLOAT', time: 'TIMESTAMP', json: 'JSON' }
const idTypes = { uuid: 'CHAR(36)', objectid: 'CHAR(24)', integer: 'INTEGER' }

function sqliteCodecOf ({ type, id }: Field): Codec {
  return type === 'id' && id?.storage === 'integer' ? integer : codecs[type]
}

function sqliteColumnType (field: Field): string {
  if (field.type === 'text') return varchar(field.maxLength)
  if (field.type !== 'id') return types[field.type]
  const storage = storageOf(field)
  return storage === 'text' ? varchar(field.id?.maxLength) : idTypes[storage]
}

/** SQLITE_CONSTRAINT and SQLITE_MISMATCH. They are the low byte of `errcode` in `node:sqlite`. */
const CONSTRAINT_NUMBERS = new Set([19, 20])

function isConstraint (error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown } // clients throw only objects of type Error
  return /^SQLITE_(?:CONSTRAINT|MISMATCH)/.test(String(code)) || CONSTRAINT_NUMBERS.has(Number(errcode) & 0xff)
}

function sqliteUniqueViolation (error: unknown): UniqueViolation | null {
  const clash = error instanceof Error ? error.message.split(VIOLATION)[1] : undefined
  if (clash === undefined) return null
  if (clash.startsWith("index '")) return { index: clash.slice(7, -1) }
  return { columns: clash.split(', ').map((column) => column.slice(column.lastIndexOf('.') + 1)) }
}
