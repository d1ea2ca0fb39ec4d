import type { Field } from '../../../contracts/models.js'
import { isUuid } from '../../../shared/text.js'
import { checksOf } from './checks.js'
import { storageOf, type IdStorage } from './column-types.js'
import { decodeJson, decodeNumber, wholeNumber } from './column-values.js'
import type { Codec, Dialect, UniqueViolation } from './dialect.js'
import { unionOf } from './samples.js'
import { decodeTimeText, encodeTimeText } from './time-text.js'

const OBJECT_ID = /^[0-9a-f]{24}$/
const INT_MAXIMUM = 2_147_483_647
const DUPLICATE = 1062
/** Errors for invalid values: out of range (column, arithmetic), wrong value, wrong characters, invalid JSON. */
const INVALID_VALUES: ReadonlySet<unknown> = new Set([1264, 1690, 1292, 1366, 3140])
/**
 * Errors for constraints: no value, no default, a foreign key, a check (MySQL, MariaDB, a view), truncated or too long
 * values.
 */
const CONSTRAINTS: ReadonlySet<unknown> = new Set([
  1048, 1364, 1216, 1217, 1451, 1452, 1761, 1762, 3819, 4025, 1369, 1265, 1406
])
/**
 * Matches the index name in `Duplicate entry 'a@x.org' for key 'ix_user_email'`. It is the last quoted text in every
 * language of the server. MySQL 8 writes the table's name before it.
 */
