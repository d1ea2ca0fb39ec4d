import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { misuse } from '../shared/errors.js'
import type { MongoDocument } from './driver.js'
import { type Filter, type Query, readWhere } from './filter.js'
import type { IdCounters } from './id-counters.js'
import { decodeDocument, groupsOf, type Layout, projectionOf, type StoredField } from './layout.js'
import { completeRow, encodeChanges, type ModelRows, readPage, sharedGroup, violation, write } from './model-rows.js'
import type { Operations } from './operations.js'
import { all } from './separate-rows.js'

/** A layout of rows in a list. */
export type ListLayout = Layout & Required<Pick<Layout, 'embedded'>>

/** One row of a list: the key of the document that holds it, and its own values by name. */
interface Found {
  owner: unknown
  element: MongoDocument
}

/** Values that no other row may have, by name in the list. */
interface Guard {
  readonly fields: readonly StoredField[]
  readonly taken: Filter
}

/**
 * Rows that lie in a list inside of their user's document. Each is changed by one operation of its own, which names it.
 */
export class EmbeddedRows implements ModelRows {
  readonly layout: ListLayout
  readonly #operations: Operations
  readonly #counters: IdCounters

  constructor (layout: ListLayout, operations: Operations, counters: IdCounters) {
    this.layout = layout
    this.#operations = operations
    this.#counters = counters
  }

