import Fastify, { type FastifyInstance } from 'fastify'
import type { StoreSchema } from '../contracts/store-schema.js'
import users from '../plugin.js'
import { kStoreSchema } from '../symbols.js'
import type { Config } from './config.js'

/**
 * Registers the plugin with the options of a config, calls `work`, and closes the instance. It does not call
 * `app.ready()`, which opens the store: `work` does that when it needs the store.
 */
export async function withApplication<T> (
  { options }: Pick<Config, 'options'>,
  work: (app: FastifyInstance) => Promise<T>
): Promise<T> {
  const app = Fastify()
  try {
    await app.register(users, options)
    return await work(app)
  } finally {
    await app.close()
  }
}

/** Returns the schema of a config's adapter, or null if the adapter has none. */
export function storeSchemaOf ({ options: { adapter } }: Config): StoreSchema | null {
  // only adapters of this package set this symbol, and they set it to a StoreSchema
  return (adapter as { [kStoreSchema]?: StoreSchema })[kStoreSchema] ?? null
}
