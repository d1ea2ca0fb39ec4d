import type { MaybePromise } from '../../contracts/database-adapter.js'
import type { Field, Value } from '../../contracts/models.js'
import type { Dialect } from './dialects/dialect.js'
import { type Column, type FoundColumn, type FoundTable, databaseMakesId, type Table } from './table.js'

type Rows = readonly (readonly unknown[])[]

/** Reads the constraints of a database. */
export interface ConstraintReader {
  all(sql: string): MaybePromise<Rows>
  /** Returns the rows, or null if the database refuses the statement. */
  attempt(sql: string): Promise<Rows | null>
}

const MOST_SAMPLES = 16
const CHOOSE_IDS = 'choose another kind of ids in `userSchemas`'
const TEXT = /'[^']*'/g
const WORD = /[\p{L}\p{N}_$]+/gu
const PLAIN_NAME = /^[\p{L}\p{N}_$]+$/u

/**
 * Returns the reasons why new rows cannot be stored in an existing table: required columns without a value, and
 * incompatible types.
 */
export function columnMismatches (table: Table, found: FoundTable): string[] {
  const { dialect, columns, primaryKey } = table
  const filled = table.filled.filter(({ onInsert }) => onInsert !== undefined)
  const own = new Set([...columns, ...filled].map(({ name }) => dialect.foldName(name)))
  const unfilled = [...found.columns].filter(([name, { onInsert }]) => onInsert === 'required' && !own.has(name))
  const mismatches = unfilled.map(
    ([name]) =>
      `column "${name}" must have a value, but nothing sets it: ` +
      'give it a default, make it nullable, or declare it as a custom field'
  )
  for (const column of columns) {
    const stored = found.columns.get(dialect.foldName(column.name))
    if (stored?.kind === undefined) continue
    if (!dialect.matchesColumn(column.definition, stored.kind, stored.width)) {
      mismatches.push(typeMismatch(column, stored, dialect))
    }
  }
  const key = found.columns.get(dialect.foldName(primaryKey.name))
  if (databaseMakesId(table) && (key?.onInsert === 'required' || key?.onInsert === 'optional')) {
    mismatches.push(
      `the database does not generate ids: give column "${primaryKey.name}" a default such as an identity, or ${CHOOSE_IDS}`
    )
  }
  return mismatches
}

function typeMismatch ({ name, definition }: Column, { kind, width }: FoundColumn, dialect: Dialect): string {
  const type = String(kind).replace(/^.*:/, '').toLowerCase() + (width === null ? '' : `(${width})`)
  const what = `column "${name}" has the type ${type}`
  if (definition.type !== 'id') return `${what}, which cannot store values of type ${definition.type}`
  return `${what}, and ids of the kind "${definition.id?.name ?? 'uuid'}" need ${dialect.columnType(definition)}; ${CHOOSE_IDS}`
}

/** A table that exists in the database, and the tables of all models. */
export interface ExistingTable {
  readonly table: Table
  readonly found: FoundTable
  readonly tables: ReadonlyMap<string, Table>
}

/** Returns a message for each constraint that refuses every new row: a reference to another table, or a check. */
export async function constraintMismatches (
  reader: ConstraintReader,
  { table, found, tables }: ExistingTable
): Promise<string[]> {
  const { dialect } = table
  const mismatches: string[] = []
  for (const [column, target] of await reader.all(dialect.referencesSql(table.name))) {
    const problem = referenceMismatch(table, tables, String(column), String(target))
    if (problem !== undefined) mismatches.push(problem)
  }
  for (const expression of dialect.readChecks(await reader.all(dialect.checksSql(table.name)))) {
    const isRefusing = await refusesAll(reader, table, found, expression)
    if (isRefusing) mismatches.push(`the constraint CHECK (${expression}) refuses every new row`)
  }
  return mismatches
}

/**
 * Checks that a generated id does not reference another table, and that a reference to users leads to the users' table.
 */
function referenceMismatch (
  table: Table,
  tables: ReadonlyMap<string, Table>,
  name: string,
  target: string
): string | undefined {
  const { dialect, columns, primaryKey } = table
  const column = columns.find((one) => dialect.foldName(one.name) === dialect.foldName(name))
  const { references } = column?.definition ?? {}
  const wanted = references === undefined ? undefined : tables.get(references)?.name
  if (wanted !== undefined && dialect.foldName(wanted) !== dialect.foldName(target)) {
    return `column "${name}" references the table "${target}", but the users are in "${wanted}"`
  }
  if (wanted === undefined && column === primaryKey) {
    return `column "${name}" references the table "${target}", which does not contain new ids`
  }
  return undefined
}

/**
 * Returns true if a CHECK constraint is false for all sample rows. A result that is unknown (SQL NULL) counts as
 * fulfilled.
 */
async function refusesAll (
  reader: ConstraintReader,
  table: Table,
  found: FoundTable,
  expression: string
): Promise<boolean> {
  const { dialect, sql } = table
  const names = columnsIn(expression, dialect, found)
  if (names === null || names.length === 0) return false
  let samples: Record<string, unknown>[] = [{}]
  for (const name of names) {
    const values = samplesOf(table, name, found)
    if (values === null) return false
    samples = samples.flatMap((sample) => values.map((value) => ({ ...sample, [name]: value }))).slice(0, MOST_SAMPLES)
  }
  const source = dialect.samplesSql(sql, samples)
  const rows = await reader.attempt(`SELECT count(*) AS fitting FROM ${source} WHERE (${expression}) IS NOT FALSE`)
  return rows !== null && Number(rows[0]?.[0]) === 0
}

/** Returns the columns in an expression, or null if that is uncertain. */
function columnsIn (expression: string, { foldName }: Dialect, { columns }: FoundTable): string[] | null {
  const words = new Set(expression.replace(TEXT, '').match(WORD)?.map(foldName))
  if ([...columns.keys()].some((name) => !PLAIN_NAME.test(name) && expression.includes(name))) return null
  return [...columns.keys()].filter((name) => words.has(name))
}

/** Returns sample values of a column, encoded as parameters, or null if they are not known. */
function samplesOf ({ columns, dialect }: Table, name: string, found: FoundTable): readonly unknown[] | null {
  const column = columns.find((one) => dialect.foldName(one.name) === name)
  if (column === undefined) return found.columns.get(name)?.onInsert === 'optional' ? [null] : null
  const examples = fieldExamples(column.definition) ?? null
  return examples?.map((value) => (value === null ? null : dialect.sample(column.codec, value))) ?? null
}

function fieldExamples ({ examples, id }: Field): readonly Value[] | undefined {
  return examples ?? (id?.generate === undefined ? undefined : [id.generate()])
}
