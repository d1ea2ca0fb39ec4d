import type { Field } from '../../../contracts/models.js'
import { checksOf } from './checks.js'
import type { Codec, Dialect, UniqueViolation } from './dialect.js'
import { unionOf } from './samples.js'
import { decodeTimeText, encodeTimeText } from './time-text.js'
import { wholeNumber } from './whole-number.js'

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
  // a column of type JSON has numeric affinity: SQLite hands a lone number back as one
  json: { encode: (value) => JSON.stringify(value), decode: decodeJson }
}

/** SQLite: types as SQLAlchemy writes them, times as text in UTC with six digits, which compares as text. */
export const sqliteDialect: Dialect = {
  name: 'sqlite',
  codec: codecOf,
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
  identity: 'PRIMARY KEY AUTOINCREMENT', // without it SQLite gives the id of a deleted user to the next one
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
  literal: (text) => `'${text.replaceAll("'", "''")}'`,
  placeholder: () => '?',
  read: (expression) => expression,
  comparand: (placeholder) => placeholder,
  lower: (expression) => `lower(${expression})`,
  binary: (expression) => `${expression} COLLATE BINARY`,
  ordered: (expression) => expression,
  columnType,
  matchesColumn,
  referencesSql: (table) =>
    `SELECT max("from") AS column_name, max("table") AS target FROM pragma_foreign_key_list(${sqliteDialect.literal(table)}) GROUP BY id HAVING count(*) = 1`,
  checksSql: (table) =>
    `SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ${sqliteDialect.literal(table)} COLLATE NOCASE`,
  readChecks: ([row]) => checksOf(String(row?.[0])),
  sample: (codec, value) => codec.encode(value),
  samplesSql: (_table, samples) => unionOf(sqliteDialect, samples),
  foldName: (name) => name.toLowerCase(),
  uniqueViolation,
  isInvalidValue: () => false,
  isConstraint
}

/** SQLite through a client that cuts text at U+0000: such text is refused when written, and finds nothing. */
export const sqliteWithoutNul: Dialect = {
  ...sqliteDialect,
  codec (field) {
    const codec = codecOf(field)
    return codec === text ? { ...text, holds: (value) => !String(value).includes('\0') } : codec
  }
}

/**
 * Types of columns that make numbers of text, and of columns that make text of numbers
 * (https://sqlite.org/datatype3.html, section 3.1).
 */
const NUMERIC = /INT|REAL|FLOA|DOUB/i
const TEXTUAL = /CHAR|CLOB|TEXT|UUID|BLOB/i

/** Any column holds any value but ids: a column of the other affinity changes them, or refuses them. */
function matchesColumn ({ type, id }: Field, kind: string): boolean {
  if (type !== 'id') return true
  return id?.storage === 'integer' ? NUMERIC.test(kind) || !TEXTUAL.test(kind) : !NUMERIC.test(kind)
}

const types = { boolean: 'BOOLEAN', integer: 'INTEGER', number: 'FLOAT', time: 'TIMESTAMP', json: 'JSON' }
const idTypes = { uuid: 'CHAR(36)', objectid: 'CHAR(24)', integer: 'INTEGER' }

function codecOf ({ type, id }: Field): Codec {
  return type === 'id' && id?.storage === 'integer' ? integer : codecs[type]
}

function columnType (field: Field): string {
  if (field.type === 'text') return varchar(field.maxLength)
  if (field.type !== 'id') return types[field.type]
  const storage = field.id?.storage ?? 'uuid'
  return storage === 'text' ? varchar(field.id?.maxLength) : idTypes[storage]
}

function varchar (length: number | undefined): string {
  return length === undefined ? 'TEXT' : `VARCHAR(${length})`
}

function decodeJson (raw: unknown): unknown {
  if (typeof raw !== 'string') return raw
  try {
    return JSON.parse(raw)
  } catch {
    return undefined
  }
}

/** The low byte of the codes of constraints and of types that differ. */
const CONSTRAINT_NUMBERS = new Set([19, 20])

function isConstraint (error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown } // clients throw errors alone
  return /^SQLITE_(?:CONSTRAINT|MISMATCH)/.test(String(code)) || CONSTRAINT_NUMBERS.has(Number(errcode) & 0xff)
}

function uniqueViolation (error: unknown): UniqueViolation | null {
  const clash = error instanceof Error ? error.message.split(VIOLATION)[1] : undefined
  if (clash === undefined) return null
  if (clash.startsWith("index '")) return { index: clash.slice(7, -1) }
  return { columns: clash.split(', ').map((column) => column.slice(column.lastIndexOf('.') + 1)) }
}
