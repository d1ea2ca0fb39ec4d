import type { Field, Model } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { optionNameOf } from '../../shared/tenant.js'
import { camelCase } from '../shared/camel-case.js'
import { postgresDialect } from '../sql/dialects/postgres.js'
import type { TableMappings } from '../sql/schema.js'
import { makeTable, type TableMapping } from '../sql/table.js'
import type { PrismaDescription, PrismaField, PrismaModel } from './client.js'
import { fieldText, prismaModel } from './schema-text.js'

/** The types of Prisma that can store a field. */
const FITTING: Record<Exclude<Field['type'], 'id'>, readonly string[]> = {
  text: ['String'],
  boolean: ['Boolean'],
  integer: ['Int', 'BigInt'],
  number: ['Float', 'Decimal'],
  time: ['DateTime'],
  json: ['Json', 'String']
}

/** The data model of a client, as the adapter reads it. */
export class DataModel {
  readonly #description: PrismaDescription
  readonly #names: Readonly<Record<string, string>>

  /** `names` are the names of Prisma models by the names of our models. */
  constructor (description: PrismaDescription, names: Readonly<Record<string, string>>) {
    this.#description = description
    this.#names = names
  }

  /** The schema of the table of users; undefined if the tables are found through the search path. */
  get schema (): string | undefined {
    return this.#modelNamed('user')?.schema ?? undefined
  }

  /** Returns the names of all tables and columns. Throws `FST_USERS_TABLE_MISMATCH` with the lines to add or change. */
  mappingsOf (models: readonly Model[]): TableMappings {
    return Object.fromEntries(models.map((model) => [optionNameOf(model), this.#mappingOf(model, models)]))
  }

  #mappingOf (model: Model, models: readonly Model[]): TableMapping {
    const { database } = this.#description
    const name = optionNameOf(model)
    const found = this.#modelNamed(name)
    if (found === undefined) {
      throw prismaMismatch(model.table, 'has no such model', prismaModel(database, model, models))
    }
    const table = found.dbName ?? this.#keyOf(name) ?? model.table
    if ((found.schema ?? undefined) !== this.schema) {
      throw FST_USERS_TABLE_MISMATCH([table, 'its Prisma model is in another schema than that of the users'])
    }
    const problems: string[] = []
    const columns: [string, string][] = []
    // the dialect does not matter for the names of columns
    const made = makeTable(model, postgresDialect, {})
    for (const column of made.columns) {
      const field = prismaFieldOf(found, column.field)
      const names = { name: field?.name ?? camelCase(column.field), column: columnNameOf(field) ?? column.name }
      const line = `  ${fieldText(database, made, column, names)}`
      if (field !== undefined) columns.push([column.field, names.column])
      if (field === undefined && column.definition.optional !== true) problems.push(line)
      if (field !== undefined && !isFitting(field, column.definition)) {
        problems.push(`${line} // its type cannot store values of type ${column.definition.type}`)
      }
    }
    if (problems.length > 0) {
      throw prismaMismatch(table, `needs other fields in the model ${this.#keyOf(name) ?? name}`, problems.join('\n'))
    }
    return { table, columns: Object.fromEntries(columns) }
  }

  #modelNamed (name: string): PrismaModel | undefined {
    const key = this.#keyOf(name)
    return key === undefined ? undefined : this.#description.models[key]
  }

  /** Returns the name in Prisma. Case and `_` do not matter, so `AccessToken` is the model `accesstoken`. */
  #keyOf (name: string): string | undefined {
    const keys = Object.keys(this.#description.models)
    const given = this.#names[name]
    return given === undefined
      ? keys.find((key) => foldModelName(key) === foldModelName(name))
      : keys.find((key) => key === given)
  }
}

function prismaFieldOf ({ fields }: PrismaModel, field: string): PrismaField | undefined {
  const columns = fields.filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  return (
    columns.find(({ name }) => name === field) ??
    columns.find(({ name }) => name === camelCase(field)) ??
    columns.find(({ dbName }) => dbName === field)
  )
}

function columnNameOf (field: PrismaField | undefined): string | undefined {
  return field?.dbName ?? field?.name
}

function isFitting ({ kind, type }: PrismaField, { type: stored, id }: Field): boolean {
  if (kind === 'enum') return stored === 'text'
  if (stored !== 'id') return FITTING[stored].includes(type)
  return id?.storage === 'integer' ? FITTING.integer.includes(type) : type === 'String'
}

function foldModelName (name: string): string {
  return name.replaceAll('_', '').toLowerCase()
}

function prismaMismatch (table: string, reason: string, lines: string): Error {
  return FST_USERS_TABLE_MISMATCH([table, `the Prisma schema ${reason}:\n${lines}`])
}
