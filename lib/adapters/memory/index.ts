import type {
  Changes,
  DatabaseAdapter,
  FindManyOptions,
  NewRow,
  Row,
  Where
} from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { invalidArgument } from '../shared/errors.js'
import { ModelRegistry, userModelOf } from '../shared/model-registry.js'
import { resolveRow } from '../shared/row-references.js'
import { incrementOf } from '../shared/values.js'
import { compareKeys, comparisonKeyOf } from '../shared/compare.js'
import { MemoryTable } from './memory-table.js'

/** Creates an adapter that stores everything in the memory of this process, for tests and first steps. */
export function memory (): DatabaseAdapter {
  return new MemoryAdapter()
}

class MemoryAdapter implements DatabaseAdapter {
  readonly inProcess = true
  readonly #models = new ModelRegistry()
  readonly #tables = new Map<string, MemoryTable>()

  define (model: Model): void {
    this.#models.define(model)
    if (!this.#tables.has(model.name)) this.#tables.set(model.name, new MemoryTable(model))
  }

  async open (): Promise<void> {}

  async create (model: Model, row: Row): Promise<Row> {
    const { table, stored } = this.#insert(model, row)
    return table.copy(stored)
  }

  async createAll (rows: readonly NewRow[]): Promise<Row[]> {
    const inserted: { table: MemoryTable; stored: Row }[] = []
    try {
      for (const [position, [model]] of rows.entries()) {
        const earlier = inserted.map(({ stored }) => stored)
        inserted.push(this.#insert(model, resolveRow(rows, position, earlier)))
      }
    } catch (error) {
      for (const { table, stored } of inserted) table.replace([stored], [])
      throw error
    }
    return inserted.map(({ table, stored }) => table.copy(stored))
  }

  findOne (model: Model, where: Where): Row | null {
    const table = this.#table(model.name)
    const [row] = table.find(where)
    return row === undefined ? null : table.copy(row)
  }

  async findMany (model: Model, where: Where, { limit, order, after }: FindManyOptions): Promise<Row[]> {
    const table = this.#table(model.name)
    const { primaryKey } = table
    const sort = order ?? primaryKey
    if (table.column(sort).field.type === 'json') {
      throw invalidArgument(model.name, sort, 'is a json field, which has no order')
    }
    if (!Number.isSafeInteger(limit) || limit < 0) throw invalidArgument(model.name, '', '`limit` must be a whole number')
    const compare = (one: Row, other: Row): number =>
      compareKeys(comparisonKeyOf(one[sort], false), comparisonKeyOf(other[sort], false)) ||
      compareKeys(comparisonKeyOf(one[primaryKey], false), comparisonKeyOf(other[primaryKey], false))
    if (after !== undefined) {
      for (const field of [sort, primaryKey]) {
        if (after[field] === undefined) throw invalidArgument(model.name, field, 'must be set in `after`')
      }
    }
    const rows = table
      .find(where)
      .filter((row) => after === undefined || compare(row, after) > 0)
      .sort(compare)
    return rows.slice(0, limit).map((row) => table.copy(row))
  }

  async update (model: Model, where: Where, changes: Changes): Promise<number> {
    const table = this.#table(model.name)
    const old = table.find(where)
    const fresh = old.map((row) => applyRowChanges(table, row, changes))
    if (old.length === 0) applyRowChanges(table, {}, changes)
    for (const [position, row] of fresh.entries()) this.#checkChange(table, old[position], row)
    table.replace(old, fresh)
    return old.length
  }

  async delete (model: Model, where: Where): Promise<number> {
    const table = this.#table(model.name)
    const rows = table.find(where)
    table.replace(rows, [])
    for (const row of rows) this.#cascade(table, row)
    return rows.length
  }

  findWithUser (model: Model, where: Where): { row: Row; user: Row } | null {
    const table = this.#table(model.name)
    const users = this.#table(userModelOf(model))
    for (const row of table.find(where)) {
      const [user] = users.referring(users.primaryKey, row['user_id'])
      if (user !== undefined) return { row: table.copy(row), user: users.copy(user) }
    }
    return null
  }

  #insert (model: Model, row: Row): { table: MemoryTable; stored: Row } {
    const table = this.#table(model.name)
    const stored = table.complete(row)
    this.#checkReferences(table, stored)
    table.replace([], [stored])
    return { table, stored }
  }

  #table (name: string): MemoryTable {
    const table = this.#tables.get(name)
    if (table === undefined) throw invalidArgument(name, '', 'there is no such model; define it before open()')
    return table
  }

  /** Throws `FST_USERS_TABLE_MISMATCH` if a referenced row does not exist, like a foreign key. */
  #checkReferences (table: MemoryTable, row: Row): void {
    for (const { name, field } of table.columns.values()) {
      if (field.references === undefined || row[name] === null) continue
      const target = this.#table(field.references)
      if (target.referring(target.primaryKey, row[name]).length === 0) {
        throw FST_USERS_TABLE_MISMATCH([table.model.name, `there is no row that ${name} refers to`])
      }
    }
  }

  /** Throws `FST_USERS_TABLE_MISMATCH` if a change breaks a reference, like a foreign key. */
  #checkChange (table: MemoryTable, old: Row | undefined, fresh: Row): void {
    this.#checkReferences(table, fresh)
    const id = old?.[table.primaryKey]
    if (id === fresh[table.primaryKey]) return
    for (const { other, field } of this.#references(table)) {
      if (other.referring(field, id).length > 0) {
        throw FST_USERS_TABLE_MISMATCH([table.model.name, `${other.model.name}.${field} refers to the row`])
      }
    }
  }

  #cascade (table: MemoryTable, row: Row): void {
    for (const { other, field } of this.#references(table)) {
      const rows = other.referring(field, row[table.primaryKey])
      other.replace(rows, [])
      for (const one of rows) this.#cascade(other, one)
    }
  }

  #references (table: MemoryTable): { other: MemoryTable; field: string }[] {
    return [...this.#tables.values()].flatMap((other) =>
      [...other.columns.values()]
        .filter(({ field }) => field.references === table.model.name)
        .map(({ name }) => ({ other, field: name }))
    )
  }
}

function applyRowChanges (table: MemoryTable, row: Row, changes: Changes): Row {
  const fresh = { ...row }
  for (const [name, change] of Object.entries(changes)) {
    const column = table.column(name)
    if (change === undefined) continue
    const step = incrementOf(table.model, name, column.field, column.accepts, change)
    if (step === undefined) fresh[name] = table.store(column, change)
    else if (typeof row[name] === 'number') fresh[name] = table.store(column, row[name] + step)
  }
  return fresh
}
