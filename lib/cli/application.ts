import Fastify, { type FastifyInstance } from 'fastify'
import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { Model } from '../contracts/models.js'
import type { StoreSchema } from '../contracts/store-schema.js'
import users from '../plugin.js'
import { kStoreSchema } from '../symbols.js'
import type { Config } from './config.js'

/** The application of a config, as far as it concerns users. */
export interface Application {
  readonly app: FastifyInstance
  /** What the core and the features store. */
  readonly models: readonly Model[]
}

/**
 * Registers the users of a config and its features. The store is opened by `app.ready()`, which this leaves to the
 * work.
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
      adapter: watchModels(options.adapter, (model) => {
        models.set(model.name, model)
      })
    })
    await features(app)
    return await work({ app, models: [...models.values()] })
  } finally {
    await app.close()
  }
}

/** How the store of a config gets its schema; null for one without. */
export function schemaOf ({ options: { adapter } }: Config): StoreSchema | null {
  // nothing but an adapter's author writes this symbol
  return (adapter as { [kStoreSchema]?: StoreSchema })[kStoreSchema] ?? null
}

/** The same adapter, and word of every model that it is told. */
function watchModels (adapter: DatabaseAdapter, tell: (model: Model) => void): DatabaseAdapter {
  return new Proxy(adapter, {
    get (target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        if (key === 'define') tell(args[0] as Model) // all that define takes
        return Reflect.apply(value, target, args) as unknown
      }
    }
  })
}
