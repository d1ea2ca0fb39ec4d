import type { Field } from '../../../contracts/models.js'
import type { Codec, Dialect, UniqueViolation } from './dialect.js'

const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:\d\d)?$/
const VIOLATION = 'UNIQUE constraint failed: '

const asIs: Codec = { encode: (value) => value, decode: (raw) => raw }

const codecs: Record<Field['type'], Codec> = {
  id: asIs,
  text: asIs,
  integer: asIs,
  number: asIs,
  boolean: { encode: (value) => value === true ? 1 : 0, decode: (raw) => raw !== 0 },
  time: { encode: encodeTime, decode: decodeTime },
  // a column of type JSON has numeric affinity: SQLite hands a lone number back as one
  json: { encode: (value) => JSON.stringify(value), decode: decodeJson }
}

/** SQLite: types as SQLAlchemy writes them, times as text in UTC with six digits, which compares as text. */
export const sqliteDialect: Dialect = {
  name: 'sqlite',
  codec: ({ type }) => codecs[type],
  catalog: "SELECT m.name, c.name, m.sql LIKE '%collate%', CASE WHEN c.type LIKE '%char%(%' THEN CAST(substr(c.type, instr(c.type, '(') + 1) AS INTEGER) END FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type IN ('table', 'view')",
  returnsId: false,
  nullsFirst: '',
  identity: 'PRIMARY KEY AUTOINCREMENT', // without it SQLite gives the id of a deleted user to the next one
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
  placeholder: () => '?',
  read: (expression) => expression,
  comparand: (placeholder) => placeholder,
  lower: (expression) => `lower(${expression})`,
  binary: (expression) => `${expression} COLLATE BINARY`,
  ordered: (expression) => expression,
  columnType,
  foldName: (name) => name.toLowerCase(),
  uniqueViolation,
  isMisfit: () => false
}

const types = { boolean: 'BOOLEAN', integer: 'INTEGER', number: 'FLOAT', time: 'TIMESTAMP', json: 'JSON' }
const idTypes = { uuid: 'CHAR(36)', objectid: 'CHAR(24)', integer: 'INTEGER' }

function columnType (field: Field): string {
  if (field.type === 'text') return varchar(field.maxLength)
  if (field.type !== 'id') return types[field.type]
  const storage = field.id?.storage ?? 'uuid'
  return storage === 'text' ? varchar(field.id?.maxLength) : idTypes[storage]
}

function varchar (length: number | undefined): string {
  return length === undefined ? 'TEXT' : `VARCHAR(${length})`
}

function encodeTime (value: unknown): string {
  const text = (value as Date).toISOString() // checked before
  return `${text.slice(0, 10)} ${text.slice(11, 23)}000`
}

/** Reads SQLAlchemy's form, and seconds or milliseconds alone. */
function decodeTime (raw: unknown): Date | undefined {
  const parts = typeof raw === 'string' ? TIME.exec(raw) : null
  if (parts === null) return undefined
  const milliseconds = Date.parse(`${parts[1]}T${parts[2]}${parts[3] ?? ''}${parts[4] ?? 'Z'}`)
  return Number.isNaN(milliseconds) ? undefined : new Date(milliseconds)
}

function decodeJson (raw: unknown): unknown {
  if (typeof raw !== 'string') return raw
  try {
    return JSON.parse(raw)
  } catch {
    return undefined
  }
}

function uniqueViolation (error: unknown): UniqueViolation | null {
  const clash = error instanceof Error ? error.message.split(VIOLATION)[1] : undefined
  if (clash === undefined) return null
  if (clash.startsWith("index '")) return { index: clash.slice(7, -1) }
  return { columns: clash.split(', ').map((column) => column.slice(column.lastIndexOf('.') + 1)) }
}
