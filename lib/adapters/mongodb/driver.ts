import { FST_USERS_INVALID_OPTION } from '../../errors.js'

/** A document, or a part of a command. */
export type MongoDocument = Record<string, unknown>

/** What is used of a cursor of `mongodb`. */
export interface MongoCursor {
  toArray(): Promise<object[]>
}

/** What is used of a collection of `mongodb`. */
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
  createIndexes(indexes: { key: Record<string, 1>; name: string }[], options: object): Promise<unknown>
}

/** What is used of a `Db` of `mongodb`, so that its types are needed by nobody who does not use it. */
export interface MongoDb {
  readonly databaseName: string
  readonly client: { connect(): Promise<unknown> }
  collection(name: string, options: object): MongoCollection
  command(command: MongoDocument, options: object): Promise<object>
}

/** A value of BSON that JavaScript has no type for. All copies of one major version of `bson` read each other's. */
export interface BsonValue {
  readonly _bsontype: string
}

/** The types of BSON that are written. */
export interface BsonTypes {
  ObjectId: new (hex?: string) => BsonValue
  Binary: new (bytes: Uint8Array, subtype: number) => BsonValue
  Long: { fromNumber(value: number): BsonValue }
}

const loadPackage = async (): Promise<BsonTypes> => await import('mongodb')

/** The types of the package `mongodb`. Throws `FST_USERS_INVALID_OPTION` when it is not installed. */
export async function loadBsonTypes (load: () => Promise<BsonTypes> = loadPackage): Promise<BsonTypes> {
  try {
    return await load()
  } catch (cause) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'mongodb(db) needs the package mongodb; `npm install mongodb`'], {
      cause
    })
  }
}
