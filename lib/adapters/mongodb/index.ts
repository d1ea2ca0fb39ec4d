import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { kStoreSchema } from '../../symbols.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { checkTimeLimit } from '../../shared/time-limit.js'
import type { MongoDb } from './driver.js'
import type { CollectionMappings } from './layout.js'
import { MongodbAdapter } from './mongodb-adapter.js'
import { mongodbSchema } from './mongodb-schema.js'

export type { MongoCollection, MongoCursor, MongoDb, MongoDocument } from './driver.js'
export type { CollectionMapping, CollectionMappings } from './layout.js'

/** Options of `mongodb`. */
export interface MongodbOptions {
  /** Names of existing collections and of their fields, by model name. */
  collections?: CollectionMappings
  /** Creates missing indexes at the start, for development and tests. Default: false, a missing index is an error. */
  createTables?: boolean
  /** Time limit of one operation, in milliseconds. Default: 5000. */
  timeoutMs?: number
}

/**
 * Creates an adapter for MongoDB 4.4 or newer. It uses a `Db` of the package `mongodb` 7 and never closes the client.
 * Reads use the primary, writes wait for a majority, and no transaction is needed. `open()` throws
 * `FST_USERS_TABLE_MISMATCH` if a unique index is missing, unless `createTables` is set.
 */
export function mongodb (db: MongoDb, options: MongodbOptions = {}): DatabaseAdapter {
  const { collections = {}, createTables = false, timeoutMs = 5000 } = options
  if (!isDb(db)) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'mongodb() needs a Db of the package mongodb: `client.db(name)`'])
  }
  checkKnownKeys('', options, ['collections', 'createTables', 'timeoutMs'])
  if (typeof createTables !== 'boolean') throw FST_USERS_INVALID_OPTION(['createTables', 'must be true or false'])
  return Object.defineProperty(
    new MongodbAdapter(db, { collections, createTables, timeoutMs: checkTimeLimit('timeoutMs', timeoutMs) }),
    kStoreSchema,
    { value: mongodbSchema(db, { collections }) }
  )
}

/** Checks the value at runtime, because JavaScript callers often pass the client instead of a `Db`. */
function isDb (value: unknown): value is MongoDb {
  return (
    typeof value === 'object' &&
    value !== null &&
    'databaseName' in value &&
    'client' in value &&
    'collection' in value &&
    typeof value.collection === 'function'
  )
}
