import type { MongoDb } from './driver.js'
import { CASELESS } from './filter.js'
import { connectClient, type Operations, operationsOf, serverCodeOf } from './operations.js'
import type { StorageRules } from './layout.js'
import { VERSIONS, type Versions } from './schema-version.js'

/** A connected server and its features. */
export interface Server {
  /**
   * True if the server has collations, joins, unique indexes on values in arrays, and partial indexes, as MongoDB does.
   * Otherwise the adapter needs plain unique indexes and atomic updates of single documents only.
   */
  readonly isComplete: boolean
  /** Returns the operations on a collection. */
  use(collection: string): Operations
}

const UNAUTHORIZED = 13
/**
 * Codes of errors for a command, a stage or an option that a server does not have: BadValue, FailedToParse,
 * TypeMismatch, CommandNotFound, InvalidOptions, CommandNotSupported, NotImplemented, two codes of Amazon DocumentDB,
 * and an unknown stage or field.
 */
const UNSUPPORTED = new Set<unknown>([2, 9, 14, 59, 72, 115, 238, 303, 304, 40324, 40415])

/**
 * Connects the client and finds out the features of the server with one read, which changes nothing. Throws the errors
 * of `connectClient`, and every error of the read that does not mean a missing feature: a wrong result would select
 * another place for the rows.
 */
export async function connectServer (db: MongoDb, timeoutMs: number): Promise<Server> {
  await connectClient(db, timeoutMs)
  const isComplete = await hasAllFeatures(operationsOf(db, VERSIONS, timeoutMs, true))
  return { isComplete, use: (collection) => operationsOf(db, collection, timeoutMs, isComplete) }
}

/**
 * Returns the rules for the places of rows. Rows that a server without all features has stored in their own collection
 * stay there, also after a move to another server.
 */
export function storageRules ({ isComplete }: Server, versions: Versions): StorageRules {
  return { isComplete, isSeparate: (collection) => versions.has(collection) }
}

async function hasAllFeatures (operations: Operations): Promise<boolean> {
  const { name } = operations
  const join = { from: name, localField: '_id', foreignField: '_id', as: 'same' }
  try {
    await operations.aggregate([{ $match: { _id: { $eq: '' } } }, { $lookup: join }], { collation: CASELESS })
    return true
  } catch (error) {
    const code = serverCodeOf(error)
    if (code === UNAUTHORIZED) return true
    if (UNSUPPORTED.has(code)) return false
    throw error
  }
}
