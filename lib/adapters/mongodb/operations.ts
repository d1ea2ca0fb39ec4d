import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../errors.js'
import { limitTime } from '../../shared/time-limit.js'
import { connectionOptionError } from '../shared/connection-errors.js'
import type { MongoCollection, MongoDb, MongoDocument } from './driver.js'
import { SIMPLE } from './filter.js'

/** The collation of one operation. */
export type Collation = Readonly<Record<string, unknown>>

/** The operations on one collection. Each has a time limit, uses the primary, and waits for a majority on writes. */
export interface Operations {
  readonly name: string
  find(
    filter: MongoDocument,
    options: { projection?: MongoDocument; limit?: number; sort?: Record<string, 1 | -1>; collation?: Collation }
  ): Promise<object[]>
  aggregate(pipeline: MongoDocument[], options?: { collation?: Collation }): Promise<object[]>
  insert(document: MongoDocument): Promise<void>
  /** Returns the number of matching documents. */
  update(
    filter: MongoDocument,
    update: MongoDocument | MongoDocument[],
    options: { single: boolean; arrayFilters?: MongoDocument[] }
  ): Promise<number>
  /** Returns the number of deleted documents. */
  remove(filter: MongoDocument, options: { single: boolean }): Promise<number>
  /** Updates a document, or creates it if it is missing. Returns the document after the update. */
  upsert(filter: MongoDocument, update: MongoDocument): Promise<object | null>
  /** Returns the indexes; null if the collection does not exist. */
  indexes(): Promise<object[] | null>
  /** Returns the options of the collection, such as its validator; empty if the user has no permission to read them. */
  options(): Promise<MongoDocument>
  /** Drops an index. Does nothing if another process has dropped it. */
  dropIndex(name: string): Promise<void>
  /** Creates indexes. With `unlimited` there is no time limit: an index on a large collection may take hours. */
  createIndexes(indexes: { key: Record<string, 1>; name: string }[], unlimited?: boolean): Promise<void>
}

const UNAUTHORIZED = 13
const NAMESPACE_NOT_FOUND = 26
const INDEX_NOT_FOUND = 27
/** Names of driver errors that mean that no server was reached or that it did not reply. */
const UNAVAILABLE_NAMES =
  /Network|ServerSelection|Timeout|TimedOut|NotConnected|TopologyClosed|PoolClosed|PoolCleared|ClientClosed|ExpiredSession|WriteConcern/
/**
 * Codes of temporary server errors: host or network, shutdown, step-down, no primary, locks, write conflicts and
 * timeouts (https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml).
 */
const UNAVAILABLE_CODES = new Set<unknown>([
  6, 7, 24, 50, 64, 89, 91, 112, 134, 189, 202, 246, 262, 290, 9001, 10058, 10107, 11600, 11602, 13435, 13436
])
const RETRYABLE = new Set<unknown>(['RetryableWriteError', 'TransientTransactionError'])
/** Time limit of an index build at the start, in milliseconds. */
const INDEX_TIMEOUT_MS = 60_000

/** BSON options of every operation. They override the options that the application set on its client. */
const BSON_OPTIONS = {
  promoteValues: true,
  promoteLongs: true,
  promoteBuffers: false,
  useBigInt64: false,
  raw: false,
  fieldsAsRaw: {},
  bsonRegExp: true,
  ignoreUndefined: false,
  serializeFunctions: false,
  forceServerObjectId: false
}

/**
 * Returns the operations on a collection. Each throws `FST_USERS_STORE_UNAVAILABLE` after `timeoutMs`. `hasCollations`
 * is false for a server that refuses every collation.
 */
