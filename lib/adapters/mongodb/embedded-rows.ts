import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { invalidArgument } from '../shared/errors.js'
import type { MongoDocument } from './driver.js'
import { allOf, type Filter, type Query, readWhere } from './filter.js'
import type { IdCounters } from './id-counters.js'
import { decodeDocument, type Layout, projectionOf, type StoredField, uniqueGroupsOf } from './layout.js'
import {
  completeRow,
  convertWriteErrors,
  duplicateFieldsError,
  encodeChanges,
  groupSetEverywhere,
  type ModelRows,
  readPage
} from './model-rows.js'
import type { Operations } from './operations.js'

/** The layout of rows that are stored in an array of their user's document. */
export type ListLayout = Layout & Required<Pick<Layout, 'embedded'>>

/** One array element, by the name of its fields, and the primary key of the document that contains it. */
interface LocatedElement {
  owner: unknown
  element: MongoDocument
}

/** A group of unique fields, and a filter that matches array elements with the same values. */
interface UniqueCheck {
  readonly fields: readonly StoredField[]
  readonly sameValues: Filter
}

/** Rows that are stored in an array of their user's document. Each row is changed by a separate atomic operation. */
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
    const { element, key, stored } = await this.buildElement(row)
    const ownerFilter = { [owner.primaryKey.path]: { $eq: key } }
    const checks = [[layout.primaryKey], ...uniqueGroupsOf(layout)].flatMap((fields) =>
      this.#uniqueChecks(fields, element)
    )
    const filter = allOf([ownerFilter, ...this.#noDuplicates(checks)])
    const update = { $push: { [list]: element } }
    const count = await convertWriteErrors(layout, () => this.#operations.update(filter, update, { single: true }))
    if (count === 0) throw await this.#insertError(ownerFilter, checks)
    return stored
  }

  /** Returns the array element for a new row, the key of the user's document, and the row as it will be read. */
  async buildElement (row: Row): Promise<{ element: MongoDocument; key: unknown; stored: Row }> {
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
      ...this.#unwindStages(query, after),
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
      ...this.#unwindStages(query),
      { $limit: 1 },
      { $project: { ...projectionOf(owner), ...projectionOf(this.layout), [owner.primaryKey.path]: 1 } }
    ])
    return found === undefined ? null : { row: decodeDocument(this.layout, found), user: decodeDocument(owner, found) }
  }

  async update (where: Where, changes: Changes): Promise<number> {
    const { layout } = this
    const encoded = encodeChanges(layout, changes)
    const [counted] = encoded.steps.keys()
    if (counted !== undefined) {
      throw invalidArgument(layout.model.name, counted.field, 'cannot be incremented: its rows are array elements')
    }
    const query = readWhere(layout, where)
    const found = await this.#findElements(query)
    const group = found.length > 1 ? groupSetEverywhere(layout, encoded) : undefined
    if (group !== undefined) throw duplicateFieldsError(group)
    let count = 0
    for (const one of found) count += encoded.set.size === 0 ? 1 : await this.#updateElement(one, query, encoded.set)
    return count
  }

  async delete (where: Where): Promise<number> {
    const { list } = this.layout.embedded
    const query = readWhere(this.layout, where)
    let count = 0
    for (const one of await this.#findElements(query)) {
      const element = this.#elementFilter(one, query)
      count += await this.#operations.update(
        allOf([this.#ownerFilter(one), { [list]: { $elemMatch: element } }]),
        { $pull: { [list]: element } },
        { single: true }
      )
    }
    return count
  }

  /** Changes one row if it still matches the conditions. Returns the number of changed rows. */
  async #updateElement (one: LocatedElement, query: Query, set: ReadonlyMap<StoredField, unknown>): Promise<number> {
    const { layout } = this
    const { list } = layout.embedded
    const { name: key } = layout.primaryKey
    const values = Object.fromEntries([...set].map(([{ name }, value]) => [name, value]))
    const touched = uniqueGroupsOf(layout).filter((fields) => fields.some((field) => set.has(field)))
    const checks = touched.flatMap((fields) => this.#uniqueChecks(fields, { ...one.element, ...values }))
    const others = checks.map(({ fields, sameValues }) => ({
      fields,
      sameValues: { ...sameValues, [key]: { $ne: one.element[key] } }
    }))
    const element = this.#elementFilter(one, query)
    const target = [this.#ownerFilter(one), { [list]: { $elemMatch: element } }]
    const filter = allOf([...target, ...this.#noDuplicates(others)])
    const $set = Object.fromEntries(Object.entries(values).map(([name, value]) => [`${list}.$[row].${name}`, value]))
    const arrayFilters = [
      Object.fromEntries(Object.entries(element).map(([name, condition]) => [`row.${name}`, condition]))
    ]
    const count = await convertWriteErrors(layout, () =>
      this.#operations.update(filter, { $set }, { single: true, arrayFilters })
    )
    if (count === 0) await this.#throwIfTaken(allOf(target), others)
    return count
  }

  /** Returns the matching elements, with their unique fields only. */
  async #findElements (query: Query): Promise<LocatedElement[]> {
    if (query.never) return []
    const { layout } = this
    const { list, reference } = layout.embedded
    const paths = [reference, layout.primaryKey, ...uniqueGroupsOf(layout).flat()].map(({ path }) => [path, 1] as const)
    const documents = (await this.#operations.aggregate([
      ...this.#unwindStages(query),
      { $project: { _id: 0, ...Object.fromEntries(paths) } }
    ])) as MongoDocument[]
    // after $unwind, the path of the array holds one element
    return documents.map((document) => ({ owner: document[reference.path], element: document[list] as MongoDocument }))
  }

  /** Returns the first stages of every read: they select documents by index, then their matching elements. */
  #unwindStages (query: Query, more: readonly MongoDocument[] = []): MongoDocument[] {
    const { list, reference } = this.layout.embedded
    const element = this.#elementConditions(query)
    const ownerFilter = query.filter[reference.path]
    const first = allOf([
      ownerFilter === undefined ? {} : { [reference.path]: ownerFilter },
      Object.keys(element).length === 0 ? {} : { [list]: { $elemMatch: element } }
    ])
    return [{ $match: first }, { $unwind: `$${list}` }, { $match: allOf([query.filter, ...more]) }]
  }

  /** Returns the conditions on an element, by the name of its fields. */
  #elementConditions ({ filter }: Query): Filter {
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

  #elementFilter ({ element }: LocatedElement, query: Query): Filter {
    const { name } = this.layout.primaryKey
    return { ...this.#elementConditions(query), [name]: { $eq: element[name] } }
  }

  #ownerFilter ({ owner }: LocatedElement): Filter {
    return { [this.layout.embedded.reference.path]: { $eq: owner } }
  }

  /**
   * Returns the check of a unique group; no check if a value is null. A unique index of MongoDB compares different
   * documents only: elements of one document need this check.
   */
  #uniqueChecks (fields: readonly StoredField[], element: MongoDocument): UniqueCheck[] {
    const values = fields.map(({ name }) => [name, element[name] ?? null] as const)
    return values.some(([, value]) => value === null)
      ? []
      : [{ fields, sameValues: Object.fromEntries(values.map(([name, value]) => [name, { $eq: value }])) }]
  }

  /** Returns filters that match documents without a duplicate. */
  #noDuplicates (checks: readonly UniqueCheck[]): MongoDocument[] {
    const { list } = this.layout.embedded
    return checks.map(({ sameValues }) => ({ [list]: { $not: { $elemMatch: sameValues } } }))
  }

  /** Returns the reason why no element was added: a duplicate, or a missing user. */
  async #insertError (ownerFilter: MongoDocument, checks: readonly UniqueCheck[]): Promise<Error> {
    await this.#throwIfTaken(ownerFilter, checks)
    return FST_USERS_TABLE_MISMATCH([
      this.layout.collection,
      `there is no user document with the user_id of the new ${this.layout.model.name} row`
    ])
  }

  async #throwIfTaken (ownerFilter: MongoDocument, checks: readonly UniqueCheck[]): Promise<void> {
    const { list } = this.layout.embedded
    for (const { fields, sameValues } of checks) {
      const [clash] = await this.#operations.find(allOf([ownerFilter, { [list]: { $elemMatch: sameValues } }]), {
        projection: { _id: 1 },
        limit: 1
      })
      if (clash !== undefined) throw duplicateFieldsError(fields)
    }
  }
}
