import type { Row } from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { comparisonKeyOf, type Key } from '../shared/compare.js'

/** An index on a group of fields. It does not contain rows with a null in one of the fields. */
export class GroupIndex {
  readonly fields: readonly string[]
  readonly unique: boolean
  readonly #folds: readonly boolean[]
  readonly #rows = new Map<Key, Set<Row>>()

  constructor (model: Model, fields: readonly string[], unique: boolean) {
    this.fields = fields
    this.unique = unique
    this.#folds = fields.map((field) => model.fields[field]?.ignoreCase === true)
  }

  /** Returns the rows with these values, by field name; undefined if a value of the group is missing. */
  find (values: Row): ReadonlySet<Row> | undefined {
    const key = this.#key(values)
    return key === null ? undefined : (this.#rows.get(key) ?? none)
  }

  add (row: Row): void {
    const key = this.#key(row)
    if (key === null) return
    const rows = this.#rows.get(key)
    if (rows === undefined) this.#rows.set(key, new Set([row]))
    else rows.add(row)
  }

  remove (row: Row): void {
    const key = this.#key(row)
    if (key === null) return
    const rows = this.#rows.get(key)
    rows?.delete(row)
    if (rows?.size === 0) this.#rows.delete(key)
  }

  #key (values: Row): Key | null {
    const { fields } = this
    if (fields.length === 1) return this.#keyAt(0, values) // every guarded request looks up a primary key
    const keys = fields.map((_, position) => this.#keyAt(position, values))
    return keys.includes(null) ? null : JSON.stringify(keys)
  }

  #keyAt (position: number, values: Row): Key | null {
    return comparisonKeyOf(values[this.fields[position] ?? ''], this.#folds[position] === true)
  }
}

const none: ReadonlySet<Row> = new Set()
