import type { Field } from '../../../contracts/models.js'
import { FST_USERS_INVALID_OPTION } from '../../../errors.js'
import { isUuid } from '../../../shared/text.js'
import { storageOf, varchar, type IdStorage } from './column-types.js'
import { decodeJson, decodeNumber, wholeNumber } from './column-values.js'
import type { Codec, Dialect, UniqueViolation } from './dialect.js'

const OBJECT_ID = /^[0-9a-f]{24}$/
const INT_MAXIMUM = 2_147_483_647
/**
 * Matches the key of the index in the detail of a unique violation, in every language of the server: `email` in
 * `Key (email)=(a@x.org) already exists.`.
 */
const INDEX_KEY = /^[^(]*\((.*?)\)=\(/s
/** Errors for numbers and times out of range, and for characters that the database's character set lacks. */
const INVALID_VALUES = new Set(['22003', '22008', '22015', '22021', '22P05'])
/**
 * Matches the codes of constraint violations and of invalid data (classes 23 and 22), a wrong type, the check of a
 * view, and a write to a generated column.
 */
const CONSTRAINT = /^(?:23|22|42804$|44000$|428C9$)/
/** Matches the names in the key of an index. */
const WORDS = /"(?:[^"]|"")+"|[\p{L}\p{N}_$]+/gu

/** PostgreSQL cannot store U+0000 in text. */
const storable: Pick<Codec, 'holds'> = { holds: (value) => !String(value).includes('\0') }
const text: Codec = { ...storable, encode: (value) => value, decode: (raw) => raw }
const number: Codec = { encode: (value) => value, decode: decodeNumber }
const integer: Codec = { encode: (value) => value, decode: (raw) => wholeNumber(decodeNumber(raw)) }

const codecs: Record<Exclude<Field['type'], 'id'>, Codec> = {
  text,
  integer,
  number,
  boolean: {
    encode: (value) => (value === true ? 't' : 'f'),
    decode: (raw) => raw === 't' || raw === 'true' || raw === '1'
  },
  time: { encode: (value) => (value as Date).toISOString(), decode: decodeTime }, // callers check the type
  json: { encode: (value) => JSON.stringify(value), decode: decodeJson }
}

const idCodecs: Record<IdStorage, Codec> = {
  // ids are accepted only in the form in which the database returns them, so that equal ids have equal text
  uuid: { ...text, holds: isUuid },
  objectid: { ...text, holds: (value) => OBJECT_ID.test(String(value)) },
  integer,
  text
}

/**
 * Returns the dialect for the tables of a schema, or, without `schema`, for the tables on the search path. Throws
 * `FST_USERS_INVALID_OPTION` for an invalid name.
 */
export function postgresIn (schema?: string): Dialect {
  if (schema !== undefined && !isSchemaName(schema)) {
    throw FST_USERS_INVALID_OPTION(['schema', 'must be the name of a schema, of 63 bytes at most'])
  }
  const qualify = (name: string): string => (schema === undefined ? quote(name) : `${quote(schema)}.${quote(name)}`)
  const regclass = (table: string): string => `pg_catalog.to_regclass(${literal(qualify(table))})`
  return {
    ...BASE,
    ...(schema === undefined ? {} : { qualify, createSchema: createSchemaSql(schema) }),
    catalog: catalogSql(visibleSql(schema)),
    referencesSql: (table) => referencesSql(regclass(table)),
    checksSql: (table) => checksSql(regclass(table))
  }
}

function isSchemaName (value: unknown): boolean {
  return (
    typeof value === 'string' &&
    value !== '' &&
    !value.includes('\0') &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= 63
  )
}

/** Returns the condition that a table `c` is in a schema or, without `schema`, on the search path. */
export function visibleSql (schema?: string): string {
  return schema === undefined
    ? "pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace"
    : `c.relnamespace = pg_catalog.to_regnamespace(${literal(quote(schema))})`
}

/**
 * Returns a statement that creates a missing schema. It does not use CREATE SCHEMA IF NOT EXISTS, which needs the
 * permission to create schemas even if the schema exists.
 */
function createSchemaSql (schema: string): string {
  const body = `BEGIN IF pg_catalog.to_regnamespace(${literal(quote(schema))}) IS NULL THEN CREATE SCHEMA ${quote(schema)}; END IF; END`
  return `DO ${literal(body)}`
}

/** `regclass` is an expression for the table. Referenced tables in another schema are returned as `schema.table`. */
function referencesSql (regclass: string): string {
  return `SELECT a.attname::text AS column_name,
CASE WHEN f.relnamespace = c.relnamespace OR pg_catalog.pg_table_is_visible(f.oid) THEN f.relname ELSE n.nspname || '.' || f.relname END AS target
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
JOIN pg_catalog.pg_namespace n ON n.oid = f.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND pg_catalog.cardinality(k.conkey) = 1 AND k.conrelid = ${regclass}`
}

function checksSql (regclass: string): string {
  return `SELECT pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS expression FROM pg_catalog.pg_constraint k
WHERE k.contype = 'c' AND k.conrelid = ${regclass}`
}

/**
 * Returns the `catalog` query for the tables that meet a condition. Its third value is 1 if the table has a column that
 * treats different text as equal. For tables with a trigger before INSERT, `on_insert` is null, because the trigger may
 * set any column.
 */
function catalogSql (visible: string): string {
  return `SELECT c.relname, a.attname, max((t.typname = 'citext' OR NOT coalesce(l.collisdeterministic, true))::int) OVER (PARTITION BY c.oid),
CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN (a.atttypmod - 4)::text END AS width, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, NULL AS unique_index,
CASE WHEN c.relkind IN ('v', 'm') THEN NULL WHEN a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL THEN 'filled'
WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 7 = 7) THEN NULL
WHEN a.attnotnull OR t.typnotnull THEN 'required' ELSE 'optional' END AS on_insert,
t.typcategory::text || ':' || coalesce(b.typname, t.typname)::text AS kind
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND ${visible}`
}

