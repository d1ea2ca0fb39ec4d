import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import { FST_USERS_NOT_READY, FST_USERS_STORE_UNAVAILABLE, isUsersError } from '../errors.js'

/** An adapter whose faults are coded. */
export interface Store extends DatabaseAdapter {
  /** Opens the adapter once; until then every call throws `FST_USERS_NOT_READY`. */
  open(): Promise<void>
}

/**
 * Wraps an adapter: what it throws without a code of ours becomes `FST_USERS_STORE_UNAVAILABLE` (503), with the cause for
 * the log alone. Answers that come at once stay that way.
 */
export function availableStore (adapter: DatabaseAdapter): Store {
  let ready = false

  function guard<A extends unknown[], R> (call: (...args: A) => R): (...args: A) => R {
    return (...args) => {
      if (!ready) throw FST_USERS_NOT_READY()
      try {
        const result = call(...args)
        return isThenable(result) ? Promise.resolve(result).catch(rethrow) as R : result
      } catch (error) {
        return rethrow(error)
      }
    }
  }

  return {
    define: (model) => { adapter.define(model) },
    async open () {
      await adapter.open()
      ready = true
    },
    create: guard((model, row) => adapter.create(model, row)),
    findOne: guard((model, where) => adapter.findOne(model, where)),
    findMany: guard((model, where, options) => adapter.findMany(model, where, options)),
    update: guard((model, where, changes) => adapter.update(model, where, changes)),
    delete: guard((model, where) => adapter.delete(model, where)),
    ...(adapter.findWithUser === undefined ? {} : { findWithUser: guard(adapter.findWithUser.bind(adapter)) }),
    async close () {
      ready = false
      await adapter.close?.()
    }
  }
}

/** True for promises of any make. A row may have a field of that name. */
function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function rethrow (error: unknown): never {
  throw isUsersError(error) ? error : FST_USERS_STORE_UNAVAILABLE([], { cause: error, headers: { 'retry-after': '1' } })
}