  async create (row: Row): Promise<Row> {
    const { layout } = this
    const { list, owner } = layout.embedded
    const { element, key, stored } = await this.elementOf(row)
    const holder = { [owner.primaryKey.path]: { $eq: key } }
    const guards = [[layout.primaryKey], ...groupsOf(layout)].flatMap((fields) => this.#guard(fields, element))
    const filter = all([holder, ...guards.map(({ taken }) => ({ [list]: { $not: { $elemMatch: taken } } }))])
    const count = await write(layout, () =>
      this.#operations.update(filter, { $push: { [list]: element } }, { single: true })
    )
    if (count === 0) throw await this.#reason(holder, guards)
    return stored
  }

  /** A new row as it lies in its list, with an id, and the key of the document that it names. */
  async elementOf (row: Row): Promise<{ element: MongoDocument; key: unknown; stored: Row }> {
    const { layout } = this
    const { list, reference } = layout.embedded
    const values = completeRow(layout, row)
    const { primaryKey } = layout
    if (!values.has(primaryKey)) {
      values.set(primaryKey, primaryKey.codec.encode(await this.#counters.next(`${layout.collection}.${list}`)))
    }
    const element = Object.fromEntries(
      layout.fields.filter((field) => field !== reference).map((field) => [field.name, values.get(field)])
    )
    const key = values.get(reference)
    return { element, key, stored: decodeDocument(layout, { [reference.path]: key, [list]: element }) }
  }

  async findOne (where: Where): Promise<Row | null> {
    const [row] = await this.findMany(where, { limit: 1 })
    return row ?? null
  }

  async findMany (where: Where, options: FindManyOptions): Promise<Row[]> {
    const query = readWhere(this.layout, where)
    const { sort, limit, after, never } = readPage(this.layout, options)
    if (never || query.never) return []
    const documents = await this.#operations.aggregate([
      ...this.#unwind(query, after),
      { $sort: sort },
      { $limit: limit },
      { $project: projectionOf(this.layout) }
    ])
    return documents.map((document) => decodeDocument(this.layout, document))
  }

  async findWithUser (where: Where): Promise<{ row: Row; user: Row } | null> {
    const { owner } = this.layout.embedded
    const query = readWhere(this.layout, where)
    if (query.never) return null
    const [found] = await this.#operations.aggregate([
      ...this.#unwind(query),
      { $limit: 1 },
      { $project: { ...projectionOf(owner), ...projectionOf(this.layout), [owner.primaryKey.path]: 1 } }
    ])
    return found === undefined ? null : { row: decodeDocument(this.layout, found), user: decodeDocument(owner, found) }
  }

  async update (where: Where, changes: Changes): Promise<number> {
    const { layout } = this
    const encoded = encodeChanges(layout, changes)
    const [counted] = encoded.steps.keys()
    if (counted !== undefined) throw misuse(layout.model.name, counted.field, 'lies in a list, where nothing counts up')
    const query = readWhere(layout, where)
    const found = await this.#find(query)
    const group = found.length > 1 ? sharedGroup(layout, encoded) : undefined
    if (group !== undefined) throw violation(group)
    let count = 0
    for (const one of found) count += encoded.set.size === 0 ? 1 : await this.#change(one, query, encoded.set)
    return count
  }

  async delete (where: Where): Promise<number> {
    const { list } = this.layout.embedded
    const query = readWhere(this.layout, where)
    let count = 0
    for (const one of await this.#find(query)) {
      const element = this.#elementFilter(one, query)
      count += await this.#operations.update(
        all([this.#holder(one), { [list]: { $elemMatch: element } }]),
        { $pull: { [list]: element } },
        { single: true }
      )
    }
    return count
  }

  /** Changes one row, if it still fulfils the conditions. */
  async #change (one: Found, query: Query, set: ReadonlyMap<StoredField, unknown>): Promise<number> {
    const { layout } = this
    const { list } = layout.embedded
    const { name: key } = layout.primaryKey
    const values = Object.fromEntries([...set].map(([{ name }, value]) => [name, value]))
    const touched = groupsOf(layout).filter((fields) => fields.some((field) => set.has(field)))
    const guards = touched.flatMap((fields) => this.#guard(fields, { ...one.element, ...values }))
    const others = guards.map(({ fields, taken }) => ({
      fields,
      taken: { ...taken, [key]: { $ne: one.element[key] } }
    }))
    const element = this.#elementFilter(one, query)
    const target = [this.#holder(one), { [list]: { $elemMatch: element } }]
    const filter = all([...target, ...others.map(({ taken }) => ({ [list]: { $not: { $elemMatch: taken } } }))])
    const $set = Object.fromEntries(Object.entries(values).map(([name, value]) => [`${list}.$[row].${name}`, value]))
    const arrayFilters = [
      Object.fromEntries(Object.entries(element).map(([name, condition]) => [`row.${name}`, condition]))
    ]
    const count = await write(layout, () => this.#operations.update(filter, { $set }, { single: true, arrayFilters }))
    if (count === 0) await this.#throwTaken(all(target), others)
    return count
  }

  /** Rows that fulfil conditions, with the values that must be unique. */
  async #find (query: Query): Promise<Found[]> {
    if (query.never) return []
    const { layout } = this
    const { list, reference } = layout.embedded
    const paths = [reference, layout.primaryKey, ...groupsOf(layout).flat()].map(({ path }) => [path, 1] as const)
    const documents = (await this.#operations.aggregate([
      ...this.#unwind(query),
      { $project: { _id: 0, ...Object.fromEntries(paths) } }
    ])) as MongoDocument[]
    // $unwind leaves one element
    return documents.map((document) => ({ owner: document[reference.path], element: document[list] as MongoDocument }))
  }

  /** The first stages of every read: documents that may hold such rows, then their rows alone. */
  #unwind (query: Query, more: readonly MongoDocument[] = []): MongoDocument[] {
    const { list, reference } = this.layout.embedded
    const element = this.#conditions(query)
    const holder = query.filter[reference.path]
    const first = all([
      holder === undefined ? {} : { [reference.path]: holder },
      Object.keys(element).length === 0 ? {} : { [list]: { $elemMatch: element } }
    ])
    return [{ $match: first }, { $unwind: `$${list}` }, { $match: all([query.filter, ...more]) }]
  }

  /** Conditions on a row by name in the list. */
  #conditions ({ filter }: Query): Filter {
    const {
      fields,
      embedded: { reference }
    } = this.layout
    return Object.fromEntries(
      fields.flatMap(({ name, path }) =>
        path === reference.path || filter[path] === undefined ? [] : [[name, filter[path]]]
      )
    )
  }

  #elementFilter ({ element }: Found, query: Query): Filter {
    const { name } = this.layout.primaryKey
    return { ...this.#conditions(query), [name]: { $eq: element[name] } }
  }

  #holder ({ owner }: Found): Filter {
    return { [this.layout.embedded.reference.path]: { $eq: owner } }
  }

  /** A null never clashes. An index sees to other documents, and not to one and the same. */
  #guard (fields: readonly StoredField[], element: MongoDocument): Guard[] {
    const values = fields.map(({ name }) => [name, element[name] ?? null] as const)
    return values.some(([, value]) => value === null)
      ? []
      : [{ fields, taken: Object.fromEntries(values.map(([name, value]) => [name, { $eq: value }])) }]
  }

  /** Why nothing was added: a clash, or there is no such user. */
  async #reason (holder: MongoDocument, guards: readonly Guard[]): Promise<Error> {
    await this.#throwTaken(holder, guards)
    return FST_USERS_TABLE_MISMATCH([this.layout.collection, `user_id of ${this.layout.model.name} names no document`])
  }

  async #throwTaken (holder: MongoDocument, guards: readonly Guard[]): Promise<void> {
    const { list } = this.layout.embedded
    for (const { fields, taken } of guards) {
      const [clash] = await this.#operations.find(all([holder, { [list]: { $elemMatch: taken } }]), {
        projection: { _id: 1 },
        limit: 1
      })
      if (clash !== undefined) throw violation(fields)
    }
  }
}