/**
 * The parts of the dialect that are the same for all schemas. Column types are those of SQLAlchemy. Times are read as
 * milliseconds, which do not depend on the time zone and the date style of the session.
 */
const BASE: Omit<Dialect, 'catalog' | 'referencesSql' | 'checksSql'> = {
  name: 'postgres',
  codec: (field) => (field.type === 'id' ? idCodecs[storageOf(field)] : codecs[field.type]),
  returnsId: true,
  nullsFirst: ' NULLS FIRST',
  comparesRows: true,
  indexesInTable: false,
  tableOptions: '',
  identity: 'GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY',
  quote,
  literal,
  placeholder: (position) => `$${position}`,
  read: (expression, { type }) =>
    type === 'time' ? `round(extract(epoch FROM date_trunc('milliseconds', ${expression})) * 1000)` : expression,
  // with this cast, a number beyond INTEGER causes no error, and an index on an INTEGER column is still used
  comparand: (placeholder, field) => (isWhole(field) ? `${placeholder}::bigint` : placeholder),
  lower: (expression) => `lower(${expression}::text COLLATE "C")`,
  binary: collateBinary,
  ordered: collateBinary,
  columnType: postgresColumnType,
  matchesColumn: matchesPostgresColumn,
  readChecks: (rows) => rows.map(([expression]) => String(expression)),
  sample: (_codec, value) => value,
  samplesSql: (table, samples) =>
    `(SELECT (pg_catalog.jsonb_populate_record(NULL::${table}, sample)).* FROM (VALUES ${samples.map((sample) => `(${literal(JSON.stringify(sample))}::jsonb)`).join(', ')}) AS samples (sample)) AS candidates`,
  foldName: (name) => name,
  uniqueViolation: postgresUniqueViolation,
  isInvalidValue: (error) => INVALID_VALUES.has(sqlStateOf(error)),
  isConstraint: (error) => CONSTRAINT.test(sqlStateOf(error)),
  isUnknownLetter: (error) => sqlStateOf(error) === '22P05'
}

function quote (name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Returns text as a literal that does not depend on the setting `standard_conforming_strings`. */
function literal (text: string): string {
  return `${text.includes('\\') ? 'E' : ''}'${text.replaceAll(/['\\]/g, '$&$&')}'`
}

const ID_WIDTHS = { uuid: 36, objectid: 24 }
/**
 * Matches the column types that cannot store a field, by type of the field. A column type is given as `category:name`
 * (https://www.postgresql.org/docs/current/catalog-pg-type.html).
 */
const INCOMPATIBLE: Record<Exclude<Field['type'], 'id'>, RegExp> = {
  text: /^(?:[NBD]:|U:(?:uuid|jsonb?)$)/,
  boolean: /^(?:[ND]:|U:(?:uuid|jsonb?)$)/,
  integer: /^(?:[BD]:|U:(?:uuid|jsonb?)$)/,
  number: /^(?:[BD]:|U:(?:uuid|jsonb?)$)/,
  time: /^(?:[NBS]:|U:(?:uuid|jsonb?)$)/,
  json: /^(?:[NBD]:|U:uuid$)/
}

function matchesPostgresColumn (field: Field, kind: string, width: number | null): boolean {
  if (field.type !== 'id') return !INCOMPATIBLE[field.type].test(kind)
  const storage = storageOf(field)
  if (storage === 'integer') return kind.startsWith('N:')
  if (storage === 'uuid' && kind === 'U:uuid') return true
  const least = storage === 'text' ? 0 : ID_WIDTHS[storage]
  return kind.startsWith('S:') && (width === null || width >= least)
}

const types = {
  boolean: 'BOOLEAN',
  integer: 'BIGINT',
  number: 'DOUBLE PRECISION',
  time: 'TIMESTAMP WITH TIME ZONE',
  json: 'JSON'
}

function postgresColumnType (field: Field): string {
  if (field.type === 'text') return varchar(field.maxLength)
  if (field.type !== 'id') return types[field.type]
  switch (storageOf(field)) {
    case 'uuid':
      return 'UUID'
    case 'objectid':
      return 'CHAR(24)'
    case 'integer':
      return Number(field.id?.schema['maximum']) > INT_MAXIMUM ? 'BIGINT' : 'INTEGER'
    default:
      return varchar(field.id?.maxLength)
  }
}

function isWhole (field: Field): boolean {
  return field.type === 'integer' || (field.type === 'id' && storageOf(field) === 'integer')
}

function collateBinary (expression: string): string {
  return `${expression}::text COLLATE "C"`
}

/** Returns the time of a number of milliseconds, as `read` selects it, or of an encoded time. */
function decodeTime (raw: unknown): Date | undefined {
  const time = new Date(String(raw).endsWith('Z') ? String(raw) : Number(raw))
  return Number.isNaN(time.getTime()) ? undefined : time
}

/** Returns the SQLSTATE of the server's error, or the code of the client's error. */
export function sqlStateOf (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function postgresUniqueViolation (error: unknown): UniqueViolation | null {
  if (sqlStateOf(error) !== '23505') return null
  // the driver copies these fields from the server's message
  const { constraint, detail } = error as { constraint?: string; detail?: string }
  // the server sends no detail to a role without permission to read the table
  const words = INDEX_KEY.exec(String(detail))?.[1]?.match(WORDS) ?? []
  return {
    index: String(constraint),
    words: words.map((word) => (word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word))
  }
}

/** The dialect for PostgreSQL tables on the search path. */
export const postgresDialect: Dialect = postgresIn()
