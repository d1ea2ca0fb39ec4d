import type { Changes, FindManyOptions, Row, Where } from '../../contracts/database-adapter.js'
import { isUsersError } from '../../errors.js'
import type { BsonTypes, MongoDocument } from './driver.js'
import { CASELESS, foldedFilter, isMeant, type Query, readWhere } from './filter.js'
import type { IdCounters } from './id-counters.js'
import { decodeDocument, fieldOf, hasOwnKey, type Layout, projectionOf, type StoredField } from './layout.js'
import {
  completeRow,
  encodeChanges,
  type EncodedChanges,
  exactFirst,
  type ModelRows,
  readPage,
  sharedGroup,
  violation,
  write
} from './model-rows.js'
import type { Operations } from './operations.js'

/** Rows of another model that go with a row, and the field that names it. */
export interface Dependents {
  readonly rows: SeparateRows
  readonly field: StoredField
}

/** What the rows of a model need of their neighbours. */
export interface Neighbours {
  readonly bson: BsonTypes
  readonly counters: IdCounters
  /**
   * The layout of the users that `user_id` names. Throws `FST_USERS_INVALID_OPTION` for a model without that reference.
   */
  users(): Layout
  dependents(): readonly Dependents[]
}

/** Lists of rows that lie inside of a new document, by name, and the rows' layouts. */
export interface Lists {
  readonly lists: MongoDocument
  readonly layouts: readonly Layout[]
}

type Inside = (stored: Row) => Promise<Lists>

const ID_ATTEMPTS = 5
const noLists: Inside = async () => ({ lists: {}, layouts: [] })

/** Rows that are documents of their own. */
export class SeparateRows implements ModelRows {
  readonly layout: Layout
  readonly #operations: Operations
  readonly #neighbours: Neighbours

  constructor (layout: Layout, operations: Operations, neighbours: Neighbours) {
    this.layout = layout
    this.#operations = operations
    this.#neighbours = neighbours
  }

