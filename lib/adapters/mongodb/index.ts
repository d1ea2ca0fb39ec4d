import type { DatabaseAdapter } from '../../contracts/database-adapter.js'
import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { kStoreSchema } from '../../symbols.js'
import { checkKeys } from '../shared/check-keys.js'
import { checkTimeLimit } from '../shared/time-limit.js'
import type { MongoDb } from './driver.js'
import type { CollectionMappings } from './layout.js'
import { MongodbAdapter } from './mongodb-adapter.js'
import { mongodbSchema } from './mongodb-schema.js'

export type { MongoCollection, MongoCursor, MongoDb, MongoDocument } from './driver.js'
export type { CollectionMapping, CollectionMappings } from './layout.js'

/** Options of `mongodb`. */
export interface MongodbOptions {
  /** Names of adopted collections, by model name: the collection's own, and its fields' by ours. */
  collections?: CollectionMappings
  /** Whether `open()` makes the indexes that are missing, for development and tests (default: it refuses to start). */
  createTables?: boolean
  /** Milliseconds that one operation may take (default 5000). */
  timeoutMs?: number
}

/**
 * An adapter for MongoDB 4.4 or newer through a `Db` of the package `mongodb` 7, whose client stays open. Reads go to
 * the
 * primary, writes are acknowledged by a majority, and no transaction is needed. `open()` checks the indexes that keep
 * values unique and throws `FST_USERS_TABLE_MISMATCH` when one is missing, unless `createTables` is set.
 */
export function mongodb (db: MongoDb, options: MongodbOptions = {}): DatabaseAdapter {
  const { collections = {}, createTables = false, timeoutMs = 5000 } = options
  if (!isDb(db)) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'mongodb() takes a Db of the package mongodb: `client.db(name)`'])
  }
  checkKeys('', options, ['collections', 'createTables', 'timeoutMs'])
  if (typeof createTables !== 'boolean') throw FST_USERS_INVALID_OPTION(['createTables', 'must be true or false'])
  return Object.defineProperty(
    new MongodbAdapter(db, { collections, createTables, timeoutMs: checkTimeLimit('timeoutMs', timeoutMs) }),
    kStoreSchema,
    { value: mongodbSchema(db, { collections }) }
  )
}

/** Plain JavaScript may hand in anything, a client most likely. */
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
