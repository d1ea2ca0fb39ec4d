import { FST_USERS_INVALID_OPTION, storeUnavailable } from '../../errors.js'
import { connectionOptionError } from '../shared/connection-errors.js'
import type { MongoCollection, MongoDb, MongoDocument } from './driver.js'
import { SIMPLE } from './filter.js'

/** How a text compares in one operation. */
export type Collation = Readonly<Record<string, unknown>>

/** The operations of one collection, each bounded in time, on the primary, and acknowledged by a majority. */
export interface Operations {
  readonly name: string
  find(
    filter: MongoDocument,
    options: { projection: MongoDocument; limit?: number; sort?: Record<string, 1 | -1>; collation?: Collation }
  ): Promise<object[]>
  aggregate(pipeline: MongoDocument[]): Promise<object[]>
  insert(document: MongoDocument): Promise<void>
  /** The number of documents that match. */
  update(
    filter: MongoDocument,
    update: MongoDocument | MongoDocument[],
    options: { single: boolean; arrayFilters?: MongoDocument[] }
  ): Promise<number>
  /** The number of documents that are gone. */
  remove(filter: MongoDocument, options: { single: boolean }): Promise<number>
  /** The document as it is afterwards, which is made when it is missing. */
  upsert(filter: MongoDocument, update: MongoDocument): Promise<object | null>
  /** Null for a collection that is not there. */
  indexes(): Promise<object[] | null>
  /** The options of the collection, its validator among them; empty where the user may not read them. */
  options(): Promise<MongoDocument>
  /** `patient` waits as long as it takes: a large collection may take hours. */
  createIndexes(indexes: { key: Record<string, 1>; name: string }[], patient?: boolean): Promise<void>
}

const UNAUTHORIZED = 13
const NAMESPACE_NOT_FOUND = 26
/** Errors of the driver about a server that is not there, or that does not answer. */
const DRIVER_LOST =
  /Network|ServerSelection|Timeout|TimedOut|NotConnected|TopologyClosed|PoolClosed|PoolCleared|ClientClosed|ExpiredSession|WriteConcern/
/**
 * Errors of a server that cannot serve now: host or network, shut down, stepping down, no primary, a lock or a conflict
 * of
 * writes, time-outs (https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml).
 */
const NOT_NOW = new Set<unknown>([
  6, 7, 24, 50, 64, 89, 91, 112, 134, 189, 202, 246, 262, 290, 9001, 10058, 10107, 11600, 11602, 13435, 13436
])
const RETRYABLE = new Set<unknown>(['RetryableWriteError', 'TransientTransactionError'])
const INDEX_TIMEOUT_MS = 60_000 // an index on a large collection takes its time

/** The application may have set other ways to read and write values for its own use. */
const VALUES = {
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

/** The operations of a collection. Throws `FST_USERS_STORE_UNAVAILABLE` for one that is late. */
export function operationsOf (db: MongoDb, name: string, timeoutMs: number): Operations {
  const insert = { ...VALUES, writeConcern: { w: 'majority', wtimeoutMS: timeoutMs }, maxTimeMS: timeoutMs }
  const write = { ...insert, collation: SIMPLE }
  const read = {
    ...VALUES,
    readPreference: 'primary',
    readConcern: { level: 'local' },
    maxTimeMS: timeoutMs,
    collation: SIMPLE
  }
  const settings = {
    readPreference: 'primary',
    readConcern: { level: 'local' },
    writeConcern: write.writeConcern,
    ...VALUES
  }
  const run = <T>(operation: (collection: MongoCollection) => Promise<T>, limit = timeoutMs): Promise<T> =>
    withinTime(async () => await operation(db.collection(name, settings)), limit)
  return {
    name,
    find: (filter, options) => run((collection) => collection.find(filter, { ...read, ...options }).toArray()),
    aggregate: (pipeline) => run((collection) => collection.aggregate(pipeline, read).toArray()),
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
      run((collection) => collection.listIndexes(VALUES).toArray()).catch((error: unknown) => {
        if (codeOf(error) === NAMESPACE_NOT_FOUND) return null
        return tell(error)
      }),
    options: () =>
      withinTime(
        async () => optionsIn(await db.command({ listCollections: 1, filter: { name }, cursor: {} }, VALUES)),
        timeoutMs
      ).catch((error: unknown) => {
        if (codeOf(error) === UNAUTHORIZED) return {}
        throw error
      }),
    async createIndexes (indexes, patient = false) {
      const made = patient
        ? db.collection(name, settings).createIndexes(indexes, { writeConcern: { w: 'majority' } })
        : run(
          (collection) =>
            collection.createIndexes(indexes, { writeConcern: { w: 'majority' }, maxTimeMS: INDEX_TIMEOUT_MS }),
          INDEX_TIMEOUT_MS
        )
      await made.catch(tell)
    }
  }
}

/**
 * Connects the client of a database, which is nothing for one that is connected. A client whose first attempt failed
 * refuses all operations until it is told to try again. Throws `FST_USERS_STORE_UNAVAILABLE` when that is late, and
 * `FST_USERS_INVALID_OPTION` for a user that the server does not let in.
 */
export async function connectClient ({ client }: MongoDb, timeoutMs: number): Promise<void> {
  await withinTime(async () => await client.connect(), timeoutMs).catch(tell)
}

/** Throws the error, or what to look at when the server does not let the user do that. */
function tell (error: unknown): never {
  throw connectionOptionError(error) ?? error
}

/** The options of the first collection in an answer to listCollections. */
function optionsIn (answer: object): MongoDocument {
  const {
    cursor: {
      firstBatch: [found]
    }
  } = answer as { cursor: { firstBatch: { options?: MongoDocument }[] } } // as every server answers
  return found?.options ?? {}
}

/** The number of a server's error; undefined for other errors. */
export function codeOf (error: unknown): unknown {
  return (error as { code?: unknown }).code // what the driver throws is an error
}

/** What is given up may still be done later, when the driver finds a server: each operation is whole by itself. */
function withinTime<T> (operation: () => Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(storeUnavailable(`MongoDB did not answer in ${timeoutMs} ms`))
    }, timeoutMs)
  })
  return Promise.race([operation(), late])
    .catch(explain)
    .finally(() => {
      clearTimeout(timer)
    })
}

/** Returns whether the driver found no server, lost it or gave up waiting, or the server cannot serve now. */
function isAbsent (error: unknown): boolean {
  if (!(error instanceof Error) || !error.name.startsWith('Mongo')) return false
  if (DRIVER_LOST.test(error.name) || NOT_NOW.has(codeOf(error))) return true
  const labels = 'errorLabels' in error ? error.errorLabels : []
  return Array.isArray(labels) && labels.some((label) => RETRYABLE.has(label))
}

function explain (cause: unknown): never {
  if (isAbsent(cause)) throw storeUnavailable(cause)
  if (!(cause instanceof Error && cause.name === 'BSONVersionError')) throw cause
  throw FST_USERS_INVALID_OPTION(
    [
      'adapter',
      'the package mongodb of the application is of another major version than the one found by this package'
    ],
    { cause }
  )
}
