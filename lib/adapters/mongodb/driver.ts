import { FST_USERS_INVALID_OPTION } from '../../errors.js'

/** A document, or a part of a command. */
export type MongoDocument = Record<string, unknown>

/** The part of a cursor of `mongodb` that the adapter uses. */
export interface MongoCursor {
  toArray(): Promise<object[]>
}

/** The part of a collection of `mongodb` that the adapter uses. */
export interface MongoCollection {
  find(filter: MongoDocument, options: object): MongoCursor
  aggregate(pipeline: MongoDocument[], options: object): MongoCursor
  insertOne(document: MongoDocument, options: object): Promise<unknown>
  updateOne(
    filter: MongoDocument,
    update: MongoDocument | MongoDocument[],
    options: object
  ): Promise<{ matchedCount: number }>
  updateMany(
    filter: MongoDocument,
    update: MongoDocument | MongoDocument[],
    options: object
  ): Promise<{ matchedCount: number }>
  deleteOne(filter: MongoDocument, options: object): Promise<{ deletedCount: number }>
  deleteMany(filter: MongoDocument, options: object): Promise<{ deletedCount: number }>
  findOneAndUpdate(filter: MongoDocument, update: MongoDocument, options: object): Promise<object | null>
  listIndexes(options: object): MongoCursor
  dropIndex(name: string): Promise<unknown>
  createIndexes(indexes: { key: Record<string, 1>; name: string }[], options: object): Promise<unknown>
}

/** The part of a `Db` of `mongodb` that the adapter uses. Applications without MongoDB do not need its types. */
export interface MongoDb {
  readonly databaseName: string
  readonly client: { connect(): Promise<unknown> }
  collection(name: string, options: object): MongoCollection
  command(command: MongoDocument, options: object): Promise<object>
}

/** A BSON value without a JavaScript type. Copies of `bson` with the same major version accept each other's values. */
export interface BsonValue {
  readonly _bsontype: string
}

/** The BSON types that the adapter writes. */
export interface BsonTypes {
  ObjectId: new (hex?: string) => BsonValue
  Binary: new (bytes: Uint8Array, subtype: number) => BsonValue
  Long: { fromNumber(value: number): BsonValue }
}

const loadBson = async (): Promise<BsonTypes> => await import('mongodb')

/** Loads the BSON types of the package `mongodb`. Throws `FST_USERS_INVALID_OPTION` if it is not installed. */
export async function loadBsonTypes (load: () => Promise<BsonTypes> = loadBson): Promise<BsonTypes> {
  try {
    return await load()
  } catch (cause) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'mongodb(db) needs the package mongodb; run `npm install mongodb`'], {
      cause
    })
  }
}