const INDEX = /'(?:[^'.]*\.)?([^']*)'[^']*$/
/**
 * Matches collations that treat `A` and `a` as equal. Turkish collations do not match, because in Turkish `I` is not
 * the capital of `i`.
 */
const IGNORES_CASE = /(?<!_turkish|_tr_0900_ai|_az_0900_ai|_uca1400_turkish_ai)_ci$/

/** Matches the character set and the collation that `catalog` appends to the type of a text column. */
const CHARACTERS = / CHARACTER SET (\w+) COLLATE (\w+)$/

const text: Codec = { encode: (value) => value, decode: (raw) => (typeof raw === 'string' ? raw : undefined) }
const number: Codec = { encode: (value) => value, decode: decodeNumber }
const integer: Codec = { encode: (value) => value, decode: (raw) => wholeNumber(decodeNumber(raw)) }

const codecs: Record<Exclude<Field['type'], 'id' | 'time'>, Codec> = {
  text,
  integer,
  number,
  boolean: { encode: (value) => (value === true ? 1 : 0), decode: decodeBoolean },
  json: { encode: (value) => JSON.stringify(value), decode: decodeJson }
}

const idCodecs: Record<IdStorage, Codec> = {
  uuid: { ...text, holds: isUuid },
  objectid: { ...text, holds: (value) => OBJECT_ID.test(String(value)) },
  integer,
  text
}

/**
 * The dialect of MySQL and MariaDB. Column types are those of SQLAlchemy. Collations treat text as equal that differs
 * in case, accents or trailing blanks. So each equality condition is written twice: one uses the index, the other one
 * compares the bytes.
 */
export const mysqlDialect: Dialect = {
  name: 'mysql',
  codec: (field, type) =>
    field.type === 'id' ? idCodecs[storageOf(field)] : field.type === 'time' ? timeCodec(type) : codecs[field.type],
  catalog: `SELECT c.TABLE_NAME, c.COLUMN_NAME, 1 AS COLLATED, CASE WHEN c.DATA_TYPE IN ('char', 'varchar') THEN c.CHARACTER_MAXIMUM_LENGTH END,
concat(c.COLUMN_TYPE, coalesce(concat(' CHARACTER SET ', c.CHARACTER_SET_NAME, ' COLLATE ', c.COLLATION_NAME), '')),
CASE WHEN c.EXTRA NOT LIKE '%GENERATED%' THEN s.INDEX_NAME END AS UNIQUE_INDEX,
CASE WHEN v.TABLE_NAME IS NOT NULL THEN NULL WHEN c.COLUMN_DEFAULT IS NOT NULL AND NOT (c.IS_NULLABLE = 'YES' AND c.COLUMN_DEFAULT = 'NULL')
OR c.EXTRA LIKE '%auto_increment%' OR c.EXTRA LIKE '%GENERATED%' THEN 'filled'
WHEN g.TABLE_NAME IS NOT NULL THEN NULL
WHEN c.IS_NULLABLE = 'NO' THEN 'required' ELSE 'optional' END AS ON_INSERT, c.DATA_TYPE AS KIND
FROM information_schema.COLUMNS c LEFT JOIN (SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = database() AND TABLE_TYPE <> 'BASE TABLE') v ON v.TABLE_NAME = c.TABLE_NAME
LEFT JOIN (SELECT DISTINCT EVENT_OBJECT_TABLE AS TABLE_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = database()
AND ACTION_TIMING = 'BEFORE' AND EVENT_MANIPULATION = 'INSERT') g ON g.TABLE_NAME = c.TABLE_NAME
LEFT JOIN information_schema.STATISTICS s
ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.NON_UNIQUE = 0
WHERE c.TABLE_SCHEMA = database()`,
  returnsId: false,
  nullsFirst: '',
  comparesRows: false,
  identity: 'AUTO_INCREMENT PRIMARY KEY',
  quote: (name) => `\`${name.replaceAll('`', '``')}\``,
  // in brackets, because MySQL accepts only expressions as the default of a long text column; text with a backslash is
  // written as hexadecimal bytes, because sql_mode decides whether a backslash is an escape character
  literal: (value) =>
    value.includes('\\') ? `(_utf8mb4 X'${Buffer.from(value).toString('hex')}')` : `('${value.replaceAll("'", "''")}')`,
  placeholder: () => '?',
  // reads times and JSON as text, because the driver options of the application decide how other types are returned
  read: (expression, { type }) => (type === 'time' || type === 'json' ? `cast(${expression} AS CHAR)` : expression),
  comparand,
  // reads the UTF-8 bytes in the character set `hebrew`, in which only ASCII letters have two cases, so that `lower`
  // does not change the bytes of other letters
  lower: (expression) => `cast(lower(convert(${castToBinary(expression)} USING hebrew)) AS BINARY)`,
  binary: castToBinary,
  ordered: castToBinary,
  columnType: mysqlColumnType,
  matchesColumn: matchesMysqlColumn,
  referencesSql: (table) => `SELECT max(COLUMN_NAME) AS COLUMN_NAME,
max(CASE WHEN REFERENCED_TABLE_SCHEMA = TABLE_SCHEMA THEN REFERENCED_TABLE_NAME ELSE concat(REFERENCED_TABLE_SCHEMA, '.', REFERENCED_TABLE_NAME) END) AS TARGET
FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = database() AND BINARY TABLE_NAME = ${mysqlDialect.literal(table)}
AND REFERENCED_TABLE_NAME IS NOT NULL GROUP BY CONSTRAINT_NAME HAVING count(*) = 1`,
  checksSql: (table) => `SHOW CREATE TABLE ${mysqlDialect.quote(table)}`,
  readChecks: ([row]) => checksOf(String(row?.[1])),
  sample: (codec, value) => codec.encode(value),
  samplesSql: (_table, samples) => unionOf(mysqlDialect, samples),
  ignoresCase: (type) => IGNORES_CASE.test(type),
  isZoned: (type) => type.startsWith('timestamp'),
  lowerColumn: {
    name: (column) => `${column}_lower`,
    type: (expression, { maxLength = 320 }) => `VARBINARY(${maxLength * 4}) GENERATED ALWAYS AS (${expression}) STORED`
  },
  indexesInTable: true,
  tableOptions: ' ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  foldName: (name) => name,
  uniqueViolation: mysqlUniqueViolation,
  isInvalidValue: (error) => INVALID_VALUES.has(errorNumberOf(error)),
  isConstraint: (error) => CONSTRAINTS.has(errorNumberOf(error))
}

const NUMBERS = /^(?:tinyint|smallint|mediumint|int|bigint|decimal|float|double)$/
const TEXTS = /^(?:char|varchar|tinytext|text|mediumtext|longtext)$/
const ID_WIDTHS = { uuid: 36, objectid: 24 }
/** Matches the column types that cannot store a field, by type of the field. */
const INCOMPATIBLE: Record<Exclude<Field['type'], 'id'>, RegExp> = {
  text: /^(?:tinyint|smallint|mediumint|int|bigint|decimal|float|double|bit|year|date|time|datetime|timestamp|uuid)$/,
  boolean: /^(?:date|time|datetime|timestamp|uuid)$/,
  integer: /^(?:date|time|datetime|timestamp|uuid)$/,
  number: /^(?:date|time|datetime|timestamp|uuid)$/,
  time: /^(?:tinyint|smallint|mediumint|int|float|double|bit|year|uuid)$/,
  json: /^(?:tinyint|smallint|mediumint|int|bigint|decimal|float|double|bit|year|date|time|datetime|timestamp|uuid)$/
}

function matchesMysqlColumn (field: Field, kind: string, width: number | null): boolean {
  if (field.type !== 'id') return !INCOMPATIBLE[field.type].test(kind)
  const storage = storageOf(field)
  if (storage === 'integer') return NUMBERS.test(kind)
  if (storage === 'uuid' && kind === 'uuid') return true
  const least = storage === 'text' ? 0 : ID_WIDTHS[storage]
  return TEXTS.test(kind) && (width === null || width >= least)
}

const types = { boolean: 'BOOL', integer: 'BIGINT', number: 'DOUBLE', time: 'DATETIME(6)', json: 'JSON' }

function mysqlColumnType (field: Field): string {
  if (field.type === 'text') return field.maxLength === undefined ? 'LONGTEXT' : `VARCHAR(${field.maxLength})`
  if (field.type !== 'id') return types[field.type]
  switch (storageOf(field)) {
    case 'uuid':
      return 'CHAR(36)'
    case 'objectid':
      return 'CHAR(24)'
    case 'integer':
      return Number(field.id?.schema['maximum']) > INT_MAXIMUM ? 'BIGINT' : 'INTEGER'
    default:
      return `VARCHAR(${field.id?.maxLength ?? 255})` // MySQL cannot index text without a width
  }
}

/** Returns the UTF-8 bytes of an expression with any character set. */
function castToBinary (expression: string): string {
  return `cast(convert(${expression} USING utf8mb4) AS BINARY)`
}

/**
 * Returns the placeholder, converted to the column's character set and collation if they differ from the connection's.
 * Characters that the set lacks become question marks. The comparison of the bytes then excludes wrong matches.
 */
function comparand (placeholder: string, _field: Field, type = ''): string {
  const [, set, collation] = CHARACTERS.exec(type) ?? []
  return set === undefined || set === 'utf8mb4'
    ? placeholder
    : `convert(${placeholder} USING ${set}) COLLATE ${collation}`
}

/**
 * Returns the codec for times in a column of a type. The text is cut to the digits that the column stores, because the
 * server would round it, possibly to a time in the future.
 */
function timeCodec (type = types.time): Codec {
  const digits = Number(/\((\d)\)/.exec(type)?.[1] ?? 0)
  const end = 19 + (digits === 0 ? 0 : digits + 1)
  return { encode: (value) => encodeTimeText(value).slice(0, end), decode: decodeTimeText }
}

function decodeBoolean (raw: unknown): boolean | undefined {
  const value = decodeNumber(raw)
  return value === undefined ? undefined : value !== 0
}

/** Returns the number of a server error; undefined for errors of the driver or the network. */
export function errorNumberOf (error: unknown): unknown {
  return (error as { errno?: unknown }).errno // the driver rejects only with objects of type Error
}

function mysqlUniqueViolation (error: unknown): UniqueViolation | null {
  if (errorNumberOf(error) !== DUPLICATE) return null
  return { index: INDEX.exec((error as Error).message)?.[1] ?? '' }
}
