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
import { type BsonTypes, loadBsonTypes, type MongoDb } from './driver.js'
import { EmbeddedRows, type ListLayout } from './embedded-rows.js'
import { idCounters } from './id-counters.js'
import { ensureIndexes, type FoundIndex, readCollectionIndexes } from './indexes.js'
import { checkFieldName, type CollectionMappings, collectionNamesOf, createLayouts, type Layout, layoutOf } from './layout.js'
import { withLookup } from './lookup.js'
import type { ModelRows } from './model-rows.js'
import { createDocuments } from './new-document.js'
import { locationOf, progressOf, readCollectionVersions, storeVersion, VERSIONS, type Versions } from './schema-version.js'
import type { Operations } from './operations.js'
import { adaptToSample, describeArrays } from './sample.js'
import { SeparateRows } from './separate-rows.js'
import { connectServer, type Server, storageRules } from './server.js'
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
    const { collections, timeoutMs } = this.#settings
    this.#claim(createLayouts(this.#models.all, collections, bson))
    const server = await connectServer(this.#db, timeoutMs)
    const versions = await readCollectionVersions(server.use(VERSIONS))
    const layouts = createLayouts(this.#models.all, collections, bson, storageRules(server, versions))
    this.#claim(layouts)
    for (const [name, layout] of layouts) {
      await checkArrays(layout, layouts, server)
      layouts.set(
        name,
        isInList(layout)
          ? await this.#openList(layout, layoutOf(layouts, layout.embedded.owner.model.name), server, versions)
          : await this.#openCollection(layout, server, versions, bson)
      )
    }
    for (const [name, rows] of this.#createRows(layouts, server, bson)) this.#rows.set(name, rows)
  }

  async #openCollection (layout: Layout, server: Server, versions: Versions, bson: BsonTypes): Promise<Layout> {
    const operations = server.use(layout.collection)
    const found = await readCollectionIndexes(operations)
    const opened = await withLookup(layout, found, operations)
    await this.#prepare(opened, found, server, versions)
    return await checkValidator(await adaptToSample(opened, operations, bson), operations)
  }

  async #openList (layout: ListLayout, owner: Layout, server: Server, versions: Versions): Promise<ListLayout> {
    await this.#prepare(layout, await readCollectionIndexes(server.use(layout.collection)), server, versions)
    return { ...layout, embedded: { ...layout.embedded, owner } }
  }

  /** Checks the version of the rows and the indexes. Creates missing indexes if the options allow it. */
  async #prepare (
    layout: Layout,
    found: readonly FoundIndex[] | null,
    server: Server,
    versions: Versions
  ): Promise<void> {
    const operations = server.use(layout.collection)
    const progress = await progressOf(layout, versions, operations)
    const mismatch = versionMismatch(layout.model, locationOf(layout), progress)
    if (mismatch !== null) throw mismatch
    const isCreated = await ensureIndexes(layout, found, operations, this.#settings.createTables)
    const isUnrecorded = versionOf(layout.model) > FIRST_VERSION && !versions.has(locationOf(layout))
    if (isCreated || isUnrecorded) await storeVersion(layout, server.use(VERSIONS))
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
    const places = collectionNamesOf(layouts.values()).map(([place, tenant]): StorageName => [
      `${place} of the database "${databaseName}"`,
      tenant
    ])
    this.#release = claimStorageNames(client, 'collections', places)
  }

  #createRows (layouts: ReadonlyMap<string, Layout>, server: Server, bson: BsonTypes): Map<string, ModelRows> {
    const counters = idCounters(server.use(COUNTERS))
    const rowsByModel = new Map<string, ModelRows>()
    const separate: SeparateRows[] = []
    for (const layout of layouts.values()) {
      const { model } = layout
      const operations = server.use(layout.collection)
      if (isInList(layout)) {
        rowsByModel.set(model.name, new EmbeddedRows(layout, operations, counters))
        continue
      }
      const rows = new SeparateRows(layout, operations, {
        bson,
        counters,
        users: () => usersOf(layoutOf(layouts, userModelOf(model)), server),
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

  #rowsOf ({ name }: Model): ModelRows {
    const rows = this.#rows.get(name)
    if (rows !== undefined) return rows
    this.#models.get(name)
    throw FST_USERS_NOT_READY()
  }
}

/** Throws `FST_USERS_TABLE_MISMATCH` for rows in arrays on a server that cannot keep them unique. */
async function checkArrays (layout: Layout, layouts: ReadonlyMap<string, Layout>, server: Server): Promise<void> {
  if (layout.model.embed === undefined) return
  const users = server.use(layoutOf(layouts, userModelOf(layout.model)).collection)
  const problem = await describeArrays(layout, users, server.use(layout.collection))
  if (problem !== null) throw FST_USERS_TABLE_MISMATCH([layout.collection, problem])
}

function usersOf (layout: Layout, server: Server): { layout: Layout; operations: Operations } {
  return { layout, operations: server.use(layout.collection) }
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
