import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { isUsersError } from '../../errors.js'
import type { BsonTypes, MongoDocument } from './driver.js'
import { findTakenGroup } from './duplicates.js'
import { allOf, CASELESS, caselessFilter, matchesIgnoringCase, type Query, readWhere } from './filter.js'
import type { IdCounters } from './id-counters.js'
import { decodeDocument, storedFieldOf, usesDocumentId, type Layout, projectionOf, type StoredField } from './layout.js'
import {
  completeRow,
  encodeChanges,
  type EncodedChanges,
  sortExactFirst,
  type ModelRows,
  readPage,
  groupSetEverywhere,
  duplicateFieldsError,
  convertWriteErrors
} from './model-rows.js'
import type { Operations } from './operations.js'
import { documentChanges } from './stored-values.js'
import { increment, pipelineOf, updateOf } from './updates.js'

/** Rows of another model that are deleted together with the row that their field refers to. */
export interface Dependents {
  readonly rows: SeparateRows
  readonly field: StoredField
}

/** The BSON types, counters and layouts of other models that the rows of a model need. */
export interface RelatedModels {
  readonly bson: BsonTypes
  readonly counters: IdCounters
  /**
   * Returns the layout of the users that `user_id` refers to, and the operations on them. Throws
   * `FST_USERS_INVALID_OPTION` without `user_id`.
   */
  users(): { readonly layout: Layout; readonly operations: Operations }
  /** Returns the separate rows of other models that refer to this model. */
  dependents(): readonly Dependents[]
}

/** The arrays to insert with a new document, by name, and the layouts of the rows in them. */
export interface EmbeddedLists {
  readonly lists: MongoDocument
  readonly layouts: readonly Layout[]
}

type BuildLists = (stored: Row) => Promise<EmbeddedLists>

const ID_ATTEMPTS = 5
const noLists: BuildLists = async () => ({ lists: {}, layouts: [] })

/** Rows that are stored as separate documents. */
export class SeparateRows implements ModelRows {
  readonly layout: Layout
  readonly #operations: Operations
  readonly #related: RelatedModels

  constructor (layout: Layout, operations: Operations, related: RelatedModels) {
    this.layout = layout
    this.#operations = operations
    this.#related = related
  }

