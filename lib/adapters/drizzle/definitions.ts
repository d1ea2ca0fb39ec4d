import { type Column as DrizzleColumn, getTableColumns, is, Table as DrizzleTable, getTableUniqueName } from 'drizzle-orm'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { optionNameOf } from '../../shared/tenant.js'
import { camelCase } from '../shared/camel-case.js'
import type { FilledColumn } from '../sql/dialects/dialect.js'
import type { TableMappings } from '../sql/schema.js'
import type { TableMapping } from '../sql/table.js'
import { columnProblems } from './column-check.js'
import type { DrizzleDatabase } from './column-text.js'
import { drizzleDefinition } from './definition-text.js'
import type { DrizzleMethods } from './instance.js'

/** A column of a definition. */
export interface DefinedColumn {
  /** The property of the table object. */
  readonly key: string
  /** The name in the database. */
  readonly name: string
  readonly column: DrizzleColumn
}

const QUOTES: Record<DrizzleDatabase, string> = { postgres: '"', mysql: '`', sqlite: '"' }
const DEFAULT_SCHEMA = 'public'

/** The table objects of an application, as the adapter reads them. */
export class Definitions {
  readonly #db: DrizzleMethods
  readonly #tables: ReadonlyMap<string, DrizzleTable>
  readonly #columns = new WeakMap<DrizzleTable, readonly DefinedColumn[]>()
  readonly database: DrizzleDatabase

  /** `tables` may also contain other values, as a module of definitions does. */
  constructor (db: DrizzleMethods, database: DrizzleDatabase, tables: object) {
    this.#db = db
    this.database = database
    const isTable = (entry: [string, unknown]): entry is [string, DrizzleTable] => is(entry[1], DrizzleTable)
    this.#tables = new Map(Object.entries(tables).filter(isTable))
  }

  /** The schema of the table of users; undefined if the tables are found through the search path. */
  get schema (): string | undefined {
    const table = this.#tables.get('user')
    return table === undefined ? undefined : schemaOf(table)
  }

  /** Returns the names of all tables and columns. Throws `FST_USERS_TABLE_MISMATCH` with the lines to add or change. */
  mappingsOf (models: readonly Model[]): TableMappings {
    return Object.fromEntries(models.map((model) => [optionNameOf(model), this.#mappingOf(model, models)]))
  }

  /** Returns the column of a field, or undefined if it has none. */
  columnOf (model: Model, field: string): DefinedColumn | undefined {
    const columns = this.#columnsOf(model)
    return (
      columns.find(({ key }) => key === field) ??
      columns.find(({ key }) => key === camelCase(field)) ??
      columns.find(({ name }) => name === field)
    )
  }

  /** Returns the columns that belong to no field and whose values Drizzle creates (`$defaultFn` and `$onUpdateFn`). */
  filledOf (model: Model): FilledColumn[] {
    const own = new Set(Object.keys(model.fields).map((field) => this.columnOf(model, field)))
    return this.#columnsOf(model)
      .filter((one) => !own.has(one))
      .flatMap(({ name, column }) => {
        const { defaultFn, onUpdateFn } = column
        const onInsert = defaultFn ?? (column.default === undefined ? onUpdateFn : undefined)
        const make = (value: () => unknown) => (): unknown => driverValueOf(column, value())
        if (onInsert === undefined && onUpdateFn === undefined) return []
        return [
          {
            name,
            ...(onInsert === undefined ? {} : { onInsert: make(onInsert) }),
            ...(onUpdateFn === undefined ? {} : { onUpdate: make(onUpdateFn) })
          }
        ]
      })
  }

  #mappingOf (model: Model, models: readonly Model[]): TableMapping {
    const table = this.#tableOf(model)
    if (table === undefined) {
      throw definitionMismatch(model.table, 'has no definition', drizzleDefinition(this.database, model, models))
    }
    const { table: name } = this.#namesOf(table)
    if (schemaOf(table) !== this.schema) {
      throw FST_USERS_TABLE_MISMATCH([name, 'its Drizzle definition is in another schema than that of the users'])
    }
    const problems = columnProblems(this, model, models)
    if (problems.length > 0) throw definitionMismatch(name, 'needs other columns', problems.join('\n'))
    const columns: [string, string][] = []
    for (const field of Object.keys(model.fields)) {
      const defined = this.columnOf(model, field)
      if (defined !== undefined) columns.push([field, defined.name])
    }
    return { table: name, columns: Object.fromEntries(columns) }
  }

  #tableOf (model: Model): DrizzleTable | undefined {
    const name = optionNameOf(model)
    return this.#tables.get(name) ?? this.#tables.get(camelCase(name))
  }

  #columnsOf (model: Model): readonly DefinedColumn[] {
    const table = this.#tableOf(model)
    if (table === undefined) return []
    const known = this.#columns.get(table)
    if (known !== undefined) return known
    const { columns: names } = this.#namesOf(table)
    const columns = Object.entries(getTableColumns(table)).map(([key, column], position) => ({
      key,
      name: names[position] ?? column.name,
      column
    }))
    this.#columns.set(table, columns)
    return columns
  }

  /** Returns the names in the database, which depend on the option `casing` of the instance. */
  #namesOf (table: DrizzleTable): { table: string; columns: readonly string[] } {
    const { sql } = this.#db.select().from(table).toSQL()
    // select "id", "email" from "user"
    const names = sql.split(QUOTES[this.database]).filter((_text, position) => position % 2 === 1)
    return { table: names.at(-1) ?? '', columns: names }
  }
}

function schemaOf (table: DrizzleTable): string | undefined {
  const [schema, ...name] = getTableUniqueName(table).split('.')
  return name.length === 0 || schema === DEFAULT_SCHEMA ? undefined : schema
}

function driverValueOf (column: DrizzleColumn, value: unknown): unknown {
  return value === null || value === undefined ? null : column.mapToDriverValue(value)
}

function definitionMismatch (table: string, reason: string, lines: string): Error {
  return FST_USERS_TABLE_MISMATCH([table, `the second argument of drizzle() ${reason}:\n${lines}`])
}
