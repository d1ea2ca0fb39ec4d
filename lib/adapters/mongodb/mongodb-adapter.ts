import type {
  Changes,
  DatabaseAdapter,
  FindManyOptions,
  NewRow,
  Row,
  Where
} from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_NOT_READY, FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { claimStorageNames, type StorageName } from '../shared/claims.js'
import { ModelRegistry, userModelOf } from '../shared/model-registry.js'
import { FIRST_VERSION, versionMismatch, versionOf } from '../shared/upgrades.js'
import { type BsonTypes, loadBsonTypes, type MongoDb, type MongoDocument } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { idCounters } from './id-counters.js'
import { ensureIndexes } from './indexes.js'
import { checkFieldName, type CollectionMappings, createLayouts, type Layout, layoutOf, storageNamesOf } from './layout.js'
import type { ModelRows } from './model-rows.js'
import { createDocuments } from './new-document.js'
import { locationOf, progressOf, readVersions, storeVersion, VERSIONS } from './schema-version.js'
import { connectClient, type Operations, operationsOf } from './operations.js'
import { SeparateRows } from './separate-rows.js'
import { validatorMismatches } from './validators.js'

/** The checked options of the adapter. */
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
    for (const name in model.fields) checkFieldName(model, name)
    this.#models.define(model)
  }

  async open (): Promise<void> {
    const bson = await loadBsonTypes()
    const layouts = createLayouts(this.#models.all, this.#settings.collections, bson)
    this.#claim(layouts)
    await connectClient(this.#db, this.#settings.timeoutMs)
    const versions = await readVersions(this.#operations(VERSIONS))
    for (const [name, layout] of layouts) {
      const operations = this.#operations(layout.collection)
      const progress = await progressOf(layout, versions, operations)
      const mismatch = versionMismatch(layout.model, locationOf(layout), progress)
      if (mismatch !== null) throw mismatch
      const isCreated = await ensureIndexes(layout, operations, this.#settings.createTables)
      const isUnrecorded = versionOf(layout.model) > FIRST_VERSION && !versions.has(locationOf(layout))
      if (isCreated || isUnrecorded) await storeVersion(layout, this.#operations(VERSIONS))
      layouts.set(
        name,
        isInList(layout)
          ? { ...layout, embedded: { ...layout.embedded, owner: layoutOf(layouts, layout.embedded.owner.model.name) } }
          : await checkValidator(await adaptToSample(layout, operations, bson), operations)
      )
    }
    for (const [name, rows] of this.#createRows(layouts, bson)) this.#rows.set(name, rows)
  }

  async create (model: Model, row: Row): Promise<Row> {
    return await this.#rowsOf(model).create(row)
  }

  async createAll (rows: readonly NewRow[]): Promise<Row[]> {
    return await createDocuments(this, rows, (model) => this.#rowsOf(model))
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

  /** Releases the collections. The application closes its client. */
  async close (): Promise<void> {
    this.#rows.clear()
    this.#release?.()
    this.#release = undefined
  }

  /** Reserves the collections. Throws `FST_USERS_INVALID_OPTION` if another tenant uses one through the same client. */
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

  #createRows (layouts: ReadonlyMap<string, Layout>, bson: BsonTypes): Map<string, ModelRows> {
    const counters = idCounters(this.#operations(COUNTERS))
    const rowsByModel = new Map<string, ModelRows>()
    const separate: SeparateRows[] = []
    for (const layout of layouts.values()) {
      const { model } = layout
      const operations = this.#operations(layout.collection)
      if (isInList(layout)) {
        rowsByModel.set(model.name, new EmbeddedRows(layout, operations, counters))
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
      rowsByModel.set(model.name, rows)
    }
    return rowsByModel
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

/** Throws `FST_USERS_TABLE_MISMATCH` if the validator of the collection refuses every new document. */
async function checkValidator (layout: Layout, operations: Operations): Promise<Layout> {
  const [mismatch] = validatorMismatches(layout, await operations.options())
  if (mismatch !== undefined) throw FST_USERS_TABLE_MISMATCH([layout.collection, mismatch])
  return layout
}

/**
 * Reads one stored document and returns the layout without the optional fields that the document does not have. A
 * document with some of them was stored by this package, which then had fewer fields: the layout keeps all, unless a
 * validator refuses them. Returns the layout as it is for an empty collection. Throws `FST_USERS_TABLE_MISMATCH` if the
 * stored ids have another type: otherwise no user would ever be found. The query contains an ObjectId, which a driver
 * of another major version refuses.
 */
export async function adaptToSample (layout: Layout, operations: Operations, bson: BsonTypes): Promise<Layout> {
  const checked = layout.fields.filter(({ definition }) => definition.type === 'id' || definition.optional === true)
  const projection = Object.fromEntries([['_id', 1], ...checked.map(({ path }) => [path, 1])])
  const [document] = (await operations.find(
    { _id: { $ne: new bson.ObjectId() } },
    { projection, sort: { _id: 1 }, limit: 1 }
  )) as MongoDocument[]
  if (document === undefined) return layout
  for (const { field, path, codec, definition } of checked) {
    const raw = document[path] ?? null
    if (raw === null || definition.type !== 'id' || codec.decode(raw) !== undefined) continue
    throw FST_USERS_TABLE_MISMATCH([
      layout.collection,
      `"${path}" of a stored document is not of type ${codec.type}; ` +
        `choose the matching id kind in \`userSchemas\`, or map ${field} in the option \`collections\``
    ])
  }
  const missing = layout.fields.filter(
    ({ path, definition }) => definition.optional === true && !Object.hasOwn(document, path)
  )
  const optional = layout.fields.filter(({ definition }) => definition.optional === true)
  if (missing.length === 0) return layout
  const isOwn = missing.length < optional.length
  if (isOwn && validatorMismatches(layout, await operations.options()).length === 0) return layout
  return { ...layout, fields: layout.fields.filter((field) => !missing.includes(field)) }
}