  /** Stores a row, and in the same operation the arrays that `buildLists` returns for its document. */
  async create (row: Row, buildLists: BuildLists = noLists): Promise<Row> {
    const { layout } = this
    const values = completeRow(layout, row)
    const { set: document } = documentChanges(layout, values)
    if (!usesDocumentId(layout)) document['_id'] = new this.#related.bson.ObjectId()
    return await (values.has(layout.primaryKey)
      ? this.#insert(document, buildLists)
      : this.#insertCounted(document, buildLists))
  }

  async findOne (where: Where): Promise<Row | null> {
    const { layout } = this
    const query = readWhere(layout, where)
    if (query.never) return null
    const projection = projectionOf(layout)
    if (query.caseless.length === 0 && query.exact.size === 0) {
      const [document] = await this.#operations.find(query.filter, { projection, limit: 1 })
      return document === undefined ? null : decodeDocument(layout, document)
    }
    const documents =
      query.caseless.length > 0 && Object.keys(query.filter).length === 0
        ? await this.#findCaseless(query, projection)
        : await this.#findByExactFilter(query, projection)
    const rows = documents.map((document) => decodeDocument(layout, document))
    return sortExactFirst(layout, rows, query.exact)[0] ?? null
  }

  async findMany (where: Where, options: FindManyOptions): Promise<Row[]> {
    const { layout } = this
    const query = readWhere(layout, where)
    const { sort, limit, after, never } = readPage(layout, options)
    const filter = never ? null : await this.#exactFilter(query)
    if (filter === null) return []
    const documents = await this.#operations.find(allOf([filter, ...after]), {
      projection: projectionOf(layout),
      sort,
      limit
    })
    return documents.map((document) => decodeDocument(layout, document))
  }

  async findWithUser (where: Where): Promise<{ row: Row; user: Row } | null> {
    const { layout } = this
    const { layout: users, operations } = this.#related.users()
    const filter = await this.#exactFilter(readWhere(layout, where))
    if (filter === null) return null
    if (!layout.isComplete) return await this.#findInTwoSteps(filter, users, operations)
    const localField = `row.${storedFieldOf(layout, 'user_id').path}`
    const [found] = (await this.#operations.aggregate([
      { $match: filter },
      { $project: { _id: 0, row: '$$ROOT' } },
      { $lookup: { from: users.collection, localField, foreignField: users.primaryKey.path, as: 'user' } },
      { $unwind: '$user' },
      { $limit: 1 },
      { $project: { ...projectionOf(layout, 'row.'), ...projectionOf(users, 'user.') } }
    ])) as { row: object; user: object }[] // the shape that $project returns
    return found === undefined
      ? null
      : { row: decodeDocument(layout, found.row), user: decodeDocument(users, found.user) }
  }

  async update (where: Where, changes: Changes): Promise<number> {
    const { layout } = this
    const encoded = encodeChanges(layout, changes)
    const query = readWhere(layout, where)
    const filter = await this.#exactFilter(query)
    if (filter === null) return 0
    if (encoded.set.size + encoded.steps.size === 0) return await this.#count(filter)
    const group = query.single ? undefined : groupSetEverywhere(layout, encoded)
    const target = group === undefined ? filter : await this.#singleDocumentFilter(filter, group)
    return target === null ? 0 : await this.#change(target, encoded, query.single || group !== undefined)
  }

  async delete (where: Where): Promise<number> {
    const query = readWhere(this.layout, where)
    const filter = await this.#exactFilter(query)
    return filter === null ? 0 : await this.remove(filter, query.single)
  }

  /**
   * Deletes documents and their dependent rows. Dependent rows are deleted first, so that a failure leaves no rows of
   * a deleted user, and again afterwards, in case new ones were inserted in the meantime.
   */
  async remove (filter: MongoDocument, single = false): Promise<number> {
    const dependents = this.#related.dependents()
    if (dependents.length === 0) return await this.#operations.remove(filter, { single })
    const { path } = this.layout.primaryKey
    const documents = (await this.#operations.find(filter, { projection: { [path]: 1 } })) as MongoDocument[]
    const keys = documents.map((document) => document[path])
    if (keys.length === 0) return 0
    const removeDependents = async (): Promise<void> => {
      for (const { rows, field } of dependents) await rows.remove({ [field.path]: { $in: keys } })
    }
    await removeDependents()
    const count = await this.#operations.remove(allOf([filter, { [path]: { $in: keys } }]), { single })
    await removeDependents()
    return count
  }

  async #insert (document: MongoDocument, buildLists: BuildLists): Promise<Row> {
    const { layout } = this
    const stored = decodeDocument(layout, document)
    const { lists, layouts } = await buildLists(stored)
    await convertWriteErrors(layout, () => this.#operations.insert({ ...document, ...lists }), {
      inside: layouts,
      findTaken: () => findTakenGroup(layout, this.#operations, document)
    })
    return stored
  }

  /** Inserts a document with the next id of the counter. Retries if the id exists, because rows may bring their ids. */
  async #insertCounted (document: MongoDocument, buildLists: BuildLists): Promise<Row> {
    const { layout } = this
    const { counters } = this.#related
    const { path, field, codec } = layout.primaryKey
    for (let attempt = 1; ; attempt++) {
      try {
        const id = codec.encode(await counters.next(layout.collection))
        return await this.#insert({ ...document, [path]: id }, buildLists)
      } catch (error) {
        if (attempt === ID_ATTEMPTS || !isUsersError(error) || error.fields?.join() !== field) throw error
        const [last] = (await this.#operations.find(
          {},
          { projection: { [path]: 1 }, sort: { [path]: -1 }, limit: 1 }
        )) as MongoDocument[]
        await counters.raise(layout.collection, last?.[path])
      }
    }
  }

  async #change (filter: MongoDocument, { set, steps }: EncodedChanges, single: boolean): Promise<number> {
    const { layout } = this
    const operations = this.#operations
    const changes = documentChanges(layout, set)
    const change = (): Promise<number> => {
      if (steps.size === 0) return operations.update(filter, updateOf(changes), { single })
      return layout.isComplete
        ? operations.update(filter, pipelineOf(changes, steps), { single })
        : increment(operations, filter, { changes, steps, single })
    }
    return await convertWriteErrors(layout, change, {
      findTaken: async () => {
        const [document] = (await operations.find(filter, { limit: 1 })) as MongoDocument[]
        if (document === undefined) return undefined
        const changed = { ...document, ...changes.set }
        return await findTakenGroup(layout, operations, changed, { _id: { $ne: document['_id'] } })
      }
    })
  }

  /** Returns a row and its user on a server without joins. */
  async #findInTwoSteps (
    filter: MongoDocument,
    users: Layout,
    operations: Operations
  ): Promise<{ row: Row; user: Row } | null> {
    const { layout } = this
    const [found] = (await this.#operations.find(filter, {
      projection: projectionOf(layout),
      limit: 1
    })) as MongoDocument[]
    if (found === undefined) return null
    const key = found[storedFieldOf(layout, 'user_id').path]
    const [user] = await operations.find(
      { [users.primaryKey.path]: { $eq: key } },
      { projection: projectionOf(users), limit: 1 }
    )
    return user === undefined ? null : { row: decodeDocument(layout, found), user: decodeDocument(users, user) }
  }

  async #count (filter: MongoDocument): Promise<number> {
    // the shape that $count returns
    const [found] = (await this.#operations.aggregate([{ $match: filter }, { $count: 'count' }])) as { count: number }[]
    return found?.count ?? 0
  }

  /**
   * Returns a filter for the only matching document; null if there is none. Throws `FST_USERS_UNIQUE_VIOLATION` if
   * several match: the server would change some of them before it finds the duplicate.
   */
  async #singleDocumentFilter (filter: MongoDocument, group: readonly StoredField[]): Promise<MongoDocument | null> {
    const [one, other] = (await this.#operations.find(filter, { projection: { _id: 1 }, limit: 2 })) as MongoDocument[]
    if (other !== undefined) throw duplicateFieldsError(group)
    return one === undefined ? null : allOf([filter, { _id: { $eq: one['_id'] } }])
  }

  /**
   * Returns a filter that compares bytes only. Conditions that ignore case are replaced by the ids and the stored
   * spellings of the documents that match them. Returns null if no document matches.
   */
  async #exactFilter (query: Query): Promise<MongoDocument | null> {
    const { caseless, filter, never } = query
    if (never) return null
    if (caseless.length === 0) return filter
    const documents = (await this.#findCaseless(
      query,
      Object.fromEntries(['_id', ...caseless.map(({ field }) => field.path)].map((path) => [path, 1]))
    )) as MongoDocument[]
    if (documents.length === 0) return null
    const spellings = caseless.map(({ field: { path } }) => {
      return [path, { $in: documents.map((document) => document[path]) }]
    })
    return allOf([filter, { _id: { $in: documents.map(({ _id: id }) => id) }, ...Object.fromEntries(spellings) }])
  }

  async #findByExactFilter (query: Query, projection: MongoDocument): Promise<object[]> {
    const filter = await this.#exactFilter(query)
    return filter === null ? [] : await this.#operations.find(filter, { projection })
  }

  /** Returns the documents that match the conditions that ignore case. */
  async #findCaseless ({ caseless }: Query, projection: MongoDocument): Promise<object[]> {
    const documents = (await this.#operations.find(caselessFilter(caseless), {
      projection,
      collation: CASELESS
    })) as MongoDocument[]
    return documents.filter((document) => caseless.every((one) => matchesIgnoringCase(one, document[one.field.path])))
  }
}
