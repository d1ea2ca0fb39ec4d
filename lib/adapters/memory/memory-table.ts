import type { Row, Where } from '../../contracts/database-adapter.js'
import type { Field, Model } from '../../contracts/models.js'
import { FST_USERS_UNIQUE_VIOLATION } from '../../errors.js'
import { eachCondition, type Operator } from '../shared/conditions.js'
import { invalidArgument } from '../shared/errors.js'
import { primaryKeyOf } from '../shared/model-registry.js'
import { typeCheckOf, type TypeCheck, checkComparable, checkWrite, isWellFormed, newValueOf } from '../shared/values.js'
import { compareKeys, matchesComparison, type Key, comparisonKeyOf } from '../shared/compare.js'
import { GroupIndex } from './group-index.js'

interface Condition {
  field: string
  operator: Operator
  fold: boolean
  keys: readonly (Key | null)[]
}
interface Column {
  name: string
  field: Field
  accepts: TypeCheck
}

/** The rows of one model. Stored rows are never modified, only replaced. Callers receive copies. */
export class MemoryTable {
  readonly model: Model
  readonly primaryKey: string
  readonly columns: ReadonlyMap<string, Column>
  /** The columns whose values are objects, which callers could change. */
  readonly #objects: readonly Column[]
  readonly #indexes: readonly GroupIndex[]
  readonly #rows = new Set<Row>()
  #lastId = 0

  constructor (model: Model) {
    this.model = model
    this.primaryKey = primaryKeyOf(model).name
    this.columns = new Map(
      Object.entries(model.fields).map(([name, field]) => [name, { name, field, accepts: typeCheckOf(field) }])
    )
    this.#objects = [...this.columns.values()].filter(({ field }) => field.type === 'time' || field.type === 'json')
    const plain = [
      ...(model.index ?? []),
      ...[...this.columns.values()].filter(({ field }) => field.references !== undefined).map(({ name }) => [name])
    ]
    this.#indexes = [[this.primaryKey], ...(model.unique ?? [])]
      .map((fields) => new GroupIndex(model, fields, true))
      .concat(plain.map((fields) => new GroupIndex(model, fields, false)))
  }

  /** Returns a checked copy of a new row with all fields and an id. */
  complete (row: Row): Row {
    for (const name in row) this.column(name)
    const stored: Row = {}
    for (const column of this.columns.values()) {
      const value =
        column.name === this.primaryKey
          ? (row[column.name] ?? this.#generateId(column.field))
          : newValueOf(column.field, row[column.name])
      stored[column.name] = this.store(column, value)
    }
    const id = stored[this.primaryKey]
    if (typeof id === 'number' && id > this.#lastId) this.#lastId = id
    return stored
  }

  /** Returns a checked copy of a value. */
  store ({ name, field, accepts }: Column, value: unknown): unknown {
    checkWrite(this.model, name, field, accepts, value)
    if (value instanceof Date) return new Date(value)
    return field.type === 'json' && value !== null ? JSON.parse(JSON.stringify(value)) : value
  }

  /** Returns a copy of a stored row for the caller. */
  copy (row: Row): Row {
    const copy = { ...row }
    for (const { name, field } of this.#objects) {
      const value = copy[name]
      if (value instanceof Date) copy[name] = new Date(value)
      else if (field.type === 'json') copy[name] = structuredClone(value)
    }
    return copy
  }

  /**
   * Returns all matching rows. If conditions ignore case, the rows with exactly the same text come first, then the
   * others by primary key.
   */
  find (where: Where): Row[] {
    const conditions: Condition[] = []
    const given: Row = {}
    eachCondition(this.model.name, where, (name, operator, value) => {
      const { field, accepts } = this.column(name)
      const fold = field.ignoreCase === true && (operator === '=' || operator === 'in')
      const values: readonly unknown[] = operator === 'null' ? [] : Array.isArray(value) ? value : [value]
      for (const one of values) checkComparable(this.model, name, field, accepts, one)
      if (operator === '=') given[name] = value
      conditions.push({ field: name, operator, fold, keys: values.map((one) => lookUpKey(one, fold)) })
    })
    const found: Row[] = []
    for (const row of this.#candidates(given)) {
      if (conditions.every((condition) => isFulfilled(condition, row))) found.push(row)
    }
    return found.length > 1 ? this.#sortExactFirst(found, conditions, given) : found
  }

  /** Returns the rows whose `field` equals `id`. */
  referring (field: string, id: unknown): Row[] {
    return [...this.#candidates({ [field]: id })].filter((row) => row[field] === id)
  }

  /** Replaces old rows by new ones. Throws `FST_USERS_UNIQUE_VIOLATION` for a duplicate, and then changes nothing. */
  replace (old: readonly Row[], fresh: readonly Row[]): void {
    for (const row of old) this.#unlink(row)
    const linked: Row[] = []
    for (const row of fresh) {
      const violated = this.#indexes.find((index) => index.unique && (index.find(row)?.size ?? 0) > 0)
      if (violated !== undefined) {
        for (const one of linked) this.#unlink(one)
        for (const one of old) this.#link(one)
        throw FST_USERS_UNIQUE_VIOLATION([violated.fields.join(', ')], { fields: violated.fields })
      }
      this.#link(row)
      linked.push(row)
    }
  }

  /** Returns the column of a field. Throws `FST_USERS_INVALID_OPTION` for an unknown field. */
  column (name: string): Column {
    const column = this.columns.get(name)
    if (column === undefined) throw invalidArgument(this.model.name, name, 'there is no such field')
    return column
  }

  #candidates (given: Row): Iterable<Row> {
    for (const index of this.#indexes) {
      const rows = index.find(given)
      if (rows !== undefined) return rows
    }
    return this.#rows
  }

  #sortExactFirst (rows: Row[], conditions: readonly Condition[], given: Row): Row[] {
    const folded = conditions.filter(({ fold, operator }) => fold && operator === '=').map(({ field }) => field)
    const inexact = (row: Row): number => folded.filter((field) => row[field] !== given[field]).length
    return rows.sort(
      (one, other) =>
        inexact(one) - inexact(other) ||
        compareKeys(comparisonKeyOf(one[this.primaryKey], false), comparisonKeyOf(other[this.primaryKey], false))
    )
  }

  #generateId (field: Field): unknown {
    if (field.id?.generate !== undefined) return field.id.generate()
    return field.id?.storage === 'integer' ? this.#lastId + 1 : null
  }

  #link (row: Row): void {
    this.#rows.add(row)
    for (const index of this.#indexes) index.add(row)
  }

  #unlink (row: Row): void {
    this.#rows.delete(row)
    for (const index of this.#indexes) index.remove(row)
  }
}

/** Returns the key of a value; null for text that is not well-formed Unicode, which no row can contain. */
function lookUpKey (value: unknown, fold: boolean): Key | null {
  return typeof value === 'string' && !isWellFormed(value) ? null : comparisonKeyOf(value, fold)
}

function isFulfilled ({ field, operator, fold, keys }: Condition, row: Row): boolean {
  if (operator === 'null') return row[field] === null
  return matchesComparison(comparisonKeyOf(row[field], fold), operator, keys)
}