export function operationsOf (db: MongoDb, name: string, timeoutMs: number, hasCollations: boolean): Operations {
  const { insert, write, read, settings } = operationOptions(timeoutMs, hasCollations)
  const run = <T>(operation: (collection: MongoCollection) => Promise<T>, limit = timeoutMs): Promise<T> =>
    runInTime(async () => await operation(db.collection(name, settings)), limit)
  return {
    name,
    find: (filter, options) => run((collection) => collection.find(filter, { ...read, ...options }).toArray()),
    aggregate: (pipeline, options) =>
      run((collection) => collection.aggregate(pipeline, { ...read, ...options }).toArray()),
    async insert (document) {
      await run((collection) => collection.insertOne(document, insert))
    },
    async update (filter, update, { single, ...options }) {
      const all = { ...write, ...options }
      const { matchedCount } = await run((collection) =>
        single ? collection.updateOne(filter, update, all) : collection.updateMany(filter, update, all)
      )
      return matchedCount
    },
    async remove (filter, { single }) {
      const { deletedCount } = await run((collection) =>
        single ? collection.deleteOne(filter, write) : collection.deleteMany(filter, write)
      )
      return deletedCount
    },
    upsert: (filter, update) =>
      run((collection) =>
        collection.findOneAndUpdate(filter, update, { ...write, upsert: true, returnDocument: 'after' })
      ),
    indexes: () =>
      run((collection) => collection.listIndexes(BSON_OPTIONS).toArray()).catch((error: unknown) => {
        if (serverCodeOf(error) === NAMESPACE_NOT_FOUND) return null
        return throwExplained(error)
      }),
    options: () =>
      runInTime(
        async () => optionsIn(await db.command({ listCollections: 1, filter: { name }, cursor: {} }, BSON_OPTIONS)),
        timeoutMs
      ).catch((error: unknown) => {
        if (serverCodeOf(error) === UNAUTHORIZED) return {}
        throw error
      }),
    async dropIndex (index) {
      await run((collection) => collection.dropIndex(index)).catch((error: unknown) => {
        if (serverCodeOf(error) !== INDEX_NOT_FOUND) throw error
      })
    },
    async createIndexes (indexes, unlimited = false) {
      // FerretDB 1 fails if another process has meanwhile created two of the indexes of one command
      for (const index of indexes) {
        const create = (collection: MongoCollection, limit = {}): Promise<unknown> =>
          collection.createIndexes([index], { writeConcern: { w: 'majority' }, ...limit })
        const created = unlimited
          ? create(db.collection(name, settings))
          : run((collection) => create(collection, { maxTimeMS: INDEX_TIMEOUT_MS }), INDEX_TIMEOUT_MS)
        await created.catch(throwExplained)
      }
    }
  }
}

/**
 * Returns the driver's options by kind of operation: they read from the primary, wait for a majority on writes, and
 * override the collation of the collection.
 */
function operationOptions (timeoutMs: number, hasCollations: boolean) {
  const insert = { ...BSON_OPTIONS, writeConcern: { w: 'majority', wtimeoutMS: timeoutMs }, maxTimeMS: timeoutMs }
  const collation = hasCollations ? { collation: SIMPLE } : {}
  const write = { ...insert, ...collation }
  const read = {
    ...BSON_OPTIONS,
    readPreference: 'primary',
    readConcern: { level: 'local' },
    maxTimeMS: timeoutMs,
    ...collation
  }
  const settings = {
    readPreference: 'primary',
    readConcern: { level: 'local' },
    writeConcern: write.writeConcern,
    ...BSON_OPTIONS
  }
  return { insert, write, read, settings }
}

/**
 * Connects the client of a database; a connected client stays as it is. After a failed first attempt, the driver
 * refuses all operations until `connect` is called again. Throws `FST_USERS_STORE_UNAVAILABLE` after `timeoutMs`, and
 * `FST_USERS_INVALID_OPTION` if the server refuses the login.
 */
export async function connectClient ({ client }: MongoDb, timeoutMs: number): Promise<void> {
  await runInTime(async () => await client.connect(), timeoutMs).catch(throwExplained)
}

/** Throws an error with advice if the login or a permission is wrong; otherwise the same error. */
function throwExplained (error: unknown): never {
  throw connectionOptionError(error) ?? error
}

/** Returns the options of the first collection in a reply to listCollections. */
function optionsIn (reply: object): MongoDocument {
  // the format of the command's reply
  const { cursor } = reply as { cursor: { firstBatch: { options?: MongoDocument }[] } }
  return cursor.firstBatch[0]?.options ?? {}
}

/** Returns the code of a server error; undefined for other errors. */
export function serverCodeOf (error: unknown): unknown {
  return (error as { code?: unknown }).code // the driver throws objects only
}

/**
 * Rejects with `FST_USERS_STORE_UNAVAILABLE` after a time limit. The driver may still run the operation later, when it
 * finds a server. That does no harm, because each operation is atomic.
 */
function runInTime<T> (operation: () => Promise<T>, timeoutMs: number): Promise<T> {
  const onTimeout = (): Error => storeUnavailable(`MongoDB did not reply within ${timeoutMs} ms`)
  return limitTime(operation, timeoutMs, onTimeout).catch(throwConverted)
}

/** Checks whether an error means that the server is unreachable, does not reply, or refuses work for now. */
function isUnavailable (error: unknown): boolean {
  if (!(error instanceof Error) || !error.name.startsWith('Mongo')) return false
  if (UNAVAILABLE_NAMES.test(error.name) || UNAVAILABLE_CODES.has(serverCodeOf(error))) return true
  const labels = 'errorLabels' in error ? error.errorLabels : []
  return Array.isArray(labels) && labels.some((label) => RETRYABLE.has(label))
}

/** Throws `FST_USERS_STORE_UNAVAILABLE` for outages, and an error with advice for a driver of another version. */
function throwConverted (cause: unknown): never {
  if (isUnavailable(cause)) throw storeUnavailable(cause)
  if (!(cause instanceof Error && cause.name === 'BSONVersionError')) throw cause
  throw FST_USERS_INVALID_OPTION(
    [
      'adapter',
      'the application uses another major version of the package mongodb than fastify-users; install version 7 only'
    ],
    { cause }
  )
}
