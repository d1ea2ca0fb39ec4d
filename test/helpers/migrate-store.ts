import type { StoreSchema } from '../../lib/contracts/store-schema.js'
import type { DatabaseAdapter, Feature, Model } from '../../lib/index.js'
import { modelsOf } from '../../lib/models.js'
import { kStoreSchema } from '../../lib/symbols.js'
import { userSchemas } from '../../schemas/index.js'
import { backends } from './build-app.js'

/** Returns the schema operations of `fastify-users migrate`; undefined for a store without a schema. */
export function schemaOf (adapter: DatabaseAdapter): StoreSchema | undefined {
  return (adapter as { [kStoreSchema]?: StoreSchema })[kStoreSchema]
}

/** Returns the models of an application of `buildApp` with these features. */
export function modelsWith (features: readonly Feature[], list = backends()): readonly Model[] {
  return modelsOf({ backends: list, features }, { name: 'users', schemas: userSchemas() })
}
