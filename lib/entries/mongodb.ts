/**
 * The adapter for MongoDB.
 *
 * @module fastify-users/mongodb
 */

export {
  mongodb,
  type CollectionMapping,
  type CollectionMappings,
  type MongoCollection,
  type MongoCursor,
  type MongoDb,
  type MongoDocument,
  type MongodbOptions
} from '../adapters/mongodb/index.js'
