import Fastify, { type FastifyInstance } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { Model } from '../contracts/models.js'
import type { StoreSchema } from '../contracts/store-schema.js'
import users from '../plugin.js'
import { kStoreSchema } from '../symbols.js'
import type { Config } from './config.js'

/** A Fastify instance with the users plugin and the features of a config. */
export interface Application {
  readonly app: FastifyInstance
  /** Models that the plugin and the features define. */
  readonly models: readonly Model[]
}

/**
 * Registers the plugin and the features of a config, calls `work`, and closes the instance. It does not call
 * `app.ready()`, which opens the store: `work` does that when it needs the store.
 */
export async function withApplication<T> (
  { options, features }: Config,
  work: (application: Application) => Promise<T>
): Promise<T> {
  const models = new Map<string, Model>()
  const app = Fastify()
  try {
    await app.register(users, {
      ...options,
      adapter: observeModels(options.adapter, (model) => {
        models.set(model.name, model)
      })
    })
    await features(app)
    return await work({ app, models: [...models.values()] })
  } finally {
    await app.close()
  }
}

/** Returns the schema of a config's adapter, or null if the adapter has none. */
export function storeSchemaOf ({ options: { adapter } }: Config): StoreSchema | null {
  // only adapters of this package set this symbol, and they set it to a StoreSchema
  return (adapter as { [kStoreSchema]?: StoreSchema })[kStoreSchema] ?? null
}

/** Returns a proxy of an adapter that reports every model passed to `define`. */
function observeModels (adapter: DatabaseAdapter, onDefine: (model: Model) => void): DatabaseAdapter {
  return new Proxy(adapter, {
    get (target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        if (key === 'define') onDefine(args[0] as Model) // the only parameter of define
        return Reflect.apply(value, target, args) as unknown
      }
    }
  })
}