  /** Stores a row, and in the same step the lists that `inside` makes for its document. */
  async create (row: Row, inside: Inside = noLists): Promise<Row> {
    const { layout } = this
    const values = completeRow(layout, row)
    const document = Object.fromEntries([...values].map(([{ name }, value]) => [name, value]))
    if (!hasOwnKey(layout)) document['_id'] = new this.#neighbours.bson.ObjectId()
    return await (values.has(layout.primaryKey)
      ? this.#insert(document, inside)
      : this.#insertCounted(document, inside))
  }

  async findOne (where: Where): Promise<Row | null> {
    const { layout } = this
    const query = readWhere(layout, where)
    if (query.never) return null
    const projection = projectionOf(layout)
    if (query.folded.length === 0) {
      const [document] = await this.#operations.find(query.filter, { projection, limit: 1 })
      return document === undefined ? null : decodeDocument(layout, document)
    }
    const documents =
      Object.keys(query.filter).length === 0
        ? await this.#findCaseless(query, projection)
        : await this.#findNarrowed(query, projection)
    const exact = new Map(query.folded.flatMap(({ field, exact }) => (exact === null ? [] : [[field.field, exact]])))
    return (
      exactFirst(
        layout,
        documents.map((document) => decodeDocument(layout, document)),
        exact
      )[0] ?? null
    )
  }

  async findMany (where: Where, options: FindManyOptions): Promise<Row[]> {
    const { layout } = this
    const query = readWhere(layout, where)
    const { sort, limit, after, never } = readPage(layout, options)
    const filter = never ? null : await this.#narrow(query)
    if (filter === null) return []
    const documents = await this.#operations.find(all([filter, ...after]), {
      projection: projectionOf(layout),
      sort,
      limit
    })
    return documents.map((document) => decodeDocument(layout, document))
  }

  async findWithUser (where: Where): Promise<{ row: Row; user: Row } | null> {
    const { layout } = this
    const users = this.#neighbours.users()
    const filter = await this.#narrow(readWhere(layout, where))
    if (filter === null) return null
    const localField = `row.${fieldOf(layout, 'user_id').path}`
    const [found] = (await this.#operations.aggregate([
      { $match: filter },
      { $project: { _id: 0, row: '$$ROOT' } },
      { $lookup: { from: users.collection, localField, foreignField: users.primaryKey.path, as: 'user' } },
      { $unwind: '$user' },
      { $limit: 1 },
      { $project: { ...projectionOf(layout, 'row.'), ...projectionOf(users, 'user.') } }
    ])) as { row: object; user: object }[] // the pipeline makes them
    return found === undefined
      ? null
      : { row: decodeDocument(layout, found.row), user: decodeDocument(users, found.user) }
  }

  async update (where: Where, changes: Changes): Promise<number> {
    const { layout } = this
    const encoded = encodeChanges(layout, changes)
    const query = readWhere(layout, where)
    const filter = await this.#narrow(query)
    if (filter === null) return 0
    if (encoded.set.size + encoded.steps.size === 0) return await this.#count(filter)
    const group = query.single ? undefined : sharedGroup(layout, encoded)
    const target = group === undefined ? filter : await this.#only(filter, group)
    if (target === null) return 0
    return await write(layout, () =>
      this.#operations.update(target, updateOf(encoded), { single: query.single || group !== undefined })
    )
  }

  async delete (where: Where): Promise<number> {
    const query = readWhere(this.layout, where)
    const filter = await this.#narrow(query)
    return filter === null ? 0 : await this.remove(filter, query.single)
  }

  /**
   * Removes documents, and what goes with them: before, so that nothing of theirs outlives them, and what came
   * meanwhile after.
   */
  async remove (filter: MongoDocument, single = false): Promise<number> {
    const dependents = this.#neighbours.dependents()
    if (dependents.length === 0) return await this.#operations.remove(filter, { single })
    const { path } = this.layout.primaryKey
    const documents = (await this.#operations.find(filter, { projection: { [path]: 1 } })) as MongoDocument[]
    const keys = documents.map((document) => document[path])
    if (keys.length === 0) return 0
    const removeDependents = async (): Promise<void> => {
      for (const { rows, field } of dependents) await rows.remove({ [field.path]: { $in: keys } })
    }
    await removeDependents()
    const count = await this.#operations.remove(all([filter, { [path]: { $in: keys } }]), { single })
    await removeDependents()
    return count
  }

  async #insert (document: MongoDocument, inside: Inside): Promise<Row> {
    const { layout } = this
    const stored = decodeDocument(layout, document)
    const { lists, layouts } = await inside(stored)
    await write(layout, () => this.#operations.insert({ ...document, ...lists }), layouts)
    return stored
  }

  /** Counts an id up until it is free: rows may have come with ids of their own. */
  async #insertCounted (document: MongoDocument, inside: Inside): Promise<Row> {
    const { layout } = this
    const { counters } = this.#neighbours
    const {
      primaryKey: { path, field, codec }
    } = layout
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#insert({ ...document, [path]: codec.encode(await counters.next(layout.collection)) }, inside)
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

  async #count (filter: MongoDocument): Promise<number> {
    // the pipeline makes it
    const [found] = (await this.#operations.aggregate([{ $match: filter }, { $count: 'count' }])) as { count: number }[]
    return found?.count ?? 0
  }

  /**
   * The filter of the one document that may get these values. Throws `FST_USERS_UNIQUE_VIOLATION` when there are more:
   * the server would change some of them.
   */
  async #only (filter: MongoDocument, group: readonly StoredField[]): Promise<MongoDocument | null> {
    const [one, other] = (await this.#operations.find(filter, { projection: { _id: 1 }, limit: 2 })) as MongoDocument[]
    if (other !== undefined) throw violation(group)
    return one === undefined ? null : all([filter, { _id: { $eq: one['_id'] } }])
  }

  /** Conditions that compare byte by byte alone; null when nothing fulfils them. */
  async #narrow (query: Query): Promise<MongoDocument | null> {
    const { folded, filter, never } = query
    if (never) return null
    if (folded.length === 0) return filter
    const documents = (await this.#findCaseless(
      query,
      Object.fromEntries(['_id', ...folded.map(({ field }) => field.path)].map((path) => [path, 1]))
    )) as MongoDocument[]
    if (documents.length === 0) return null
    const spellings = folded.map(({ field: { path } }) => [path, { $in: documents.map((document) => document[path]) }])
    return all([filter, { _id: { $in: documents.map(({ _id: id }) => id) }, ...Object.fromEntries(spellings) }])
  }

  async #findNarrowed (query: Query, projection: MongoDocument): Promise<object[]> {
    const filter = await this.#narrow(query)
    return filter === null ? [] : await this.#operations.find(filter, { projection })
  }

  /** Documents whose texts are meant by the conditions that ignore case. */
  async #findCaseless ({ folded }: Query, projection: MongoDocument): Promise<object[]> {
    const documents = (await this.#operations.find(foldedFilter(folded), {
      projection,
      collation: CASELESS
    })) as MongoDocument[]
    return documents.filter((document) => folded.every((one) => isMeant(one, document[one.field.path])))
  }
}

/** All of the conditions. */
export function all (filters: readonly MongoDocument[]): MongoDocument {
  const some = filters.filter((filter) => Object.keys(filter).length > 0)
  return some.length > 1 ? { $and: some } : (some[0] ?? {})
}

/** An increment leaves null as it is, which `$inc` refuses and `$add` does. */
function updateOf ({ set, steps }: EncodedChanges): MongoDocument | MongoDocument[] {
  if (steps.size === 0) return { $set: Object.fromEntries([...set].map(([{ name }, value]) => [name, value])) }
  const values = [...set].map(([{ name }, value]) => [name, { $literal: value }] as const)
  const sums = [...steps].map(([{ name }, step]) => [name, { $add: [`$${name}`, step] }] as const)
  return [{ $set: Object.fromEntries<unknown>([...values, ...sums]) }]
}
