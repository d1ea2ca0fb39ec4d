import type {
  Changes,
  DatabaseAdapter,
  Dependents,
  FindManyOptions,
  Row,
  StoredRows,
  Where
} from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_NOT_READY, FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { claimStorageNames, type StorageName } from '../shared/claims.js'
import { createSequentially } from '../shared/create-sequentially.js'
import { ModelRegistry, userModelOf } from '../shared/model-registry.js'
import { type BsonTypes, loadBsonTypes, type MongoDb, type MongoDocument } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { idCounters } from './id-counters.js'
import { openIndexes } from './indexes.js'
import { checkName, type CollectionMappings, type Layout, layoutOf, makeLayouts, storageNamesOf } from './layout.js'
import type { ModelRows } from './model-rows.js'
import { createDocument } from './new-document.js'
import { noteVersion, VERSIONS } from './schema-version.js'
import { connectClient, type Operations, operationsOf } from './operations.js'
import { SeparateRows } from './separate-rows.js'
import { validatorMisfits } from './validators.js'

/** What the adapter was told, checked. */
export interface MongoSettings {
  readonly collections: CollectionMappings
  readonly createTables: boolean
  readonly timeoutMs: number
}

const COUNTERS = 'fastify_users_ids'

/** Stores rows as documents. */
export class MongodbAdapter implements DatabaseAdapter {
  readonly #models = new ModelRegistry()
  readonly #db: MongoDb
  readonly #settings: MongoSettings
  readonly #rows = new Map<string, ModelRows>()
  #release: (() => void) | undefined

  constructor (db: MongoDb, settings: MongoSettings) {
    this.#db = db
    this.#settings = settings
  }

  define (model: Model): void {
    for (const name in model.fields) checkName(model, name)
    this.#models.define(model)
  }

  async open (): Promise<void> {
    const bson = await loadBsonTypes()
    const layouts = makeLayouts(this.#models.all, this.#settings.collections, bson)
    this.#claim(layouts)
    await connectClient(this.#db, this.#settings.timeoutMs)
    for (const [name, layout] of layouts) {
      const operations = this.#operations(layout.collection)
      if (await openIndexes(layout, operations, this.#settings.createTables)) {
        await noteVersion(layout, this.#operations(VERSIONS))
      }
      layouts.set(
        name,
        isInList(layout)
          ? { ...layout, embedded: { ...layout.embedded, owner: layoutOf(layouts, layout.embedded.owner.model.name) } }
          : await checkValidator(await fitSample(layout, operations, bson), operations)
      )
    }
    for (const [name, rows] of this.#makeRows(layouts, bson)) this.#rows.set(name, rows)
  }

  async create (model: Model, row: Row): Promise<Row> {
    return await this.#rowsOf(model).create(row)
  }

  async createWith (model: Model, row: Row, dependents: Dependents): Promise<StoredRows> {
    const rows = this.#rowsOf(model)
    if (!(rows instanceof SeparateRows)) return await createSequentially(this, model, row, dependents)
    return await createDocument(this, rows, (other) => this.#rowsOf(other), row, dependents)
  }

  async findOne (model: Model, where: Where): Promise<Row | null> {
    return await this.#rowsOf(model).findOne(where)
  }

  async findMany (model: Model, where: Where, options: FindManyOptions): Promise<Row[]> {
    return await this.#rowsOf(model).findMany(where, options)
  }

  async update (model: Model, where: Where, changes: Changes): Promise<number> {
    return await this.#rowsOf(model).update(where, changes)
  }

  async delete (model: Model, where: Where): Promise<number> {
    return await this.#rowsOf(model).delete(where)
  }

  async findWithUser (model: Model, where: Where): Promise<{ row: Row; user: Row } | null> {
    return await this.#rowsOf(model).findWithUser(where)
  }

  /** The client stays open: it was handed in. */
  async close (): Promise<void> {
    this.#rows.clear()
    this.#release?.()
    this.#release = undefined
  }

  /**
   * Notes which collections are used through the client. Throws `FST_USERS_INVALID_OPTION` for those of another tenant.
   */
  #claim (layouts: ReadonlyMap<string, Layout>): void {
    const { client, databaseName } = this.#db
    this.#release?.()
    this.#release = undefined
    const places = storageNamesOf(layouts.values()).map(([place, tenant]): StorageName => [
      `${place} of the database "${databaseName}"`,
      tenant
    ])
    this.#release = claimStorageNames(client, 'collections', places)
  }

  #makeRows (layouts: ReadonlyMap<string, Layout>, bson: BsonTypes): Map<string, ModelRows> {
    const counters = idCounters(this.#operations(COUNTERS))
    const made = new Map<string, ModelRows>()
    const separate: SeparateRows[] = []
    for (const layout of layouts.values()) {
      const { model } = layout
      const operations = this.#operations(layout.collection)
      if (isInList(layout)) {
        made.set(model.name, new EmbeddedRows(layout, operations, counters))
        continue
      }
      const rows = new SeparateRows(layout, operations, {
        bson,
        counters,
        users: () => layoutOf(layouts, userModelOf(model)),
        dependents: () =>
          separate.flatMap((other) =>
            other.layout.fields
              .filter(({ definition }) => definition.references === model.name)
              .map((field) => ({ rows: other, field }))
          )
      })
      separate.push(rows)
      made.set(model.name, rows)
    }
    return made
  }

  #operations (collection: string): Operations {
    return operationsOf(this.#db, collection, this.#settings.timeoutMs)
  }

  #rowsOf ({ name }: Model): ModelRows {
    const rows = this.#rows.get(name)
    if (rows !== undefined) return rows
    this.#models.get(name)
    throw FST_USERS_NOT_READY()
  }
}

function isInList (layout: Layout): layout is ListLayout {
  return layout.embedded !== undefined
}

/** Throws `FST_USERS_TABLE_MISMATCH` for a collection whose validator refuses every new document. */
async function checkValidator (layout: Layout, operations: Operations): Promise<Layout> {
  const [misfit] = validatorMisfits(layout, await operations.options())
  if (misfit !== undefined) throw FST_USERS_TABLE_MISMATCH([layout.collection, misfit])
  return layout
}

/**
 * Reads one document, if there is one. Optional fields that it lacks are left out, as an adopted table lacks columns. A
 * wrong kind of id refuses to start, instead of finding nobody; so does a driver of another major version.
 */
export async function fitSample (layout: Layout, operations: Operations, bson: BsonTypes): Promise<Layout> {
  const looked = layout.fields.filter(({ definition }) => definition.type === 'id' || definition.optional === true)
  const projection = Object.fromEntries([['_id', 1], ...looked.map(({ path }) => [path, 1])])
  const [document] = (await operations.find(
    { _id: { $ne: new bson.ObjectId() } },
    { projection, sort: { _id: 1 }, limit: 1 }
  )) as MongoDocument[]
  if (document === undefined) return layout
  for (const { field, path, codec, definition } of looked) {
    const raw = document[path] ?? null
    if (raw === null || definition.type !== 'id' || codec.decode(raw) !== undefined) continue
    throw FST_USERS_TABLE_MISMATCH([
      layout.collection,
      `"${path}" of a document is no ${codec.type}; choose the kind of id in \`userSchemas\`, or map ${field} by \`collections\``
    ])
  }
  return {
    ...layout,
    fields: layout.fields.filter(
      ({ path, definition }) => definition.optional !== true || Object.hasOwn(document, path)
    )
  }
}
